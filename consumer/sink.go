package consumer

import (
	"context"
	"log/slog"
	"math"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// sink hands the deliveries of one subscription to the pools of its handlers. It
// is immutable.
type sink struct {
	only   *pool // takes everything: the dead-letter handler's
	topics map[string]*route
	tracer *trace.Tracer
	log    *slog.Logger // has group
}

// route is a topic's handlers.
type route struct {
	all   *pool            // takes every tag; nil when handlers share the topic by tags
	byTag map[string]*pool // nil when there is an all
}

var _ driver.Sink = (*sink)(nil)

// Deliver queues the messages, runs of one handler at a time. A retried message
// names its original topic, so it finds the handler that failed.
func (s *sink) Deliver(ctx context.Context, settler driver.Settler, ds []*message.Delivery) {
	for len(ds) > 0 {
		p := s.find(ds[0])
		n := 1
		for n < len(ds) && s.same(p, ds[n-1], ds[n]) {
			n++
		}
		switch {
		case p == nil:
			s.unhandled(ctx, settler, ds[:n])
		case p.handler.disabled:
			s.postponed(ctx, settler, ds[:n])
		case !p.push(ctx, settler, ds[:n]):
			for _, d := range ds[:n] {
				settler.Settle(d, driver.Verdict{}) // shut down: given back
			}
		}
		ds = ds[n:]
	}
}

// same reports whether b goes where a went, to p.
func (s *sink) same(p *pool, a, b *message.Delivery) bool {
	return a.Topic == b.Topic && a.Tag == b.Tag || s.find(b) == p
}

// find returns the pool that takes d, nil when no handler does.
func (s *sink) find(d *message.Delivery) *pool {
	if s.only != nil {
		return s.only
	}
	r := s.topics[d.Topic]
	switch {
	case r == nil:
		return nil
	case r.all != nil:
		return r.all
	}
	return r.byTag[d.Tag]
}

// unhandled dead-letters messages that no handler takes: what waited in the retry
// topic for a handler that is no longer in the program.
func (s *sink) unhandled(ctx context.Context, settler driver.Settler, ds []*message.Delivery) {
	for _, d := range ds {
		s.log.LogAttrs(ctx, slog.LevelError, "no handler takes the message", append(identity(d),
			slog.String("tag", d.Tag), slog.String("next", "dead-letter queue "+message.DLQTopic(d.Group)),
			slog.String("remedy", "register a handler for this topic and tag, or use another group"))...)
		s.settle(settler, d, driver.Verdict{Action: driver.ActionDeadLetter})
	}
}

// postponed gives back messages that wait in the retry topic for a handler that
// is disabled, however often: none is dead-lettered.
func (s *sink) postponed(ctx context.Context, settler driver.Settler, ds []*message.Delivery) {
	for _, d := range ds {
		s.log.LogAttrs(ctx, slog.LevelWarn, "the message's handler is disabled", append(identity(d),
			slog.String("tag", d.Tag), slog.String("next", "delivered again later"))...)
		s.settle(settler, d, driver.Verdict{Action: driver.ActionRetry, MaxRetries: math.MaxInt32})
	}
}

// settle says what becomes of a message that no handler saw, and counts it.
func (s *sink) settle(settler driver.Settler, d *message.Delivery, v driver.Verdict) {
	count(s.tracer, d, v)
	settler.Settle(d, v)
}
