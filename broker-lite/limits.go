package brokerlite

import (
	"fmt"

	"github.com/rocketkit/rocketkit/internal/remoting"
)

// limited bounds what all peers together, and one frame, can take.
//
// A connection takes a file descriptor, and a store that finds none left takes
// no messages. So connections get at most three quarters of what the process may
// open, divided among the servers that run in it.
func (b *Broker) limited(o remoting.ServerOptions) remoting.ServerOptions {
	c := &b.plan.config
	o.MaxFrame = c.MaxFrame
	o.MaxConns = c.MaxConnections
	o.MaxConnsHint = "raise maxConnections in broker.conf, or find out who opens so many"
	if b.plan.network != nil {
		return o
	}
	servers := 1
	if b.plan.role == RoleAll {
		servers = 2
	}
	if files, ok := openFiles(); ok && files/4*3/servers < o.MaxConns {
		o.MaxConns = max(files/4*3/servers, 1)
		o.MaxConnsHint = fmt.Sprintf("raise the limit of open files, which is %d (ulimit -n, or LimitNOFILE of systemd), or find out who opens so many", files)
	}
	return o
}
