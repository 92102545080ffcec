package trace

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// metrics are the instruments of one client.
type metrics struct {
	meter     metric.Meter
	namespace string // of all attributes, where there is one
	series    *cache[seriesKey, *series]

	operation, process metric.Float64Histogram
	sent, consumed     metric.Int64Counter

	resends, retries, deadLetters metric.Int64Counter
	watched                       watched
}

// newMetrics makes the instruments. What goes wrong with one is OpenTelemetry's to tell,
// by its ErrorHandler; such an instrument takes nothing.
func newMetrics(m metric.Meter, namespace string) *metrics {
	s := &metrics{meter: m, namespace: namespace}
	s.series = newCache(s.newSeries)
	var errs [6]error
	s.operation, s.process, errs[0] = durations(m)
	s.sent, s.consumed, errs[1] = counters(m)
	s.resends, errs[2] = m.Int64Counter("rocketkit.producer.retries", metric.WithUnit("{attempt}"),
		metric.WithDescription("Further attempts of sends that had failed."))
	s.retries, errs[3] = m.Int64Counter("rocketkit.consumer.retries", metric.WithUnit("{message}"),
		metric.WithDescription("Messages that failed and are to be delivered again."))
	s.deadLetters, errs[4] = m.Int64Counter("rocketkit.consumer.dead_letters", metric.WithUnit("{message}"),
		metric.WithDescription("Messages that were given up: they go to the group's dead letters."))
	s.watched, errs[5] = newWatched(m)
	if err := errors.Join(errs[:]...); err != nil {
		otel.Handle(err)
	}
	return s
}

// seriesKey is an operation with how it ended.
type seriesKey struct {
	operation
	failure string // error.type, "" when there was none
}

// series is the attributes of an operation's metrics, made once.
type series struct {
	operation []metric.RecordOption // with the operation's type
	process   []metric.RecordOption
	messages  []metric.AddOption
}

func (m *metrics) newSeries(k seriesKey) *series {
	set := func(withType bool) metric.MeasurementOption {
		attrs := m.named(k.attributes(withType))
		if k.failure != "" {
			attrs = append(attrs, failure(k.failure))
		}
		return metric.WithAttributeSet(attribute.NewSet(attrs...))
	}
	typed, plain := set(true), set(false)
	return &series{[]metric.RecordOption{typed}, []metric.RecordOption{plain}, []metric.AddOption{plain}}
}

// named adds the namespace, by which the topics and groups of several clients are told
// apart.
func (m *metrics) named(attrs []attribute.KeyValue) []attribute.KeyValue {
	if m.namespace == "" {
		return attrs
	}
	return append(attrs, namespaceOf(m.namespace))
}

func (m *metrics) of(op operation, err error) *series {
	return m.series.get(seriesKey{op, errorType(err)})
}

// took records how long an operation took.
func (m *metrics) took(op operation, d time.Duration, err error) {
	m.operation.Record(context.Background(), d.Seconds(), m.of(op, err).operation...)
}

func (m *metrics) sentMessages(op operation, n int, err error) {
	m.sent.Add(context.Background(), int64(n), m.of(op, err).messages...)
}

func (m *metrics) consumedMessages(op operation, n int, err error) {
	m.consumed.Add(context.Background(), int64(n), m.of(op, err).messages...)
}

// processed records the run of a handler.
func (m *metrics) processed(op operation, d time.Duration, n int, err error) {
	s := m.of(op, err)
	m.process.Record(context.Background(), d.Seconds(), s.process...)
	m.consumed.Add(context.Background(), int64(n), s.messages...)
}
