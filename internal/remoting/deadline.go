package remoting

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// WithTimeout returns a context that tells Call, Start and Oneway a deadline
// without the timer that context.WithTimeout makes: the connection keeps one
// timer for all its calls. Its Done and Err are those of parent, so that it is
// of no use to anybody else.
func WithTimeout(parent context.Context, d time.Duration) context.Context {
	at := time.Now().Add(d)
	if earlier, ok := parent.Deadline(); ok && earlier.Before(at) {
		return parent
	}
	return &deadlineContext{parent, at}
}

type deadlineContext struct {
	context.Context
	at time.Time
}

func (c *deadlineContext) Deadline() (time.Time, bool) { return c.at, true }

// contextEnd says why ctx is over, nil when it is not.
func contextEnd(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		if cause := context.Cause(ctx); !errors.Is(err, cause) {
			return fmt.Errorf("%w: %w", err, cause)
		}
		return err
	}
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
		return context.DeadlineExceeded
	}
	return nil
}

// lazyDeadline is a network deadline that is moved less often than it is used,
// since moving one costs more than reading the clock: it is set to an eighth
// more than was asked for, and moved when that is used up.
type lazyDeadline struct{ at time.Time }

// move returns the deadline to set so that at least timeout is left; false: what
// is set will do.
func (d *lazyDeadline) move(timeout time.Duration) (time.Time, bool) {
	now := time.Now()
	if d.at.Sub(now) >= timeout {
		return d.at, false
	}
	d.at = now.Add(timeout + timeout/8)
	return d.at, true
}

// arm makes the timer go off at the deadline unless it does so earlier anyway.
// c.mu is held.
func (c *Conn) arm(deadline time.Time) {
	if deadline.IsZero() || (!c.armed.IsZero() && !deadline.Before(c.armed)) {
		return
	}
	c.armed = deadline
	left := time.Until(deadline)
	switch {
	case c.timer == nil:
		c.helpers.Add(1)
		c.timer = time.AfterFunc(left, c.expire)
	case !c.timer.Reset(left): // its last run has begun, this is one more
		c.helpers.Add(1)
	}
}

// disarm stops the timer for good. c.mu is held.
func (c *Conn) disarm() {
	if c.timer != nil && c.timer.Stop() {
		c.helpers.Done()
	}
}

// expire ends the calls whose deadline has come. It goes off once for each
// deadline that was the earliest when it was armed, which is far less often than
// calls are made: completed calls leave it armed.
func (c *Conn) expire() {
	defer c.helpers.Done()
	c.mu.Lock()
	if c.down {
		c.mu.Unlock()
		return
	}
	expired, next := c.pending.takeExpired(time.Now())
	c.armed = time.Time{}
	c.arm(next)
	c.mu.Unlock()
	for _, s := range expired {
		c.finish(s, nil, &CallError{c.addr, s.end != 0, context.DeadlineExceeded})
	}
}
