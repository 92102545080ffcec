package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// call is one message on its way through a handler, and the ctx that the handler
// gets: it has the consume time-out's deadline, ends with the queue's ctx and
// answers message.DeliveryFrom. The timer and channel that this takes are made
// when somebody first asks for Done; most handlers never do.
type call struct {
	queue   context.Context // ends when the queue is revoked
	d       *message.Delivery
	start   time.Time
	timeout time.Duration

	overran atomic.Bool // set by the watchdog when it has logged the overrun

	mu       sync.Mutex // guards the following
	finished bool
	// elsewhere: somebody else has claimed the message. Its worker owns it.
	elsewhere bool
	// batch is how many messages a batch has, of which d is the first; 0 for a single
	// one. It is never changed, and stands where a bool leaves room: every message has a
	// call, which a word more would put in the next size of allocations.
	batch  uint16
	ctx    context.Context // made on demand
	cancel context.CancelFunc
}

var _ context.Context = (*call)(nil)

func (c *call) Deadline() (time.Time, bool) {
	deadline := c.start.Add(c.timeout)
	if outer, ok := c.queue.Deadline(); ok && outer.Before(deadline) {
		return outer, true
	}
	return deadline, true
}

func (c *call) Done() <-chan struct{} { return c.demand().Done() }

// demand makes the real ctx.
func (c *call) demand() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithDeadline(c.queue, c.start.Add(c.timeout))
		if c.finished {
			c.cancel()
		}
	}
	return c.ctx
}

func (c *call) Err() error {
	c.mu.Lock()
	ctx, finished := c.ctx, c.finished
	c.mu.Unlock()
	switch {
	case ctx != nil:
		return ctx.Err()
	case c.queue.Err() != nil:
		return c.queue.Err()
	case finished:
		return context.Canceled
	case time.Since(c.start) >= c.timeout:
		return context.DeadlineExceeded
	}
	return nil
}

// Value answers for the delivery. Everything else goes to the real ctx where there is
// one: package context finds its own parent by a value, and so needs no goroutine to
// follow this one.
func (c *call) Value(key any) any {
	if key == (message.DeliveryKey{}) && c.batch == 0 {
		return c.d
	}
	c.mu.Lock()
	ctx := c.ctx
	c.mu.Unlock()
	if ctx == nil {
		ctx = c.queue
	}
	return ctx.Value(key)
}

// finish ends the ctx: the handler has returned.
func (c *call) finish() {
	c.mu.Lock()
	c.finished = true
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// identity is what logs say about the call: its message, or a batch's first and how
// many there are.
func (c *call) identity() []slog.Attr {
	attrs := identity(c.d)
	if c.batch > 0 {
		attrs = append(attrs, slog.Int("batch", int(c.batch)))
	}
	return attrs
}

// what is the call's work in words.
func (c *call) what() string {
	if c.batch > 1 {
		return fmt.Sprintf("message %s and %d more", c.d.ID, c.batch-1)
	}
	return "message " + c.d.ID
}

// runner makes the typed calls of one handler.
type runner interface {
	newCall(queue context.Context, d *message.Delivery, start time.Time, timeout time.Duration) typedCall
}

// typedCall is a call with a place for its decoded value.
type typedCall interface {
	context.Context
	base() *call
	// decode fills the value anew.
	decode() error
	// handle runs the middleware and the handler. ctx is the call or derived
	// from it.
	handle(ctx context.Context) error
}

// typedRunner runs handlers of type Func[T].
type typedRunner[T any] struct {
	decoder[T]
	fn    Func[T]
	chain Handler // middleware around fn; nil when there is none
}

// decoder makes the values of one handler.
type decoder[T any] struct {
	group, name string      // the handler's
	codec       codec.Codec // nil: T is *message.Delivery
}

func (t *decoder[T]) decodeInto(d *message.Delivery, v *T) error {
	if t.codec == nil {
		*any(v).(**message.Delivery) = d
		return nil
	}
	err := codec.Decode(t.codec, d, v)
	if err == nil {
		return nil
	}
	return retry.Permanent(&DecodeError{
		Group: t.group, Handler: t.name, Topic: d.Topic, MessageID: d.ID,
		Codec: t.codec.Name(), ContentType: codec.ContentType(d), Type: reflect.TypeFor[T]().String(), Size: len(d.Body), Err: err,
	})
}

func newTypedRunner[T any](group, name string, fn Func[T], c codec.Codec, mw []Middleware) *typedRunner[T] {
	t := &typedRunner[T]{decoder: decoder[T]{group: group, name: name, codec: c}, fn: fn}
	if len(mw) == 0 {
		return t
	}
	t.chain = t.innermost
	for i := len(mw) - 1; i >= 0; i-- {
		t.chain = mw[i](t.chain)
	}
	return t
}

// innermost is the Handler that middleware ends in.
func (t *typedRunner[T]) innermost(ctx context.Context, d *message.Delivery) error {
	if c, ok := ctx.Value(valueKey[T]{}).(*valueCall[T]); ok && c.call.d == d {
		return t.fn(ctx, c.value)
	}
	// Middleware passed another message on, or a ctx of another origin.
	var v T
	if err := t.decodeInto(d, &v); err != nil {
		return err
	}
	return t.fn(ctx, v)
}

func (t *typedRunner[T]) newCall(queue context.Context, d *message.Delivery, start time.Time, timeout time.Duration) typedCall {
	return &valueCall[T]{call: call{queue: queue, d: d, start: start, timeout: timeout}, runner: t}
}

// valueCall is a call of a handler for T: one allocation for everything that a
// message needs on its way.
type valueCall[T any] struct {
	call
	runner *typedRunner[T]
	value  T
}

// valueKey finds the valueCall.
type valueKey[T any] struct{}

func (c *valueCall[T]) Value(key any) any {
	if _, ok := key.(valueKey[T]); ok {
		return c
	}
	return c.call.Value(key)
}

func (c *valueCall[T]) base() *call { return &c.call }

func (c *valueCall[T]) decode() error {
	var fresh T
	c.value = fresh
	return c.runner.decodeInto(c.d, &c.value)
}

func (c *valueCall[T]) handle(ctx context.Context) error {
	if c.runner.chain == nil {
		return c.runner.fn(ctx, c.value)
	}
	return c.runner.chain(ctx, c.d)
}
