package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// Recall asks the broker not to deliver a message that is postponed to a moment;
// handle is the SendResult's RecallHandle. nil says that the broker has noted it.
// The error is message.ErrTooLate when the message is delivered or about to be,
// and message.ErrUnsupported where the driver or the broker does not recall.
// Package delay is the way to use it. It takes SendTimeout at most.
func (p *Producer) Recall(ctx context.Context, topic, handle string) error {
	r, ok := p.sender.(driver.Recaller)
	if !ok {
		return fmt.Errorf("producer %s: recalling messages is %w by this driver", p.group, message.ErrUnsupported)
	}
	if !p.flow.begin() {
		return p.closedError()
	}
	defer p.flow.leave()
	bounded := newSendContext(ctx, p.sends.sendTimeout)
	defer bounded.end(context.Canceled)
	began := time.Now()
	by, err := r.Recall(bounded, topic, handle)
	var refused *message.BrokerError
	if err == nil || errors.As(err, &refused) {
		p.cfg.messages.Recalled(p.group, topic, handle, by.Region, err == nil)
	}
	return p.recalled(ctx, topic, by.Addr, began, err)
}
