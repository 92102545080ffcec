package consumer

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/message"
)

// Defaults and limits of batches.
const (
	defaultBatchSize = 32   // what Apache's broker gives in one pull
	maxBatchSize     = 1024 // consumeMessageBatchMaxSize of Apache's checkConfig
)

// BatchFunc handles several messages at once. What it returns is the outcome of every
// message that it has said nothing about by Batch.Done or Batch.Fail: nil acknowledges
// them, and an error, a panic included, fails each. Every failed message goes its own
// way then, exactly as that of a Func does: by its own attempts and the handler's retry
// policy, and by how its error is marked (package retry).
//
// ctx ends when the consume time-out of the call is over or when the queue moved to
// another member of the group. message.DeliveryFrom(ctx) is nil: see Batch.Deliveries.
type BatchFunc[T any] func(ctx context.Context, b *Batch[T]) error

// HandleBatch registers h for batches of a topic's messages: up to BatchSize of one
// queue, in its order, as many as have arrived when a worker is free, or within
// BatchWait. T chooses the codec as with Handle; a message that cannot be decoded goes
// to the dead letters by itself, and h gets the others. Immediate retries of the policy
// call h again with those that failed. Concurrency counts batches, RateLimit and
// KillSwitch messages.
//
// Ordered groups have no batch handlers, since of what is in order one message is
// handled at a time. A Mux with middleware, which sees single messages, has none either.
func HandleBatch[T any](m *Mux, topic string, h BatchFunc[T], opts ...HandlerOption) {
	r := newRegistration[T](topic, nil, opts)
	takesBatches(r, h)
	m.registrations = append(m.registrations, r)
}

// takesBatches makes the handler of a registration one of batches.
func takesBatches[T any](r *registration, h BatchFunc[T]) {
	r.isNil, r.fn, r.newTyped = h == nil, reflect.ValueOf(h).Pointer(), nil
	r.newBatch = func(group, name string, c codec.Codec) batchRunner {
		return &typedBatches[T]{decoder: decoder[T]{group: group, name: name, codec: c}, fn: h}
	}
}

// HandleBatchRaw registers a batch handler that takes messages undecoded.
func HandleBatchRaw(m *Mux, topic string, h func(ctx context.Context, b *Batch[*message.Delivery]) error, opts ...HandlerOption) {
	HandleBatch(m, topic, BatchFunc[*message.Delivery](h), opts...)
}

// BatchSize is the most messages in a call of a batch handler, 1 to 1024 and up to
// MaxUnsettled; 32 by default.
func BatchSize(n int) HandlerOption {
	return handlerOption(func(o *handlerOptions) { o.batchSize = chosen(n) })
}

// BatchWait is how long a message waits for others of its queue to fill a batch; 0, the
// default, takes what is there. A drain waits for nobody.
func BatchWait(d time.Duration) HandlerOption {
	return handlerOption(func(o *handlerOptions) { o.batchWait = chosen(d) })
}

// Batch is the messages of one call of a BatchFunc: at least one, of one queue, in
// offset order. Its methods may be called concurrently. What is said of a message after
// the call has returned does not count; before, the last word does. An index that the
// batch does not have panics.
type Batch[T any] struct {
	values     []T
	deliveries []*message.Delivery

	mu    sync.Mutex // guards the following
	over  bool       // the call has returned
	words []word     // by message
}

// word is what a handler has said of a message.
type word struct {
	said bool
	err  error
}

// Len is the number of messages.
func (b *Batch[T]) Len() int { return len(b.values) }

// Values are the decoded messages. The slice is the handler's.
func (b *Batch[T]) Values() []T { return b.values }

// Deliveries are the messages with their metadata, in the order of Values. The slice is
// the handler's.
func (b *Batch[T]) Deliveries() []*message.Delivery { return b.deliveries }

// Done says that message i is handled: it is acknowledged whatever the call returns.
func (b *Batch[T]) Done(i int) { b.say(i, nil) }

// Fail says that message i has failed with err, which may be marked by package retry.
// Without an error it is Done, so that
//
//	for i, v := range b.Values() {
//		b.Fail(i, pay(v))
//	}
//
// says what there is to say.
func (b *Batch[T]) Fail(i int, err error) { b.say(i, err) }

func (b *Batch[T]) say(i int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	b.words[i] = word{true, err}
}

// end takes the last words.
func (b *Batch[T]) end() []word {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	return b.words
}

// batchRunner makes the typed calls of one batch handler.
type batchRunner interface {
	newBatch(room int) typedBatch
}

// typedBatch is one call of a batch handler.
type typedBatch interface {
	// add puts a message at the end, unless it cannot be decoded.
	add(d *message.Delivery) error
	handle(ctx context.Context) error
	end() []word
}

// typedBatches runs handlers of type BatchFunc[T].
type typedBatches[T any] struct {
	decoder[T]
	fn BatchFunc[T]
}

func (r *typedBatches[T]) newBatch(room int) typedBatch {
	return &batchOf[T]{
		Batch:  Batch[T]{values: make([]T, 0, room), deliveries: make([]*message.Delivery, 0, room), words: make([]word, 0, room)},
		runner: r,
	}
}

// batchOf is a Batch that its handler is called with.
type batchOf[T any] struct {
	Batch[T]
	runner *typedBatches[T]
}

func (b *batchOf[T]) add(d *message.Delivery) error {
	var v T
	if err := b.runner.decodeInto(d, &v); err != nil {
		return err
	}
	b.values, b.deliveries, b.words = append(b.values, v), append(b.deliveries, d), append(b.words, word{})
	return nil
}

func (b *batchOf[T]) handle(ctx context.Context) error { return b.runner.fn(ctx, &b.Batch) }

// batchSize is how many messages a call of a batch handler gets at most.
func (p *plan) batchSize(e *entry) int {
	return e.batchSize.or(min(defaultBatchSize, p.opts.maxUnsettled.or(defaultBatchSize)))
}

// checkBatch finds what does not go with batches, or only with them.
func (p *plan) checkBatch(e *entry) {
	if e.newBatch == nil {
		if e.batchSize.set || e.batchWait.set {
			p.mistake("%s: BatchSize and BatchWait are for batches, and it takes single messages; use HandleBatch, or remove them", e.label())
		}
		return
	}
	limit := min(maxBatchSize, p.opts.maxUnsettled.or(maxBatchSize))
	if n := e.batchSize; n.set && (n.value < 1 || n.value > limit) {
		p.mistake("%s: BatchSize(%d): 1 to %d, and no more than MaxUnsettled", e.label(), n.value, maxBatchSize)
	}
	if d := e.batchWait; d.set && d.value < 0 {
		p.mistake("%s: BatchWait(%s): must not be negative; 0 takes what is there", e.label(), d.value)
	}
	if p.opts.ordered {
		p.mistake("%s: batches in an ordered group are %w: of what is in order one message is handled at a time; use Handle, or remove Ordered and OrderedBy", e.label(), message.ErrUnsupported)
	}
	if len(p.middleware) > 0 {
		p.mistake("%s: batches do not pass through middleware, which sees single messages; wrap the function itself, or give it a group of its own", e.label())
	}
}
