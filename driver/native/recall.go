package native

import (
	"context"
	"fmt"

	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// Recall implements driver.Recaller (code 370, which came with 5.3).
func (s *sender) Recall(ctx context.Context, topic, handle string) error {
	op := "recall a message of topic " + topic
	h, err := protocol.ParseRecallHandle(handle)
	wire := s.c.namespace.wire(topic)
	if err != nil || h.Topic != wire {
		return fmt.Errorf("%s: %w: %q is no recall handle of it; take SendResult.RecallHandle", op, message.ErrInvalidMessage, handle)
	}
	if _, err := s.Queues(ctx, topic); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	b, err := s.c.masterBy(s.c.routes.known(wire), message.Queue{Topic: topic, Broker: h.BrokerName})
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	_, err = b.call(ctx, h.BrokerName, op, protocol.RecallMessage, &protocol.RecallRequest{
		ProducerGroup: s.cfg.Group, Topic: wire, Handle: handle, BrokerName: h.BrokerName,
	})
	switch {
	case answer.IsCode(err, protocol.IllegalOperation): // the handle is right
		return fmt.Errorf("%s: %w: the message is delivered, or will be in a moment: %w", op, message.ErrTooLate, err)
	case answer.IsCode(err, protocol.CodeNotSupported):
		return &UnsupportedError{Op: op, Broker: h.BrokerName, Addr: b.addr, Why: "the broker is older than 5.3", Err: err}
	case answer.IsCode(err, protocol.NoPermission):
		return &UnsupportedError{Op: op, Broker: h.BrokerName, Addr: b.addr, Why: "the broker refuses it", Remedy: "set recallMessageEnable=true on the broker", Err: err}
	}
	return err
}
