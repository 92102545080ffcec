package producer

import (
	"context"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// endSpan ends the send's span, if it has not ended, with where the message went.
func (o *op) endSpan(r message.SendResult, err error) {
	if r.Queue.Broker == "" {
		r.Queue = o.queue // that of the last attempt, if there was one
	}
	sent := trace.Sent{
		Message: o.out.Message, ID: o.out.ID, Transaction: o.kind == half, Conversation: o.conversation,
		Queue: r.Queue, Addr: o.receipt.Addr, Tried: len(o.tried) > 0, Err: err,
	}
	if o.parts > 0 { // also when it is a single one
		sent.Message, sent.Batch = nil, o.parts
	}
	o.span.EndSend(&sent)
}

// startSpan starts the span of a batch's request.
func (p *Producer) startSpan(ctx context.Context, pt *part) (context.Context, trace.Span) {
	if p.cfg.tracer == nil {
		return ctx, trace.Span{}
	}
	created := make([]trace.Created, len(pt.items))
	for i, it := range pt.items {
		created[i] = it.created
	}
	return p.cfg.tracer.StartSendBatch(ctx, pt.items[0].out.Topic, created)
}

// watch has the metrics look at the producer until it ends.
func (p *Producer) watch() (stop func()) {
	return p.cfg.tracer.WatchProducer(p.group, func() trace.ProducerState {
		return trace.ProducerState{InFlight: p.flow.taken(), Breakers: p.brokers.circuits()}
	})
}

// taken is how many places in flight are.
func (f *flow) taken() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.places
}

// circuits are the states of the brokers' breakers as they are now: the state that a
// brokerState has is that after the last send.
func (b *brokers) circuits() map[string]trace.BreakerState {
	if b.breaker == nil {
		return nil
	}
	states := make(map[string]trace.BreakerState)
	for name, s := range b.states.all() {
		switch s.breaker.State() {
		case gobreaker.StateOpen:
			states[name] = trace.BreakerOpen
		case gobreaker.StateHalfOpen:
			states[name] = trace.BreakerHalfOpen
		default:
			states[name] = trace.BreakerClosed
		}
	}
	return states
}

// all is what has been made so far. It must not be changed.
func (t *table[V]) all() map[string]*V { return *t.read.Load() }

// recalled makes the span of a recall.
func (p *Producer) recalled(ctx context.Context, topic, server string, began time.Time, err error) error {
	p.cfg.tracer.Recall(ctx, topic, server, began, err)
	return err
}
