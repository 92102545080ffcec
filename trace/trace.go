package trace

import (
	"context"
	"errors"
	"net"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.39.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/rocketkit/rocketkit/message"
)

// scope names this library as the instrumentation.
const scope = "github.com/rocketkit/rocketkit"

// Options make a Tracer.
type Options struct {
	// Provider makes the spans; without one there is no Tracer.
	Provider oteltrace.TracerProvider
	// Propagator writes and reads the context in message properties; nil means
	// W3C trace context and baggage.
	Propagator propagation.TextMapPropagator
	// Namespace is messaging.rocketmq.namespace.
	Namespace string
	// LinkOnly starts a new trace for each processed message and links it to the
	// one that sent it. By default processing continues the sender's trace, and
	// is linked as well.
	LinkOnly bool
}

// Tracer makes the spans of one client. A nil Tracer makes none. It is safe
// for concurrent use.
type Tracer struct {
	tracer     oteltrace.Tracer
	propagator propagation.TextMapPropagator
	linkOnly   bool
	common     []attribute.KeyValue
}

// New returns a Tracer, nil when o has no Provider.
func New(o Options) *Tracer {
	if o.Provider == nil {
		return nil
	}
	if o.Propagator == nil {
		o.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	}
	return &Tracer{
		tracer:     o.Provider.Tracer(scope, oteltrace.WithSchemaURL(semconv.SchemaURL)),
		propagator: o.Propagator,
		linkOnly:   o.LinkOnly,
		common:     []attribute.KeyValue{semconv.MessagingSystemRocketMQ, semconv.MessagingRocketMQNamespace(o.Namespace)},
	}
}

// Span is a span that has started. The zero value is none.
type Span struct{ span oteltrace.Span }

// End ends the span; err, when not nil, is its failure.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	s.fail(err)
	s.span.End()
}

// EndSend ends a send's span with where the message was stored. addr is the
// broker's "host:port", "" when not known.
func (s Span) EndSend(r message.SendResult, addr string, err error) {
	if s.span == nil {
		return
	}
	if err == nil {
		s.span.SetAttributes(partition(r.Queue))
	}
	if host, port, splitErr := net.SplitHostPort(addr); splitErr == nil {
		s.span.SetAttributes(serverAddress(host, port)...)
	}
	s.End(err)
}

func (s Span) fail(err error) {
	if err == nil {
		return
	}
	s.span.SetAttributes(semconv.ErrorTypeKey.String(errorType(err)))
	s.span.SetStatus(codes.Error, err.Error())
}

// errorType is the broker's code name where a broker refused.
func errorType(err error) string {
	var be *message.BrokerError
	if errors.As(err, &be) && be.Name != "" {
		return be.Name
	}
	return semconv.ErrorTypeOther.Value.AsString()
}

func partition(q message.Queue) attribute.KeyValue {
	return semconv.MessagingDestinationPartitionID(q.Broker + "-" + strconv.Itoa(q.ID))
}

func serverAddress(host, port string) []attribute.KeyValue {
	attrs := []attribute.KeyValue{semconv.ServerAddress(host)}
	if n, err := strconv.Atoi(port); err == nil {
		attrs = append(attrs, semconv.ServerPort(n))
	}
	return attrs
}

// start gathers what every span has. Both operations, send and process, are
// named like their types.
func (t *Tracer) start(ctx context.Context, operation, topic string, attrs []attribute.KeyValue, opts ...oteltrace.SpanStartOption) (context.Context, Span) {
	attrs = append(attrs, t.common...)
	attrs = append(attrs,
		semconv.MessagingOperationName(operation),
		semconv.MessagingOperationTypeKey.String(operation),
		semconv.MessagingDestinationName(topic))
	ctx, span := t.tracer.Start(ctx, operation+" "+topic, append(opts, oteltrace.WithAttributes(attrs...))...)
	return ctx, Span{span}
}
