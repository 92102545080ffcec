package native

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

var (
	_ driver.Reporting = (*client)(nil)
	_ driver.Sharing   = (*subscription)(nil)
)

// contact is how the latest attempt to reach a server ended; nil: there was none.
type contact struct{ last atomic.Pointer[attempted] }

type attempted struct {
	addr string
	err  error
	at   time.Time
}

func (c *contact) note(addr string, err error) {
	c.last.Store(&attempted{addr, err, time.Now()})
}

// well says that the latest attempt got through.
func (c *contact) well() bool {
	a := c.last.Load()
	return a != nil && a.err == nil
}

func (c *contact) state(broker, addr string) driver.ServerState {
	s := driver.ServerState{Broker: broker, Addr: addr}
	if a := c.last.Load(); a != nil {
		s.Addr, s.Err, s.At = cmp.Or(addr, a.addr), a.err, a.at
	}
	return s
}

// Servers implements driver.Reporting.
func (c *client) Servers() []driver.ServerState {
	all := []driver.ServerState{c.names.contact.state("", "")}
	for addr, name := range c.targets() {
		all = append(all, c.brokers.get(addr).contact.state(name, addr))
	}
	slices.SortFunc(all[1:], func(a, b driver.ServerState) int {
		return cmp.Or(cmp.Compare(a.Broker, b.Broker), cmp.Compare(a.Addr, b.Addr))
	})
	return all
}

// Assigned implements driver.Sharing.
func (s *subscription) Assigned() ([]message.Queue, error) {
	var mine []message.Queue
	if owned := s.taken.Load(); owned != nil {
		for _, q := range *owned {
			if q.life.Err() == nil {
				mine = append(mine, q.shown)
			}
		}
	}
	if err := s.trouble.Load(); err != nil {
		return mine, *err
	}
	return mine, s.differ.lasting()
}
