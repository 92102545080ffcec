package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.39.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/rocketkit/rocketkit/message"
)

// traceparent is the property that says that a message has a context already.
const traceparent = "traceparent"

// StartSend starts the span "send <topic>" of one message and writes its
// context into c, which collects the message's additional properties. A context
// that the user set in the message's own properties is kept: the span is linked
// to it instead.
func (t *Tracer) StartSend(ctx context.Context, m *message.Message, id string, c propagation.TextMapCarrier) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	attrs := append(make([]attribute.KeyValue, 0, 16), semconv.MessagingMessageID(id))
	attrs = appendMessage(attrs, m)
	if m.Properties[traceparent] == "" {
		ctx, span := t.start(ctx, "send", m.Topic, attrs, oteltrace.WithSpanKind(oteltrace.SpanKindProducer))
		t.propagator.Inject(ctx, c)
		return ctx, span
	}
	created := oteltrace.SpanContextFromContext(t.propagator.Extract(context.Background(), propagation.MapCarrier(m.Properties)))
	return t.start(ctx, "send", m.Topic, attrs,
		oteltrace.WithSpanKind(oteltrace.SpanKindClient), oteltrace.WithLinks(oteltrace.Link{SpanContext: created}))
}

// StartBatch starts the span "send <topic>" of one batch request. Inject gives
// its context to each message.
func (t *Tracer) StartBatch(ctx context.Context, topic string, messages int) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	attrs := append(make([]attribute.KeyValue, 0, 8), semconv.MessagingBatchMessageCount(messages))
	return t.start(ctx, "send", topic, attrs, oteltrace.WithSpanKind(oteltrace.SpanKindProducer))
}

// Inject writes ctx's trace context into c, unless m brings one of its own.
func (t *Tracer) Inject(ctx context.Context, m *message.Message, c propagation.TextMapCarrier) {
	if t != nil && m.Properties[traceparent] == "" {
		t.propagator.Inject(ctx, c)
	}
}

func appendMessage(attrs []attribute.KeyValue, m *message.Message) []attribute.KeyValue {
	if m.Tag != "" {
		attrs = append(attrs, semconv.MessagingRocketMQMessageTag(m.Tag))
	}
	if len(m.Keys) > 0 {
		attrs = append(attrs, semconv.MessagingRocketMQMessageKeys(m.Keys...))
	}
	if m.ShardingKey != "" {
		attrs = append(attrs, semconv.MessagingRocketMQMessageGroup(m.ShardingKey))
	}
	switch d := m.Delay; {
	case d.Level > 0:
		return append(attrs, semconv.MessagingRocketMQMessageTypeDelay, semconv.MessagingRocketMQMessageDelayTimeLevel(d.Level))
	case d.After > 0:
		return append(attrs, semconv.MessagingRocketMQMessageTypeDelay, deliveryTimestamp(time.Now().Add(d.After)))
	case !d.At.IsZero():
		return append(attrs, semconv.MessagingRocketMQMessageTypeDelay, deliveryTimestamp(d.At))
	case m.ShardingKey != "":
		return append(attrs, semconv.MessagingRocketMQMessageTypeFifo)
	}
	return append(attrs, semconv.MessagingRocketMQMessageTypeNormal)
}

// deliveryTimestamp is in ms since 1970.
func deliveryTimestamp(t time.Time) attribute.KeyValue {
	return semconv.MessagingRocketMQMessageDeliveryTimestampKey.Int64(t.UnixMilli())
}
