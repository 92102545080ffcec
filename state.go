package rocketkit

import (
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/producer"
)

// State is what a client knows of itself, without asking a server. Package health makes
// answers to probes of it.
type State struct {
	// Closing says that it takes nothing new.
	Closing bool
	// Servers are the name servers and the brokers of the topics in use; nil when the
	// driver does not tell, as driver/clientgo.
	Servers []driver.ServerState
	// Producers and Consumers are those that were made, in order. One that has ended is
	// there until another is made.
	Producers []producer.State
	Consumers []consumer.State
}

// State is how the client is now.
func (c *Client) State() State {
	c.mu.Lock()
	s := State{Closing: c.closing}
	members := append([]made(nil), c.members...)
	c.mu.Unlock()
	if d, ok := c.driver.(driver.Reporting); ok {
		s.Servers = d.Servers()
	}
	for _, m := range members {
		switch m := m.member.(type) {
		case interface{ State() producer.State }:
			s.Producers = append(s.Producers, m.State())
		case interface{ State() consumer.State }:
			s.Consumers = append(s.Consumers, m.State())
		}
	}
	return s
}
