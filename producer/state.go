package producer

import "github.com/rocketkit/rocketkit/trace"

// State is what a producer knows of itself, without asking a server.
type State struct {
	Group string
	// Ended says that it takes no sends any more.
	Ended bool
	// InFlight is how many sends are under way.
	InFlight int
	// Circuits are the circuit breakers of the brokers that were sent to, by name. One that
	// was open for its time is half-open until a send has tried the broker.
	Circuits map[string]trace.BreakerState
}

// State is how the producer is now.
func (p *Producer) State() State {
	s := State{Group: p.group, InFlight: p.flow.taken(), Circuits: p.brokers.circuits()}
	p.flow.mu.Lock()
	defer p.flow.mu.Unlock()
	s.Ended = p.flow.state != flowOpen
	return s
}
