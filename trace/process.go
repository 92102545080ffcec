package trace

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/rocketkit/rocketkit/message"
)

// StartProcess starts the span "process <topic>" of one handler run. The ctx
// it returns carries the span and the sender's baggage. The caller ends the
// span with EndProcess. broadcast says that every member of the group gets the message.
func (t *Tracer) StartProcess(ctx context.Context, d *message.Delivery, broadcast bool) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	op := operation{name: opProcess, kind: oteltrace.SpanKindConsumer, topic: d.Topic, group: d.Group, host: d.StoreHost}
	if t.propagator == nil {
		return t.start(ctx, op)
	}
	ctx, opts := t.continues(ctx, d)
	ctx, span := t.start(ctx, op, opts...)
	if span.recording() {
		span.span.SetAttributes(append(t.deliveryAttributes(d), consumptionModel(broadcast))...)
	}
	return ctx, span
}

// continues is the ctx that a message brings, with what links a span to the one that sent
// it, and perhaps keeps it from being its child.
func (t *Tracer) continues(ctx context.Context, d *message.Delivery) (context.Context, []oteltrace.SpanStartOption) {
	if t.w3c && !carries(d) {
		return ctx, nil
	}
	outer := oteltrace.SpanContextFromContext(ctx)
	ctx = t.propagator.Extract(ctx, deliveryCarrier{d})
	created := oteltrace.SpanContextFromContext(ctx)
	if !created.IsValid() || created.Equal(outer) {
		return ctx, nil
	}
	opts := append(make([]oteltrace.SpanStartOption, 0, 2), oteltrace.WithLinks(oteltrace.Link{SpanContext: created}))
	if t.linkOnly {
		opts = append(opts, oteltrace.WithNewRoot())
	}
	return ctx, opts
}

// carries reports that a message may bring a W3C context: most of those of programs without
// tracing do not, which is found out here in one go.
func carries(d *message.Delivery) bool {
	for k := range d.Properties() {
		if k == traceparent || k == "baggage" {
			return true
		}
	}
	return false
}

// created is the context of what sent a message.
func (t *Tracer) created(d *message.Delivery) oteltrace.SpanContext {
	return oteltrace.SpanContextFromContext(t.propagator.Extract(context.Background(), deliveryCarrier{d}))
}

// StartProcessBatch starts the span "process <topic>" of one run of a batch handler, for
// messages of one queue, at least one. It is linked to what sent each of them and
// continues none of their traces. The caller ends it with EndProcess.
func (t *Tracer) StartProcessBatch(ctx context.Context, ds []*message.Delivery, broadcast bool) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	op := operation{name: opProcess, kind: oteltrace.SpanKindConsumer, topic: ds[0].Topic, group: ds[0].Group, host: ds[0].StoreHost}
	if t.tracer == nil {
		return t.start(ctx, op)
	}
	ctx, span := t.start(ctx, op, oteltrace.WithLinks(t.links(ds)...))
	if span.recording() {
		span.span.SetAttributes(batchCount(len(ds)), consumptionModel(broadcast), partition(ds[0].Queue))
	}
	return ctx, span
}

func (t *Tracer) links(ds []*message.Delivery) []oteltrace.Link {
	links := make([]oteltrace.Link, 0, len(ds))
	for _, d := range ds {
		links = appendLink(links, t.created(d), d.ID)
	}
	return links
}

// EndProcess ends the run of a handler for some messages, with its error.
func (s *Span) EndProcess(messages int, err error) {
	if s.t == nil {
		return
	}
	took := s.end(err)
	if m := s.t.metrics; m != nil {
		m.processed(s.op, took, messages, err)
	}
	*s = Span{}
}

// deliveryCarrier reads the context from a received message's properties.
type deliveryCarrier struct{ d *message.Delivery }

func (c deliveryCarrier) Get(key string) string { return c.d.Property(key) }

// Set does nothing: a delivery is not changed.
func (deliveryCarrier) Set(string, string) {}

func (c deliveryCarrier) Keys() []string {
	var keys []string
	for k := range c.d.Properties() {
		keys = append(keys, k)
	}
	return keys
}

// attributesOf are those of a batch of messages that the program has received: what all
// of them share.
func attributesOf(ds []*message.Delivery) []attribute.KeyValue {
	attrs := []attribute.KeyValue{batchCount(len(ds))}
	for _, d := range ds {
		if d.Queue != ds[0].Queue {
			return attrs
		}
	}
	if len(ds) > 0 {
		attrs = append(attrs, partition(ds[0].Queue))
	}
	return attrs
}
