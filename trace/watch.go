package trace

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/rocketkit/rocketkit/message"
)

// Attributes of rocketkit's own metrics, which the conventions do not have.
const (
	keyProducerGroup = attribute.Key("rocketkit.producer.group")
	keyHandler       = attribute.Key("rocketkit.handler.name")
	keyBroker        = attribute.Key("rocketkit.broker.name")
	keyBreaker       = attribute.Key("rocketkit.breaker.state")
)

// ProducerState is what a producer knows of itself.
type ProducerState struct {
	InFlight int // sends that are under way
	// Breakers are the states of its brokers' circuits, by broker.
	Breakers map[string]BreakerState
}

// BreakerState is that of a circuit.
type BreakerState string

// States of a circuit breaker.
const (
	BreakerClosed   BreakerState = "closed"
	BreakerHalfOpen BreakerState = "half_open"
	BreakerOpen     BreakerState = "open"
)

// ConsumerState is what a consumer knows of itself.
type ConsumerState struct {
	// InFlight is how many messages were received and are not settled, by handler; a
	// consumer without handlers has one of no name.
	InFlight map[string]int
	// Lag is how many messages of each of its queues are not settled, those that were not
	// received yet included.
	Lag map[message.Queue]int64
}

// watched are the instruments that are read when metrics are collected. They are sums, so
// that several producers and consumers of a group in one process add up.
type watched struct {
	producerInFlight, consumerInFlight, lag, breakers metric.Int64ObservableUpDownCounter
}

func newWatched(m metric.Meter) (w watched, err error) {
	instrument := func(name, unit, description string) metric.Int64ObservableUpDownCounter {
		if err != nil {
			return nil
		}
		var c metric.Int64ObservableUpDownCounter
		c, err = m.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		return c
	}
	w.producerInFlight = instrument("rocketkit.producer.in_flight", "{request}", "Sends that are under way: they hold a place in flight.")
	w.consumerInFlight = instrument("rocketkit.consumer.in_flight", "{message}", "Messages that were received and are not settled.")
	w.lag = instrument("rocketkit.consumer.lag", "{message}", "Messages of this member's queues that are not settled, by what the last pull told.")
	w.breakers = instrument("rocketkit.producer.breaker.state", "{breaker}", "Circuit breakers in a state: 1 in the one that it is in, 0 in the others.")
	return w, err
}

// WatchProducer has look say what the metrics of a producer are whenever they are
// collected, until stop is called, which waits for a collection that is under way.
func (t *Tracer) WatchProducer(group string, look func() ProducerState) (stop func()) {
	if t == nil || t.metrics == nil {
		return func() {}
	}
	m, by := t.metrics, keyProducerGroup.String(group)
	return m.watch(func(_ context.Context, o metric.Observer) error {
		s := look()
		o.ObserveInt64(m.watched.producerInFlight, int64(s.InFlight), m.with(by))
		for broker, is := range s.Breakers {
			for _, state := range [...]BreakerState{BreakerClosed, BreakerHalfOpen, BreakerOpen} {
				n := int64(0)
				if is == state {
					n = 1
				}
				o.ObserveInt64(m.watched.breakers, n, m.with(by, keyBroker.String(broker), keyBreaker.String(string(state))))
			}
		}
		return nil
	}, m.watched.producerInFlight, m.watched.breakers)
}

// WatchConsumer is WatchProducer for a consumer.
func (t *Tracer) WatchConsumer(group string, look func() ConsumerState) (stop func()) {
	if t == nil || t.metrics == nil {
		return func() {}
	}
	m, by := t.metrics, consumerGroup(group)
	return m.watch(func(_ context.Context, o metric.Observer) error {
		s := look()
		for handler, n := range s.InFlight {
			attrs := []attribute.KeyValue{by}
			if handler != "" {
				attrs = append(attrs, keyHandler.String(handler))
			}
			o.ObserveInt64(m.watched.consumerInFlight, int64(n), m.with(attrs...))
		}
		for q, n := range s.Lag {
			o.ObserveInt64(m.watched.lag, n, m.with(by, destination(q.Topic), partition(q)))
		}
		return nil
	}, m.watched.consumerInFlight, m.watched.lag)
}

func (m *metrics) watch(f metric.Callback, of ...metric.Observable) (stop func()) {
	r, err := m.meter.RegisterCallback(f, of...)
	if err != nil {
		otel.Handle(err)
		return func() {}
	}
	return func() {
		if err := r.Unregister(); err != nil {
			otel.Handle(err)
		}
	}
}

func (m *metrics) with(attrs ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(m.named(attrs)...))
}

// Resent counts a further attempt of a send.
func (t *Tracer) Resent(group, topic string) {
	if t != nil && t.metrics != nil {
		t.metrics.resends.Add(context.Background(), 1, t.metrics.with(keyProducerGroup.String(group), destination(topic)))
	}
}

// Retried counts a message that is to be delivered again.
func (t *Tracer) Retried(d *message.Delivery) {
	if t != nil && t.metrics != nil {
		t.metrics.retries.Add(context.Background(), 1, t.metrics.with(consumerGroup(d.Group), destination(d.Topic)))
	}
}

// DeadLettered counts a message that was given up.
func (t *Tracer) DeadLettered(d *message.Delivery) {
	if t != nil && t.metrics != nil {
		t.metrics.deadLetters.Add(context.Background(), 1, t.metrics.with(consumerGroup(d.Group), destination(d.Topic)))
	}
}
