package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/rocketkit/rocketkit/message"
)

// How long a broker that failed is avoided while others are available: doubled
// with each failure in a row.
const (
	firstAvoidance   = time.Second
	longestAvoidance = 30 * time.Second
)

// Failures open a circuit when they go on for shortestRow; rows with a pause of
// longestGap begin anew.
const (
	shortestRow = time.Second
	longestGap  = 10 * time.Second
)

// mostPatience is how long a broker may leave a send unanswered before a deadline
// that ends it counts against the broker, not against a hasty caller.
const mostPatience = time.Second

// patience is that of sends that may not take as long.
func (s *sends) patience() time.Duration {
	p := min(mostPatience, s.sendTimeout)
	if s.attemptTimeout > 0 {
		p = min(p, s.attemptTimeout)
	}
	return p
}

// health is what an attempt says about its broker.
type health int

const (
	healthy health = iota
	sick
	unclear // the caller cancelled, or the request was at fault
)

// Verdicts as errors, for gobreaker.
var (
	errSick    = errors.New("sick")
	errUnclear = errors.New("unclear")
)

// healthOf judges a broker by an attempt's error and how long it was waited for.
func healthOf(err error, waited, patience time.Duration) health {
	var refusal *message.BrokerError
	switch {
	case err == nil:
		return healthy
	case errors.Is(err, message.ErrUnsupported): // whatever the broker called it
		return unclear
	case errors.As(err, &refusal):
		if passing(refusal.Code) == passingBroker {
			return sick
		}
		return healthy // it is there, and has said no
	case errors.Is(err, message.ErrUnreachable): // also when its dial timed out
		return sick
	case errors.Is(err, context.Canceled), errors.Is(err, message.ErrClosed):
		return unclear
	case errors.Is(err, context.DeadlineExceeded):
		if waited < patience {
			return unclear
		}
		return sick
	case errors.Is(err, message.ErrOutcomeUnknown):
		return sick
	}
	return unclear
}

// BreakerSettings are those of the circuit breaker that each broker has.
type BreakerSettings struct {
	// Failures in a row, over a second at least, open the circuit; 0 means 5. A
	// connection that is lost with many sends on it does not open it, nor does a
	// broker that restarts in an instant.
	Failures int
	// OpenFor is how long nothing is sent to the broker then; after that one
	// send at a time tries it, and closes the circuit when it succeeds. 0 means
	// 10 s.
	OpenFor time.Duration
}

// brokers is what a producer knows of the brokers it sends to.
type brokers struct {
	log     *slog.Logger
	avoid   bool
	slow    bool                                    // those that answer late are avoided too
	probe   func(q message.Queue, then func(error)) // asks a broker in another goroutine; nil: a message tries it
	breaker *BreakerSettings                        // nil: none
	states  *table[brokerState]
	avoided atomic.Int32 // how many avoidUntil and slowUntil are set
}

// brokerState is one broker's.
type brokerState struct {
	name       string
	breaker    *gobreaker.TwoStepCircuitBreaker[struct{}]
	state      atomic.Int32                  // the breaker's gobreaker.State after the last verdict
	failures   atomic.Int32                  // in a row
	rowBegan   atomic.Int64                  // ns since 1970: the first failure of the row, 0 before it
	rowLast    atomic.Int64                  // and the latest
	avoidUntil atomic.Int64                  // ns since 1970, 0: not avoided
	slowUntil  atomic.Int64                  // the same, for late answers
	failed     atomic.Pointer[message.Queue] // the queue of the last failure, to probe the broker by
	probing    atomic.Bool
}

func newBrokers(log *slog.Logger, avoid bool, breaker *BreakerSettings) *brokers {
	b := &brokers{log: log, avoid: avoid, breaker: breaker}
	b.states = newTable(b.newState)
	return b
}

func (b *brokers) newState(name string) *brokerState {
	s := &brokerState{name: name}
	if b.breaker != nil {
		failures := uint32(b.breaker.Failures)
		s.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name:    name,
			Timeout: b.breaker.OpenFor,
			ReadyToTrip: func(c gobreaker.Counts) bool {
				return c.ConsecutiveFailures >= failures && s.rowLast.Load()-s.rowBegan.Load() >= int64(shortestRow)
			},
			IsExcluded: func(err error) bool { return errors.Is(err, errUnclear) },
		})
	}
	return s
}

// allow asks the broker's circuit breaker. verdict, which may be nil, takes the
// attempt's outcome. A closed circuit is not asked, since it lets everything
// pass: this happens for every message.
func (b *brokers) allow(name string) (s *brokerState, verdict func(error), ok bool) {
	s = b.states.get(name)
	if s.breaker == nil || s.state.Load() == int32(gobreaker.StateClosed) {
		return s, nil, true
	}
	verdict, err := s.breaker.Allow()
	return s, verdict, err == nil
}

// isAvoided reports whether the broker failed a short while ago.
func (b *brokers) isAvoided(name string) bool {
	if b.avoided.Load() == 0 {
		return false
	}
	s, now := b.states.get(name), time.Now().UnixNano()
	if until := s.slowUntil.Load(); until > now {
		return true
	} else if until != 0 && s.slowUntil.CompareAndSwap(until, 0) {
		b.avoided.Add(-1)
	}
	until := s.avoidUntil.Load()
	if until == 0 || until > now {
		return until != 0
	}
	return b.probed(s)
}

// probed has a broker probed whose time is over, and reports whether it is: until it
// answers, it is avoided.
func (b *brokers) probed(s *brokerState) bool {
	q := s.failed.Load()
	if b.probe == nil || q == nil {
		return false
	}
	if s.probing.CompareAndSwap(false, true) {
		b.probe(*q, func(err error) {
			if err != nil {
				b.startAvoiding(s, *q, err)
			} else {
				b.stopAvoiding(s) // the failures in a row stay, until a message is stored
			}
			s.probing.Store(false)
		})
	}
	return true
}

// Java's limits of latency, and for how long a broker is avoided that passed them
// (MQFaultStrategy.latencyMax, notAvailableDuration).
var lateness = [...]struct{ latency, avoid time.Duration }{
	{15 * time.Second, 30 * time.Second}, {5 * time.Second, 10 * time.Second}, {3 * time.Second, 6 * time.Second},
	{1800 * time.Millisecond, 5 * time.Second}, {550 * time.Millisecond, 2 * time.Second},
}

// noteLatency has a broker avoided that has stored a message, but late.
func (b *brokers) noteLatency(s *brokerState, took time.Duration) {
	for _, l := range lateness {
		if took < l.latency {
			continue
		}
		until := time.Now().Add(l.avoid).UnixNano()
		for {
			old := s.slowUntil.Load()
			if old >= until {
				return
			}
			if s.slowUntil.CompareAndSwap(old, until) {
				if old == 0 {
					b.avoided.Add(1)
					b.log.Warn("avoiding a slow broker while others are available", "broker", s.name, "answered after", took, "for", l.avoid)
				}
				return
			}
		}
	}
}

// record notes how an attempt at q, which is s's, ended. err is the attempt's, for the log.
func (b *brokers) record(s *brokerState, q message.Queue, verdict func(error), h health, err error) {
	if h == sick {
		s.noteFailure(time.Now().UnixNano())
	}
	if s.breaker != nil && (verdict != nil || h == sick || h == healthy && s.failures.Load() > 0) {
		b.judge(s, verdict, h, err)
	}
	switch h {
	case sick:
		b.startAvoiding(s, q, err)
	case healthy:
		if s.failures.Load() == 0 {
			return
		}
		s.failures.Store(0)
		s.rowBegan.Store(0)
		b.stopAvoiding(s)
	case unclear:
	}
}

// noteFailure keeps when the row of failures began.
func (s *brokerState) noteFailure(now int64) {
	if last := s.rowLast.Swap(now); now-last > int64(longestGap) {
		s.rowBegan.Store(now)
	} else {
		s.rowBegan.CompareAndSwap(0, now)
	}
}

// judge tells the breaker, and logs a change of its state: gobreaker would
// report that under its lock.
func (b *brokers) judge(s *brokerState, verdict func(error), h health, err error) {
	if verdict == nil {
		var refused error
		if verdict, refused = s.breaker.Allow(); refused != nil {
			return // the circuit opened meanwhile
		}
	}
	switch h {
	case healthy:
		verdict(nil)
	case sick:
		verdict(errSick)
	case unclear:
		verdict(errUnclear)
	}
	now := s.breaker.State()
	was := gobreaker.State(s.state.Swap(int32(now)))
	switch {
	case was == now:
	case now == gobreaker.StateOpen:
		b.log.Warn("circuit breaker opened", "broker", s.name, "for", b.breaker.OpenFor, "error", err)
	default:
		b.log.Info("circuit breaker changed", "broker", s.name, "from", was, "to", now)
	}
}

func (b *brokers) stopAvoiding(s *brokerState) {
	if s.avoidUntil.Swap(0) != 0 {
		b.avoided.Add(-1)
		b.log.Info("broker answers again", "broker", s.name)
	}
}

func (b *brokers) startAvoiding(s *brokerState, q message.Queue, err error) {
	n := s.failures.Add(1)
	if !b.avoid {
		return
	}
	s.failed.Store(&q)
	d := min(firstAvoidance<<min(n-1, 10), longestAvoidance)
	if s.avoidUntil.Swap(time.Now().Add(d).UnixNano()) == 0 {
		b.avoided.Add(1)
		b.log.Warn("a broker failed; others are taken before it for a while", "broker", s.name, "for", d, "error", err)
	}
}

// openError says that no broker of a topic may be tried.
func (b *brokers) openError(topic string, queues []message.Queue) error {
	var names []string
	for _, q := range queues {
		if len(names) == 0 || names[len(names)-1] != q.Broker {
			names = append(names, q.Broker)
		}
	}
	return fmt.Errorf("send to topic %s: %w for %q, after %d failures in a row; each broker is tried again after %s",
		topic, message.ErrBreakerOpen, names, b.breaker.Failures, b.breaker.OpenFor)
}
