package delay

import (
	"context"
	"fmt"

	"github.com/rocketkit/rocketkit/message"
)

// Sender sends and recalls; *producer.Producer does.
type Sender interface {
	Send(ctx context.Context, m *message.Message) (message.SendResult, error)
	Recall(ctx context.Context, topic, handle string) error
}

// Handle names a scheduled message, for Cancel. It is plain data that may be
// stored, as JSON for instance, and used by another process.
type Handle struct {
	Topic     string `json:"topic"`
	MessageID string `json:"message_id"`
	// Recall is the broker's own handle; "" where the broker does not recall.
	Recall string `json:"recall,omitempty"`
}

// Schedule sends m, to be delivered when After or At says, and returns what Cancel
// needs. m is not changed.
//
//	h, err := delay.Schedule(ctx, producer, m, delay.After(30*time.Minute))
func Schedule(ctx context.Context, s Sender, m *message.Message, when message.Option) (Handle, error) {
	if m == nil || when == nil {
		return Handle{}, fmt.Errorf("schedule: %w: the message or its moment is nil; give both", message.ErrInvalidMessage)
	}
	m = m.Clone()
	when(m)
	if m.Delay.IsZero() {
		return Handle{}, fmt.Errorf("schedule: %w: topic %q: it is not postponed; give After, At or Level", message.ErrInvalidMessage, m.Topic)
	}
	r, err := s.Send(ctx, m)
	if err != nil {
		return Handle{}, err
	}
	return Handle{Topic: m.Topic, MessageID: r.MessageID, Recall: r.RecallHandle}, nil
}

// Cancel calls a scheduled message back. nil says that the broker has noted it: a
// delivery that has begun goes on, so a handler must still bear the message. The
// error is message.ErrTooLate when the message is delivered or about to be, and
// message.ErrUnsupported for messages of a delay level, for brokers before 5.3 and
// for those without recallMessageEnable=true.
func Cancel(ctx context.Context, s Sender, h Handle) error {
	if h.Recall == "" {
		return fmt.Errorf("cancel message %s of topic %s: %w: the broker gave no handle for it; it needs After or At, a broker from 5.3 on and recallMessageEnable=true", h.MessageID, h.Topic, message.ErrUnsupported)
	}
	return s.Recall(ctx, h.Topic, h.Recall)
}
