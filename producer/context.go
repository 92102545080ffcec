package producer

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errStopped cancels what is in flight when the producer stops.
var errStopped = errors.New("the producer stopped")

// sendContext bounds one send: it ends with the caller's ctx, at its time, or
// when it is cancelled. It is context.WithDeadline's, made only when somebody
// asks for its channel: a driver that keeps deadlines of its own never does, and
// one timer and channel a message is much.
type sendContext struct {
	parent context.Context // the caller's
	begun  time.Time
	at     time.Time

	mu     sync.Mutex // guards the following
	cause  error      // why it was cancelled, nil while it was not
	inner  context.Context
	cancel context.CancelFunc // of inner
}

// newSendContext makes one that ends timeout from now, or with parent.
func newSendContext(parent context.Context, timeout time.Duration) *sendContext {
	c := &sendContext{parent: parent}
	c.restart(timeout)
	return c
}

// restart counts the time-out from now. Nobody else may have c yet.
func (c *sendContext) restart(timeout time.Duration) {
	c.begun = time.Now()
	c.at = c.begun.Add(timeout)
	if at, ok := c.parent.Deadline(); ok && at.Before(c.at) {
		c.at = at
	}
}

// Deadline implements context.Context.
func (c *sendContext) Deadline() (time.Time, bool) { return c.at, true }

// Err implements context.Context.
func (c *sendContext) Err() error {
	c.mu.Lock()
	inner, cause := c.inner, c.cause
	c.mu.Unlock()
	switch {
	case inner != nil:
		return inner.Err()
	case cause != nil:
		return context.Canceled
	}
	if err := c.parent.Err(); err != nil {
		return err
	}
	if !time.Now().Before(c.at) {
		return context.DeadlineExceeded
	}
	return nil
}

// Done implements context.Context.
func (c *sendContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.inner, c.cancel = context.WithDeadline(c.parent, c.at)
		if c.cause != nil {
			c.cancel()
		}
	}
	return c.inner.Done()
}

// Value implements context.Context. Asking inner lets package context find the
// ctx that Done's channel belongs to.
func (c *sendContext) Value(key any) any {
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return c.parent.Value(key)
}

// end cancels c, also when the send is over, to let go of what it holds.
func (c *sendContext) end(cause error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// stopped reports that the producer's stop cancelled c.
func (c *sendContext) stopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause == errStopped //nolint:errorlint // set by end, never wrapped
}

// WithoutTimer is for drivers that keep deadlines themselves, see
// driver.WithoutTimer.
func (c *sendContext) WithoutTimer() context.Context { return (*untimed)(c) }

// untimed is a sendContext whose Done is the caller's.
type untimed sendContext

func (c *untimed) Deadline() (time.Time, bool) { return c.at, true }
func (c *untimed) Done() <-chan struct{}       { return c.parent.Done() }
func (c *untimed) Value(key any) any           { return c.parent.Value(key) }

// Err implements context.Context. The caller's ctx comes first: a child of it, as
// inner is, ends a moment after its channel is closed, and package context panics
// when a closed channel has no error.
func (c *untimed) Err() error {
	if err := c.parent.Err(); err != nil {
		return err
	}
	return (*sendContext)(c).Err()
}
