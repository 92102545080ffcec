package consumer

import (
	"errors"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// State is what a consumer knows of itself, without asking a server.
type State struct {
	Group string
	// Phase is "new" before Start, then "running", "ending" and "ended".
	Phase string
	// Queues are those that are this member's, of retries and of dead letters too;
	// driver/clientgo does not tell.
	Queues []message.Queue
	// Trouble is why queues could not be shared out lately, or a
	// *message.SubscriptionsDifferError when the group's members have had different
	// subscriptions for minutes, which driver/native notices; nil when all is well.
	Trouble error
	// Lag is how many messages of the Queues are not settled, as the last pulls told.
	Lag      int64
	Handlers []HandlerState
}

// HandlerState is one handler's.
type HandlerState struct {
	Name string
	// Disabled is what Disable says, Paused what Pause does, and Killed what the kill
	// switch does.
	Disabled, Paused, Killed bool
	Concurrency              int
	RateLimit                float64 // messages a second, 0 for no limit
	// Waiting is how many messages wait for it here, Running how many calls there are,
	// and Overdue how many of these have passed their consume time-out. When all that
	// may run are overdue, the handler is stuck.
	Waiting, Running, Overdue int
	// Oldest is for how long the call runs that began first.
	Oldest time.Duration
}

// Stuck reports that the handler can begin nothing more, since every call that it may
// have at once has passed its consume time-out.
func (h HandlerState) Stuck() bool { return h.Overdue > 0 && h.Overdue >= h.Concurrency }

// State is how the consumer is now.
func (c *Consumer) State() State {
	s := State{Group: c.group, Phase: c.phase()}
	for _, sub := range c.subs {
		queues, behind, trouble := shareOf(sub)
		s.Queues, s.Lag = append(s.Queues, queues...), s.Lag+behind
		// What keeps the member from its queues counts for more than what other members do.
		if s.Trouble == nil || trouble != nil && errors.Is(s.Trouble, message.ErrSubscriptionsDiffer) {
			s.Trouble = trouble
		}
	}
	now := time.Now()
	for _, p := range c.pools {
		s.Handlers = append(s.Handlers, p.state(now))
	}
	return s
}

func (c *Consumer) phase() string {
	if isClosed(c.closed) {
		return "ended"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return [...]string{idle: "new", started: "running", ending: "ending"}[c.state]
}

func (p *pool) state(now time.Time) HandlerState {
	h := p.handler
	s := HandlerState{Name: h.name, Disabled: h.disabled, RateLimit: h.pace.PerSecond()}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Paused, s.Killed, s.Concurrency, s.Waiting = p.held, p.killed, p.most, p.n+p.turns
	for _, slot := range p.slots {
		if c := slot.call.Load(); c != nil {
			took := now.Sub(c.start)
			s.Running++
			s.Oldest = max(s.Oldest, took)
			if took > c.timeout {
				s.Overdue++
			}
		}
	}
	return s
}
