package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// scope names this library as the instrumentation.
const scope = "github.com/rocketkit/rocketkit"

// Options make a Tracer.
type Options struct {
	// Provider makes the spans; without one there are none, and no context travels with
	// the messages.
	Provider oteltrace.TracerProvider
	// MeterProvider takes the metrics; without one there are none.
	MeterProvider metric.MeterProvider
	// Propagator writes and reads the context in message properties; nil means
	// W3C trace context and baggage.
	Propagator propagation.TextMapPropagator
	// Namespace is messaging.rocketmq.namespace. A rocketkit.Client gives its own.
	Namespace string
	// ClientID is messaging.client.id, "" when it is not known. A rocketkit.Client gives
	// its driver's.
	ClientID string
	// LinkOnly starts a new trace for each processed message and links it to the
	// one that sent it. By default processing continues the sender's trace, and
	// is linked as well.
	LinkOnly bool
	// BodySize adds messaging.message.body.size to the spans of single messages, which the
	// conventions leave to the user: the bytes of the body as programs see it, not packed.
	BodySize bool
}

// Tracer makes the spans and metrics of one client. A nil Tracer makes none. It is safe
// for concurrent use.
type Tracer struct {
	tracer     oteltrace.Tracer              // nil: no spans
	propagator propagation.TextMapPropagator // nil: no context travels
	w3c        bool                          // propagator is the default
	linkOnly   bool
	bodySize   bool
	common     []attribute.KeyValue // of every span
	starts     *cache[operation, starting]
	metrics    *metrics // nil: none
}

// New returns a Tracer, nil when o has no provider.
func New(o Options) *Tracer {
	if o.Provider == nil && o.MeterProvider == nil {
		return nil
	}
	t := &Tracer{linkOnly: o.LinkOnly, bodySize: o.BodySize, common: []attribute.KeyValue{namespaceOf(o.Namespace)}}
	if o.ClientID != "" {
		t.common = append(t.common, clientID(o.ClientID))
	}
	t.starts = newCache(t.starting)
	if o.Provider != nil {
		t.propagator = o.Propagator
		if t.w3c = t.propagator == nil; t.w3c {
			t.propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
		}
		if _, none := o.Provider.(noop.TracerProvider); !none { // it would only pass the context on, as is done without it
			t.tracer = o.Provider.Tracer(scope, oteltrace.WithSchemaURL(schemaURL))
		}
	}
	if o.MeterProvider != nil {
		t.metrics = newMetrics(o.MeterProvider.Meter(scope, metric.WithSchemaURL(schemaURL)), o.Namespace)
	}
	return t
}

// starting is how an operation's spans start.
type starting struct {
	name string
	opts []oteltrace.SpanStartOption
}

// with is the options and more.
func (s starting) with(more ...oteltrace.SpanStartOption) []oteltrace.SpanStartOption {
	return append(s.opts[:len(s.opts):len(s.opts)], more...)
}

// starting is what is known of an operation before there is a message. What is said of the
// single message comes later, and only where somebody records it.
func (t *Tracer) starting(op operation) starting {
	name := op.name
	if op.topic != "" {
		name += " " + op.topic
	}
	attrs := append(op.attributes(true), t.common...)
	return starting{name, []oteltrace.SpanStartOption{oteltrace.WithSpanKind(op.kind), oteltrace.WithAttributes(attrs...)}}
}

// Span is an operation that has started. The zero value is none.
type Span struct {
	t     *Tracer
	span  oteltrace.Span // nil: none
	op    operation
	began time.Time
}

// start starts an operation.
func (t *Tracer) start(ctx context.Context, op operation, more ...oteltrace.SpanStartOption) (context.Context, Span) {
	if t.tracer == nil && t.metrics == nil {
		return ctx, Span{}
	}
	s := Span{t: t, op: op, began: time.Now()}
	if t.tracer == nil {
		return ctx, s
	}
	how := t.starts.get(op)
	opts := how.opts
	if t.metrics != nil { // whose durations are the spans'
		opts = how.with(oteltrace.WithTimestamp(s.began))
	}
	if len(more) > 0 {
		opts = append(opts[:len(opts):len(opts)], more...)
	}
	ctx, s.span = t.tracer.Start(ctx, how.name, opts...)
	return ctx, s
}

// recording reports that somebody wants to know about the span.
func (s *Span) recording() bool { return s.span != nil && s.span.IsRecording() }

// end ends the span and returns how long the operation took.
func (s *Span) end(err error) time.Duration {
	if s.t.metrics == nil {
		if s.span != nil {
			s.fail(err)
			s.span.End()
		}
		return 0
	}
	now := time.Now()
	if s.span != nil {
		s.fail(err)
		s.span.End(oteltrace.WithTimestamp(now))
	}
	return now.Sub(s.began)
}

func (s *Span) fail(err error) {
	if err == nil || !s.span.IsRecording() {
		return
	}
	s.span.SetAttributes(failure(errorType(err)))
	s.span.SetStatus(codes.Error, err.Error())
}
