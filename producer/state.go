package producer

import "github.com/rocketkit/rocketkit/trace"

// State is what a producer knows of itself, without asking a server.
type State struct {
	Group string
	// Ended says that it takes no sends any more.
	Ended bool
	// InFlight is how many sends are under way.
	InFlight int
	// Circuits are the circuit breakers of the brokers that were sent to, by name:
	// "closed", "half-open" or "open". One is open until a send tries the broker again.
	Circuits map[string]string
}

// State is how the producer is now.
func (p *Producer) State() State {
	s := State{Group: p.group, InFlight: p.flow.taken(), Circuits: map[string]string{}}
	p.flow.mu.Lock()
	s.Ended = p.flow.state != flowOpen
	p.flow.mu.Unlock()
	for name, b := range p.brokers.circuits() {
		switch b {
		case trace.BreakerOpen:
			s.Circuits[name] = "open"
		case trace.BreakerHalfOpen:
			s.Circuits[name] = "half-open"
		default:
			s.Circuits[name] = "closed"
		}
	}
	return s
}
