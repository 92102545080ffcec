package rocketkit

import (
	"slices"
	"weak"

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
	// Producers, Consumers and Fetchers are those that were made, in order. One that has
	// ended is there until another is made.
	Producers []producer.State
	Consumers []consumer.State
	Fetchers  []consumer.FetcherState
	// Pullers and SimpleConsumers are those that were made, in order, as long as the
	// program has them: they have no end.
	Pullers         []consumer.PullerState
	SimpleConsumers []consumer.SimpleState
}

// State is how the client is now.
func (c *Client) State() State {
	c.mu.Lock()
	s := State{Closing: c.closing}
	members, readers := append([]made(nil), c.members...), append([]reader(nil), c.readers...)
	c.mu.Unlock()
	if d, ok := c.driver.(driver.Reporting); ok {
		s.Servers = d.Servers()
	}
	for _, m := range members {
		switch m := m.member.(type) {
		case *producer.Producer:
			s.Producers = append(s.Producers, m.State())
		case *consumer.Consumer:
			s.Consumers = append(s.Consumers, m.State())
		case *consumer.Fetcher:
			s.Fetchers = append(s.Fetchers, m.State())
		}
	}
	for _, look := range readers {
		look(&s)
	}
	return s
}

// reader adds what a consumer without an end knows of itself to a State that is not nil. It
// says whether the program has the consumer still.
type reader func(*State) (there bool)

// remember lets State tell of m for as long as the program has it.
func remember[T any](c *Client, m *T, add func(*T, *State)) {
	it := weak.Make(m)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.readers) == cap(c.readers) { // before it grows
		c.readers = slices.DeleteFunc(c.readers, func(r reader) bool { return !r(nil) })
	}
	c.readers = append(c.readers, func(s *State) bool {
		m := it.Value()
		if m != nil && s != nil {
			add(m, s)
		}
		return m != nil
	})
}
