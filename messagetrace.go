package rocketkit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/trace"
)

// traceGroup is the producer group of a client's message trace
// (TraceConstants.GROUP_NAME_PREFIX).
const traceGroup = "_INNER_TRACE_PRODUCER-rocketkit"

// WithMessageTrace writes RocketMQ's own message trace of what the client's producers
// send and its consumers get, which mqadmin queryMsgTraceById, the dashboard and
// Admin's Trace read. topic is where it goes, "" for RMQ_SYS_TRACE_TOPIC, which brokers
// have with traceTopicEnable=true; any other must exist. The configuration's
// telemetry.message_trace and message_trace_topic win. See package trace.
func WithMessageTrace(topic string) Option {
	return func(s *settings) { s.messageTrace, s.messageTraceTopic = true, topic }
}

// messageTrace is a client's. The zero value is none.
type messageTrace struct {
	tracer *trace.MessageTracer // nil: none
	sender *producer.Producer
	own    driver.Driver // closed with it; nil when it uses the client's
}

// openMessageTrace makes a client's message trace, if it is to have one, which sends by
// way of d. Java's clients send it without a namespace: where that makes another topic,
// it has a driver of its own.
func (s *settings) openMessageTrace(ctx context.Context, cfg Config, d driver.Driver, dc driver.Config) (m messageTrace, err error) {
	on := s.messageTrace
	if t := cfg.Telemetry.MessageTrace; t != nil {
		on = *t
	}
	if !on {
		return m, nil
	}
	topic := cmp.Or(cfg.Telemetry.MessageTraceTopic, s.messageTraceTopic, trace.MessageTopic)
	if message.WithNamespace(dc.Namespace, topic) != topic {
		dc.Namespace = ""
		if m.own, err = s.factories[cfg.Driver](ctx, dc); err != nil {
			return m, fmt.Errorf("open the message trace: %w", err)
		}
		d = m.own
	}
	m.sender, err = producer.New(d, traceGroup, producer.NoCompression())
	if err != nil {
		return m, errors.Join(fmt.Errorf("open the message trace: %w", err), m.close(ctx))
	}
	m.tracer = trace.NewMessageTracer(trace.MessageOptions{Sender: m.sender, Topic: topic, Logger: s.logger})
	return m, nil
}

// close sends what is left, in half of the time that ctx leaves, and ends it.
func (m *messageTrace) close(ctx context.Context) error {
	short, cancel := ctx, context.CancelFunc(func() {})
	if deadline, ok := ctx.Deadline(); ok {
		short, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
	}
	defer cancel()
	err := m.tracer.Drain(short)
	if m.sender != nil {
		err = errors.Join(err, m.sender.Drain(ctx))
	}
	if m.own != nil {
		err = errors.Join(err, m.own.Close(ctx))
	}
	return err
}
