package trace

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/rocketkit/rocketkit/message"
)

// Received is what the program got that has asked for messages.
type Received struct {
	Began time.Time // when it asked
	Group string
	Topic string // what it asked for; "" for several topics
	// Queue is the one that it asked for, zero for those of a topic.
	Queue message.Queue
	// Server is the "host:port" that was asked, "" when it is not known, or nobody was: then
	// it is where the messages were stored.
	Server     string
	Deliveries []*message.Delivery
	Err        error
}

// Receive makes the span "receive <topic>" of a program that asks for messages, linked to
// what sent each of them. It is called when the program gets them.
func (t *Tracer) Receive(ctx context.Context, r Received) {
	if t == nil {
		return
	}
	op := operation{name: opReceive, kind: oteltrace.SpanKindClient, topic: r.Topic, group: r.Group, server: cmp.Or(r.Server, errorServer(r.Err))}
	if len(r.Deliveries) > 0 {
		if op.topic, op.host = shared(r.Deliveries); op.server != "" {
			op.host = netip.AddrPort{}
		}
	}
	s := t.startAt(ctx, op, r.Began, func() []oteltrace.Link { return t.links(r.Deliveries) })
	if s.recording() {
		attrs := append(attributesOf(r.Deliveries), consumptionModel(false))
		if len(r.Deliveries) == 0 && r.Queue.Broker != "" {
			attrs = append(attrs, partition(r.Queue))
		}
		s.span.SetAttributes(append(attrs, op.peerAttributes()...)...)
	}
	took := s.end(r.Err)
	if m := t.metrics; m != nil {
		m.took(op, took, r.Err)
		for _, d := range r.Deliveries {
			of := operation{name: opReceive, kind: op.kind, topic: d.Topic, group: r.Group, server: op.server}
			if of.server == "" {
				of.host = d.StoreHost
			}
			m.consumedMessages(of, 1, nil)
		}
	}
}

// Settled is a request about what becomes of messages.
type Settled struct {
	Began time.Time // when the request did
	Group string
	// Delivery is the message; nil for a commit.
	Delivery *message.Delivery
	// Queue is that of a commit; without a broker for all of the topic's, and without a
	// topic for all of the group's.
	Queue message.Queue
	// Server is the "host:port" that was asked, "" when it is not known: it is that where the
	// message was stored then.
	Server string
	// Later says that no program waits for it: its span continues the message's trace, as
	// that of a handler does.
	Later bool
	Err   error
}

// Ack makes the span "ack <topic>" of a request that says that a message is done.
func (t *Tracer) Ack(ctx context.Context, s Settled) { t.settle(ctx, opAck, s) }

// Nack makes the span "nack <topic>" of a request that gives a message back, to be
// delivered again or to the dead letters.
func (t *Tracer) Nack(ctx context.Context, s Settled) { t.settle(ctx, opNack, s) }

// Commit makes the span "commit <topic>" of a request that says how far a group is.
func (t *Tracer) Commit(ctx context.Context, s Settled) { t.settle(ctx, opCommit, s) }

func (t *Tracer) settle(ctx context.Context, name string, r Settled) {
	if t == nil {
		return
	}
	op := operation{name: name, kind: oteltrace.SpanKindClient, topic: r.Queue.Topic, group: r.Group, server: r.Server}
	if op.server == "" {
		op.server = errorServer(r.Err)
	}
	d := r.Delivery
	if d != nil {
		if op.topic = d.Topic; op.server == "" {
			op.host = d.StoreHost
		}
	}
	var opts []oteltrace.SpanStartOption
	if r.Later && d != nil && t.tracer != nil {
		ctx, opts = t.continues(ctx, d)
	}
	s := t.startAt(ctx, op, r.Began, func() []oteltrace.Link {
		if r.Later || d == nil {
			return nil
		}
		return appendLink(nil, t.created(d), d.ID)
	}, opts...)
	if s.recording() {
		attrs := []attribute.KeyValue{consumptionModel(false)}
		switch {
		case d != nil:
			attrs = append(attrs, t.deliveryAttributes(d)...)
		case r.Queue.Broker != "":
			attrs = append(attrs, partition(r.Queue))
		}
		s.span.SetAttributes(append(attrs, op.peerAttributes()...)...)
	}
	took := s.end(r.Err)
	if m := t.metrics; m != nil {
		m.took(op, took, r.Err)
	}
}

// Recall makes the span "recall <topic>" of a request that calls a delayed message back.
// server is the broker's "host:port", "" when it is not known.
func (t *Tracer) Recall(ctx context.Context, topic, server string, began time.Time, err error) {
	if t == nil {
		return
	}
	op := operation{name: opRecall, kind: oteltrace.SpanKindClient, topic: topic, server: cmp.Or(server, errorServer(err))}
	s := t.startAt(ctx, op, began, nil)
	if s.recording() {
		s.span.SetAttributes(op.peerAttributes()...)
	}
	took := s.end(err)
	if m := t.metrics; m != nil {
		m.took(op, took, err)
	}
}

// startAt starts the span of an operation that began before.
func (t *Tracer) startAt(ctx context.Context, op operation, began time.Time, links func() []oteltrace.Link, more ...oteltrace.SpanStartOption) Span {
	s := Span{t: t, op: op, began: began}
	if t.tracer == nil {
		return s
	}
	how := t.starts.get(op)
	opts := how.with(oteltrace.WithTimestamp(began))
	if links != nil {
		opts = append(opts, oteltrace.WithLinks(links()...))
	}
	_, s.span = t.tracer.Start(ctx, how.name, append(opts, more...)...)
	return s
}

// shared is what all messages have in common.
func shared(ds []*message.Delivery) (topic string, host netip.AddrPort) {
	topic, host = ds[0].Topic, ds[0].StoreHost
	for _, d := range ds[1:] {
		if d.Topic != topic {
			topic = ""
		}
		if d.StoreHost != host {
			host = netip.AddrPort{}
		}
	}
	return topic, host
}
