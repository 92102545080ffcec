package native

import (
	"context"
	"fmt"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// Recall implements driver.Recaller (code 370, which came with 5.3).
func (s *sender) Recall(ctx context.Context, topic, handle string) (by driver.Receipt, err error) {
	op := "recall a message of topic " + topic
	h, err := protocol.ParseRecallHandle(handle)
	wire := s.c.namespace.wire(topic)
	if err != nil || h.Topic != wire {
		return by, fmt.Errorf("%s: %w: %q is no recall handle of it; take SendResult.RecallHandle", op, message.ErrInvalidMessage, handle)
	}
	if _, err := s.Queues(ctx, topic); err != nil {
		return by, fmt.Errorf("%s: %w", op, err)
	}
	b, err := s.c.masterBy(s.c.routes.known(wire), message.Queue{Topic: topic, Broker: h.BrokerName})
	if err != nil {
		return by, fmt.Errorf("%s: %w", op, err)
	}
	by.Addr = b.addr
	resp, err := b.ask(remoting.WithTimeout(ctx, s.c.cfg.RequestTimeout), h.BrokerName, op, protocol.RecallMessage, &protocol.RecallRequest{
		ProducerGroup: s.cfg.Group, Topic: wire, Handle: handle, BrokerName: h.BrokerName,
	})
	if err != nil {
		return by, err
	}
	var a protocol.RecallResponse
	if err := a.DecodeFields(resp.Fields); err != nil {
		return by, fmt.Errorf("%s: %w", op, err)
	}
	by.Region = a.RegionID
	if resp.Code == protocol.Success {
		return by, nil
	}
	err = answer.Refusal(op, h.BrokerName, b.addr, resp)
	switch {
	case answer.IsCode(err, protocol.IllegalOperation): // the handle is right
		return by, fmt.Errorf("%s: %w: the message is delivered, or will be in a moment: %w", op, message.ErrTooLate, err)
	case answer.IsCode(err, protocol.CodeNotSupported):
		return by, &UnsupportedError{Op: op, Broker: h.BrokerName, Addr: b.addr, Why: "the broker is older than 5.3", Err: err}
	case answer.IsCode(err, protocol.NoPermission) && !answer.ByACL(resp):
		return by, &UnsupportedError{Op: op, Broker: h.BrokerName, Addr: b.addr, Why: "the broker refuses it", Remedy: "set recallMessageEnable=true on the broker", Err: err}
	}
	return by, err
}
