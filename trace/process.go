package trace

import (
	"context"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.39.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/rocketkit/rocketkit/message"
)

// StartProcess starts the span "process <topic>" of one handler run. The ctx
// it returns carries the span and the sender's baggage. The caller ends the
// span with the handler's error.
func (t *Tracer) StartProcess(ctx context.Context, d *message.Delivery) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	outer := oteltrace.SpanContextFromContext(ctx)
	extracted := t.propagator.Extract(ctx, deliveryCarrier{d})
	created := oteltrace.SpanContextFromContext(extracted)

	opts := append(make([]oteltrace.SpanStartOption, 0, 4), oteltrace.WithSpanKind(oteltrace.SpanKindConsumer))
	if created.IsValid() && !created.Equal(outer) {
		opts = append(opts, oteltrace.WithLinks(oteltrace.Link{SpanContext: created}))
		if t.linkOnly {
			opts = append(opts, oteltrace.WithNewRoot())
		}
	}
	return t.start(extracted, "process", d.Topic, deliveryAttributes(d), opts...)
}

// StartProcessBatch starts the span "process <topic>" of one run of a batch handler, for
// messages of one queue, at least one. It is linked to what sent each of them and
// continues none of their traces. The caller ends it with the outcome of the run.
func (t *Tracer) StartProcessBatch(ctx context.Context, ds []*message.Delivery) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	var links []oteltrace.Link
	for _, d := range ds {
		if created := oteltrace.SpanContextFromContext(t.propagator.Extract(context.Background(), deliveryCarrier{d})); created.IsValid() {
			links = append(links, oteltrace.Link{SpanContext: created, Attributes: []attribute.KeyValue{semconv.MessagingMessageID(d.ID)}})
		}
	}
	attrs := append(make([]attribute.KeyValue, 0, 16),
		semconv.MessagingConsumerGroupName(ds[0].Group),
		semconv.MessagingBatchMessageCount(len(ds)),
		semconv.MessagingRocketMQConsumptionModelClustering,
		partition(ds[0].Queue))
	if host := ds[0].StoreHost; host.IsValid() {
		attrs = append(attrs, serverAddress(host.Addr().String(), strconv.Itoa(int(host.Port())))...)
	}
	return t.start(ctx, "process", ds[0].Topic, attrs, oteltrace.WithSpanKind(oteltrace.SpanKindConsumer), oteltrace.WithLinks(links...))
}

func deliveryAttributes(d *message.Delivery) []attribute.KeyValue {
	attrs := append(make([]attribute.KeyValue, 0, 16),
		semconv.MessagingConsumerGroupName(d.Group),
		semconv.MessagingMessageID(d.ID),
		semconv.MessagingRocketMQConsumptionModelClustering,
		partition(d.Queue))
	if d.Tag != "" {
		attrs = append(attrs, semconv.MessagingRocketMQMessageTag(d.Tag))
	}
	if keys := d.Keys(); len(keys) > 0 {
		attrs = append(attrs, semconv.MessagingRocketMQMessageKeys(keys...))
	}
	if d.StoreHost.IsValid() {
		attrs = append(attrs, serverAddress(d.StoreHost.Addr().String(), strconv.Itoa(int(d.StoreHost.Port())))...)
	}
	return attrs
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
