package native

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// receipt reads the answer to a send.
func (o *sendOp) receipt(resp *protocol.Command) (driver.Receipt, error) {
	status, ok := statusOf(resp.Code)
	if !ok {
		return driver.Receipt{}, o.refused(resp)
	}
	var h protocol.SendResponse
	if err := h.DecodeFields(resp.Fields); err != nil {
		return driver.Receipt{}, &message.UnknownOutcomeError{
			Op: o.name(), Broker: o.q.Broker, Addr: o.b.addr, Err: fmt.Errorf("the answer cannot be read: %w", err),
		}
	}
	return driver.Receipt{
		Status: status, OffsetMessageID: h.MessageID, QueueID: int(h.QueueID), QueueOffset: h.QueueOffset,
		TransactionID: h.TransactionID, RecallHandle: h.RecallHandle, Addr: o.b.addr,
		Region: h.RegionID, Untraced: h.TraceOn == "false",
	}, nil
}

// statusOf is the status that a response code stands for; all of them mean that
// the message is stored.
func statusOf(code protocol.Code) (message.Status, bool) {
	switch code {
	case protocol.Success:
		return message.SendOK, true
	case protocol.FlushDiskTimeout:
		return message.FlushDiskTimeout, true
	case protocol.FlushSlaveTimeout:
		return message.FlushSlaveTimeout, true
	case protocol.SlaveNotAvailable:
		return message.SlaveNotAvailable, true
	}
	return 0, false
}

// maxPlainBody is a body that no broker's maxMessageSize refuses, so that a
// timer message of that size was refused for its time.
const maxPlainBody = 64 << 10

// refused turns a broker's refusal into an error that says what to do.
func (o *sendOp) refused(resp *protocol.Command) error {
	c, addr := o.s.c, o.b.addr
	err := answer.Refusal(o.name(), o.q.Broker, addr, resp)
	switch {
	case resp.Code == protocol.TopicNotExist:
		c.routes.refresh(o.header.Topic)
	case o.timer && resp.Code == protocol.MessageIllegal && len(o.body[0]) <= maxPlainBody:
		return &UnsupportedError{
			Op: o.name(), Broker: o.q.Broker, Addr: addr, Err: err,
			Why:    "the delivery time is too far ahead for the broker",
			Remedy: "shorten the delay or raise timerMaxDelaySec in the broker's configuration (3 days by default)",
		}
	case o.timer && resp.Code == protocol.SystemError && strings.Contains(resp.Remark, "timerWheelEnable"):
		return &UnsupportedError{
			Op: o.name(), Broker: o.q.Broker, Addr: addr, Err: err,
			Why:    "the broker takes no timer messages",
			Remedy: "set timerWheelEnable=true in the broker's configuration, or use a delay level",
		}
	}
	return err
}

// supported refuses what the broker would ignore in silence: before 5.0 a timer
// message is delivered at once.
func (o *sendOp) supported(b *broker) error {
	v := b.version.Load()
	if !o.timer || v >= protocol.VersionV5_0_0 {
		return nil
	}
	return &UnsupportedError{
		Op: o.name(), Broker: o.q.Broker, Addr: b.addr,
		Why:    fmt.Sprintf("delays by time need RocketMQ 5.0; the broker reports version %d, 5.0.0 is %d", v, protocol.VersionV5_0_0),
		Remedy: "use a delay level (1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h) or upgrade the broker",
	}
}

// lost says why there is no answer, and looks for a better address when the
// broker cannot be reached.
func (o *sendOp) lost(err error) error {
	var call *remoting.CallError
	if o.s.c.ctx.Err() != nil && errors.As(err, &call) && !call.Written {
		return fmt.Errorf("%s: %w", o.name(), message.ErrClosed)
	}
	err = sendError(o.name(), o.q.Broker, o.b.addr, err)
	if errors.Is(err, message.ErrUnreachable) {
		o.s.c.routes.refresh(o.header.Topic)
	}
	return err
}

func (s *sender) checkSize(topic string, n int) error {
	if limit := s.cfg.MaxMessageSize; limit > 0 && n > limit {
		return fmt.Errorf("%w: topic %q: %d bytes, at most %d", message.ErrBodyTooLarge, topic, n, limit)
	}
	return nil
}

func checkProperties(topic string, props []byte) error {
	if len(props) > protocol.MaxPropertiesLength {
		return fmt.Errorf("%w: topic %q: keys, tag and properties take %d bytes, at most %d travel; move what is large into the body",
			message.ErrInvalidMessage, topic, len(props), protocol.MaxPropertiesLength)
	}
	return nil
}
