package trace

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/rocketkit/rocketkit/message"
)

// traceparent is the property that says that a message has a context already.
const traceparent = "traceparent"

// StartSend starts the span "send <topic>" of one message and writes its
// context into c, which collects the message's additional properties. A context
// that the user set in the message's own properties is kept: the span is linked
// to it instead. The caller ends the span with EndSend.
func (t *Tracer) StartSend(ctx context.Context, m *message.Message, c propagation.TextMapCarrier) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	op := operation{name: opSend, kind: oteltrace.SpanKindProducer, topic: m.Topic}
	if t.propagator == nil {
		return t.start(ctx, op)
	}
	if m.Properties[traceparent] == "" {
		ctx, span := t.start(ctx, op)
		t.propagator.Inject(ctx, c)
		return ctx, span
	}
	op.kind = oteltrace.SpanKindClient
	return t.start(ctx, op, oteltrace.WithLinks(oteltrace.Link{SpanContext: t.own(m)}))
}

// own is the context that the user set in a message.
func (t *Tracer) own(m *message.Message) oteltrace.SpanContext {
	return oteltrace.SpanContextFromContext(t.propagator.Extract(context.Background(), propagation.MapCarrier(m.Properties)))
}

// Created is the context that a message of a batch travels with.
type Created struct {
	ID      string // the message's
	Context oteltrace.SpanContext
}

// Create makes the span "create <topic>" of one message of a batch and writes its context
// into c. A message that brings a context of its own keeps it, and has no such span.
func (t *Tracer) Create(ctx context.Context, m *message.Message, id string, c propagation.TextMapCarrier) (context.Context, Created) {
	if t == nil || t.propagator == nil {
		return ctx, Created{}
	}
	if m.Properties[traceparent] != "" {
		return ctx, Created{ID: id, Context: t.own(m)}
	}
	created, span := ctx, Span{}
	if t.tracer != nil {
		created, span = t.start(ctx, operation{name: opCreate, kind: oteltrace.SpanKindProducer, topic: m.Topic})
		if span.recording() {
			span.span.SetAttributes(t.messageAttributes(m, id, false, span.began)...)
		}
		span.end(nil)
	}
	t.propagator.Inject(created, c)
	return created, Created{ID: id, Context: oteltrace.SpanContextFromContext(created)}
}

// StartSendBatch starts the span "send <topic>" of a request of several messages, linked to
// what created them. The caller ends it with EndSend.
func (t *Tracer) StartSendBatch(ctx context.Context, topic string, messages []Created) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	op := operation{name: opSend, kind: oteltrace.SpanKindClient, topic: topic}
	if t.tracer == nil {
		return t.start(ctx, op)
	}
	links := make([]oteltrace.Link, 0, len(messages))
	for _, m := range messages {
		links = appendLink(links, m.Context, m.ID)
	}
	return t.start(ctx, op, oteltrace.WithLinks(links...))
}

// appendLink links a message's context, if it has one.
func appendLink(links []oteltrace.Link, created oteltrace.SpanContext, id string) []oteltrace.Link {
	if !created.IsValid() {
		return links
	}
	return append(links, oteltrace.Link{SpanContext: created, Attributes: []attribute.KeyValue{messageID(id)}})
}

// Sent is how a send ended.
type Sent struct {
	Message      *message.Message // what was sent; nil for a batch
	ID           string           // the message's
	Batch        int              // messages of a batch, 0 for a single one
	Transaction  bool             // it is a half message
	Conversation string           // the correlation id of a request or reply
	Queue        message.Queue    // where it went, or was to go at last; zero when it got nowhere
	Addr         string           // the broker's "host:port", "" when not known
	Tried        bool             // a broker was asked to store it
	Err          error
}

// EndSend ends a send.
func (s *Span) EndSend(r *Sent) {
	if s.t == nil {
		return
	}
	if s.op.server = r.Addr; s.op.server == "" && r.Err != nil {
		s.op.server = errorServer(r.Err)
	}
	if s.recording() {
		var attrs []attribute.KeyValue
		if r.Message != nil {
			attrs = s.t.messageAttributes(r.Message, r.ID, r.Transaction, s.began)
		} else {
			attrs = append(attrs, batchCount(r.Batch))
		}
		if r.Conversation != "" {
			attrs = append(attrs, conversation(r.Conversation))
		}
		if r.Queue.Broker != "" {
			attrs = append(attrs, partition(r.Queue))
		}
		attrs = append(append(attrs, s.op.serverAttributes()...), s.op.peerAttributes()...)
		s.span.SetAttributes(attrs...)
	}
	took := s.end(r.Err)
	if m := s.t.metrics; m != nil {
		m.took(s.op, took, r.Err)
		if r.Tried {
			m.sentMessages(s.op, max(1, r.Batch), r.Err)
		}
	}
	*s = Span{}
}
