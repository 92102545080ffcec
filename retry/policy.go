package retry

import (
	"errors"
	"fmt"
	"time"
)

// DefaultRetries is RocketMQ's own number of retries (retryMaxTimes,
// maxReconsumeTimes): 17 deliveries in all.
const DefaultRetries = 16

// Policy decides about failed messages. The zero value is Levels(16).
type Policy struct {
	set       bool
	retries   int // by the broker
	immediate int // in process, for each delivery
	grows     bool
	backoff   Backoff // when it grows
}

// Levels retries n times by the broker's delay levels: 16 retries are 17
// deliveries, 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h apart, 4 h
// 45 m 40 s in all; then the message goes to the dead-letter queue. Retries
// beyond the 16th are 2h apart. (The broker delays by level 3 + reconsumeTimes,
// capped at its last; its messageDelayLevel can change what the levels mean.)
func Levels(n int) Policy { return Policy{set: true, retries: n} }

// None sends a message to the dead-letter queue when it fails for the first
// time.
func None() Policy { return Levels(0) }

// Immediately returns p with n further calls of the handler, at once and in
// this process, before a delivery counts as failed. They come with each
// delivery and not for errors that are marked.
func (p Policy) Immediately(n int) Policy {
	if !p.set {
		p = Levels(DefaultRetries)
	}
	p.immediate = n
	return p
}

// UpTo returns p with n retries by the broker instead of its own number.
func (p Policy) UpTo(n int) Policy {
	p.set, p.retries = true, n
	return p
}

// Strict reports that p's delays must not be rounded, see Backoff.
func (p Policy) Strict() bool { return p.backoff.Strict }

// Grows reports that p has delays of its own, of a Backoff.
func (p Policy) Grows() bool { return p.grows }

// IsZero reports that nothing was chosen.
func (p Policy) IsZero() bool { return p == Policy{} }

// Retries is how often the broker delivers a message again.
func (p Policy) Retries() int {
	if !p.set {
		return DefaultRetries
	}
	return p.retries
}

// Validate reports numbers that make no sense.
func (p Policy) Validate() error {
	var errs []error
	if p.retries < 0 {
		errs = append(errs, fmt.Errorf("%w: %d retries; use retry.None() for a message that is never retried", ErrPolicy, p.retries))
	}
	if p.immediate < 0 {
		errs = append(errs, fmt.Errorf("%w: %d immediate retries; at least 0", ErrPolicy, p.immediate))
	}
	if p.grows {
		errs = append(errs, p.backoff.validate())
	}
	return errors.Join(errs...)
}

func (p Policy) String() string {
	how := "by the broker"
	if p.grows {
		how = p.backoff.String()
	}
	if p.immediate > 0 {
		return fmt.Sprintf("%d immediate retries, then %d %s", p.immediate, p.Retries(), how)
	}
	return fmt.Sprintf("%d retries %s", p.Retries(), how)
}

// Attempt says which attempt failed.
type Attempt struct {
	// Reconsumed counts the deliveries that failed before this one:
	// message.Delivery.ReconsumeTimes.
	Reconsumed int
	// Immediate counts the calls of the handler that failed before in this
	// delivery.
	Immediate int
	// Random is a number from 0 up to, but not, 1: a new one for each failure. The
	// jitter of a Backoff comes of it.
	Random float64
}

// Action is what becomes of the message.
type Action int

// Actions. The zero value loses nothing.
const (
	Later       Action = iota // the broker delivers it again
	Now                       // the handler is called again at once
	DeadLetter                // no further attempt
	Acknowledge               // done
)

// Decision is an Action with its details.
type Decision struct {
	Action Action
	// Level is the broker's delay level for Later; 0 lets the broker choose
	// 3 + reconsumeTimes.
	Level int
	// Delay, when set, is an exact delay for Later and replaces the level.
	Delay time.Duration
	// Strict: Delay must not be rounded to a level.
	Strict bool
	// MaxRetries goes to the broker with Later, so that it counts as p does.
	MaxRetries int
}

// soonest is the delay level for "as soon as the broker can": 1 s.
const soonest = 1

// Decide says what becomes of a message whose handler returned err; nil is
// acknowledged.
func (p Policy) Decide(a Attempt, err error) Decision {
	if err == nil {
		return Decision{Action: Acknowledge}
	}
	m := classify(err)
	switch {
	case m.class == skip:
		return Decision{Action: Acknowledge}
	case m.class == permanent:
		return Decision{Action: DeadLetter}
	case m.class == unmarked && a.Immediate < p.immediate:
		return Decision{Action: Now}
	case a.Reconsumed >= p.Retries():
		return Decision{Action: DeadLetter}
	}
	d := Decision{Action: Later, MaxRetries: p.Retries()}
	switch {
	case m.class == after && m.delay == 0:
		d.Level = soonest
	case m.class == after:
		d.Delay, d.Strict = m.delay, p.backoff.Strict
	case p.grows:
		d.Delay, d.Strict = p.backoff.delay(a.Reconsumed, a.Random), p.backoff.Strict
	}
	return d
}

// BrokerDelay is how long a broker with RocketMQ's default levels waits before
// it delivers a message again that has failed reconsumed+1 times: 10 s for 0,
// 2 h from 15 on.
func BrokerDelay(reconsumed int) time.Duration {
	const s, m, h = time.Second, time.Minute, time.Hour
	levels := [DefaultRetries]time.Duration{10 * s, 30 * s, m, 2 * m, 3 * m, 4 * m, 5 * m, 6 * m, 7 * m, 8 * m, 9 * m, 10 * m, 20 * m, 30 * m, h, 2 * h}
	return levels[min(max(reconsumed, 0), len(levels)-1)]
}
