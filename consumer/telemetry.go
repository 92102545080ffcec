package consumer

import (
	"context"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// settle says what becomes of a message, and counts it, unless its queue is gone, or the
// message is elsewhere, with somebody who has claimed it: then it does not count.
func (h *handler) settle(t *task, v driver.Verdict, elsewhere bool) {
	if t.queue.Err() == nil && !elsewhere {
		if h.killSwitch != nil {
			h.killSwitch.record(v)
		}
		count(h.tracer, t.d, v)
	}
	t.settler.Settle(t.d, v)
}

// count counts a message that failed.
func count(t *trace.Tracer, d *message.Delivery, v driver.Verdict) {
	switch v.Action {
	case driver.ActionAck:
	case driver.ActionRetry:
		t.Retried(d)
	case driver.ActionDeadLetter:
		t.DeadLettered(d)
	}
}

// sendBacks makes the spans of the requests by which messages are given back.
func sendBacks(t *trace.Tracer) func(*message.Delivery) func(string, error) {
	if t == nil {
		return nil
	}
	return func(d *message.Delivery) func(string, error) {
		began := time.Now()
		return func(server string, err error) {
			t.Nack(context.Background(), trace.Settled{Began: began, Group: d.Group, Delivery: d, Server: server, Later: true, Err: err})
		}
	}
}

// watch has the metrics look at one of the consumer's subscriptions until it ends.
func (c *Consumer) watch(group string, sub driver.Subscription) {
	c.unwatch = append(c.unwatch, c.tracer.WatchConsumer(group, func() trace.ConsumerState {
		s := trace.ConsumerState{InFlight: map[string]int{}, Lag: lag(sub)}
		for _, p := range c.pools {
			if h := p.handler; h.group == group && !h.disabled {
				s.InFlight[h.name] = p.unsettled()
			}
		}
		return s
	}))
}

// unsettled is how many messages wait in the pool or are with its handler.
func (p *pool) unsettled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.n + p.turns
	for _, s := range p.slots {
		if c := s.call.Load(); c != nil {
			n += max(1, int(c.batch))
		}
	}
	return n
}

// watch has the metrics look at a fetcher until it ends.
func (f *Fetcher) watch() (stop func()) {
	return f.tracer.WatchConsumer(f.group, func() trace.ConsumerState {
		f.mu.Lock()
		n := len(f.waiting) + len(f.fetched)
		f.mu.Unlock()
		return trace.ConsumerState{InFlight: map[string]int{"": n}, Lag: lag(f.sub)}
	})
}

// reaching returns a ctx by which the driver says where a request goes, if that is to be
// told.
func reaching(ctx context.Context, t *trace.Tracer) (context.Context, *driver.Reached) {
	if t == nil {
		return ctx, &driver.Reached{}
	}
	return driver.WithReached(ctx)
}

// lag is how far behind a subscription is, as far as its driver knows.
func lag(s driver.Subscription) map[message.Queue]int64 {
	if l, ok := s.(driver.Lagging); ok {
		return l.Lag()
	}
	return nil
}

// only is the topic of filters where there is one, "" for several.
func only(filters []driver.TopicFilter) string {
	if len(filters) == 1 {
		return filters[0].Topic
	}
	return ""
}
