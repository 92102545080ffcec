package native

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// nameServers asks one of the configured name servers: a random one first, the
// next in line when it does not answer, and that one from then on.
type nameServers struct {
	c       *client
	dir     *directory
	at      atomic.Uint32 // the one in use
	contact contact
}

func newNameServers(c *client, entries []string) *nameServers {
	n := &nameServers{c: c, dir: newDirectory(c, entries)}
	n.at.Store(rand.Uint32N(1 << 16))
	return n
}

var _ driver.Directory = (*client)(nil)

// NameServers are the addresses as they are known now, from endpoints too.
func (c *client) NameServers(ctx context.Context) ([]string, error) { return c.names.dir.addrs(ctx) }

// call asks until one answers, each once and under the driver's time limit.
// When none does, the error is a message.ErrNoNameServer with every cause.
func (n *nameServers) call(ctx context.Context, code protocol.Code, h protocol.Header) (*protocol.Command, string, error) {
	addrs, err := n.dir.addrs(ctx)
	if err != nil {
		return nil, "", err
	}
	first := n.at.Load()
	var failed causes
	for i := range uint32(len(addrs)) {
		at := (first + i) % uint32(len(addrs))
		resp, err := n.callOne(ctx, addrs[at], code, h)
		if err == nil {
			n.at.CompareAndSwap(first, at)
			n.contact.note(addrs[at], nil)
			return resp, addrs[at], nil
		}
		if ctx.Err() != nil {
			return nil, "", context.Cause(ctx)
		}
		failed = append(failed, fmt.Errorf("%s: %w", addrs[at], err))
	}
	err = fmt.Errorf("%w: %w", message.ErrNoNameServer, failed)
	n.contact.note(strings.Join(addrs, ";"), err)
	return nil, "", err
}

func (n *nameServers) callOne(ctx context.Context, addr string, code protocol.Code, h protocol.Header) (*protocol.Command, error) {
	ctx, cancel := n.c.bounded(ctx)
	defer cancel()
	conn, err := n.c.net.Conn(ctx, addr)
	if err != nil {
		return nil, err
	}
	cmd := protocol.ClientRequest(code)
	resp, err := conn.Call(ctx, &cmd, h)
	if errors.Is(err, context.DeadlineExceeded) {
		n.c.net.Drop(addr) // a host that vanished does not end its connections
	}
	if errors.Is(err, remoting.ErrClosed) && n.c.cfg.TLS == nil && n.c.ctx.Err() == nil {
		err = fmt.Errorf("%w; if the server requires TLS, turn it on in the client", err)
	}
	if err == nil && resp.Code == protocol.CodeNotSupported {
		err = fmt.Errorf("it is no name server: %w; is it a broker's address (10911 by default) where a name server's belongs (9876)?",
			answer.Refusal("look up a route", "", addr, resp))
	}
	return resp, err
}
