package producer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// Request sends a message and waits for the answer that one of its consumers gives
// with Reply. It waits until ctx ends, or for the SendTimeout when ctx has no
// deadline; then the error is a *NoReplyError: the message is stored, and may have
// been handled. Errors before that are those of Send.
//
// A message without an answer is consumed like any other: with retries, perhaps
// long after the requester has gone. A driver that takes no replies is a
// message.ErrUnsupported.
func (p *Producer) Request(ctx context.Context, m *message.Message) (*message.Delivery, error) {
	r, ok := p.sender.(driver.Requester)
	if !ok {
		return nil, fmt.Errorf("producer %s: waiting for a reply is %w by this driver; use the native driver", p.group, message.ErrUnsupported)
	}
	if err := checkRequest(m); err != nil {
		return nil, err
	}
	if !p.flow.begin() {
		return nil, p.closedError()
	}
	defer p.flow.leave()
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.sends.sendTimeout)
		defer cancel()
	}
	began := time.Now()
	deadline, _ := ctx.Deadline()
	id := p.sender.NewID()
	reply, forget := r.AwaitReply(id)
	defer forget()
	sent, err := p.sync(ctx, single, m, func(o *op) {
		o.alone, o.conversation = true, id
		o.out.Extra = append(o.out.Extra,
			driver.Property{Name: driver.CorrelationProperty, Value: id},
			driver.Property{Name: driver.ReplyToProperty, Value: r.ReplyTo()},
			driver.Property{Name: driver.TTLProperty, Value: strconv.FormatInt(max(1, deadline.Sub(began).Milliseconds()), 10)})
	})
	if err != nil {
		return nil, err
	}
	select {
	case d := <-reply:
		return d, nil
	case <-p.flow.stopping:
		err = message.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, &NoReplyError{Group: p.group, Topic: m.Topic, Sent: sent, Elapsed: time.Since(began).Round(time.Millisecond), Err: err}
}

// checkRequest refuses what cannot be answered in time.
func checkRequest(m *message.Message) error {
	switch {
	case m == nil:
		return fmt.Errorf("%w: it is nil", message.ErrInvalidMessage)
	case !m.Delay.IsZero():
		return fmt.Errorf("%w: topic %q: a request with a delay would not be answered in time; send it without", message.ErrInvalidMessage, m.Topic)
	}
	for _, name := range []string{driver.CorrelationProperty, driver.ReplyToProperty, driver.TTLProperty, driver.TypeProperty} {
		if _, set := m.Properties[name]; set {
			return fmt.Errorf("%w: topic %q: property %q belongs to requests and replies; remove it", message.ErrInvalidMessage, m.Topic, name)
		}
	}
	return nil
}

// Reply answers a request that a handler got, from the application's own producer.
// It fails, as a *message.BrokerError, when the requester is gone. A message that is
// no request is a message.ErrInvalidMessage.
func (p *Producer) Reply(ctx context.Context, request *message.Delivery, body []byte) (message.SendResult, error) {
	if request == nil {
		return message.SendResult{}, fmt.Errorf("reply: %w: the request is nil", message.ErrInvalidMessage)
	}
	cluster, id, to := request.Property("CLUSTER"), request.Property(driver.CorrelationProperty), request.Property(driver.ReplyToProperty)
	if cluster == "" || id == "" || to == "" {
		return message.SendResult{}, fmt.Errorf("reply to message %s of topic %q: %w: it is no request: cluster %q, correlation id %q, requester %q; a request is sent with Producer.Request",
			request.ID, request.Topic, message.ErrInvalidMessage, cluster, id, to)
	}
	if _, ok := p.sender.(driver.Requester); !ok {
		return message.SendResult{}, fmt.Errorf("producer %s: replying is %w by this driver; use the native driver", p.group, message.ErrUnsupported)
	}
	m := message.New(cluster+"_REPLY_TOPIC", body)
	return p.sync(ctx, single, m, func(o *op) {
		o.alone, o.conversation = true, id
		// The request's own broker: the requester is connected to it, if it lives.
		o.sel = func(_ *message.Message, queues []message.Queue) int {
			for i, q := range queues {
				if q.Broker == request.Queue.Broker {
					return i
				}
			}
			return 0
		}
		o.out.Extra = append(o.out.Extra,
			driver.Property{Name: driver.TypeProperty, Value: driver.ReplyType},
			driver.Property{Name: driver.CorrelationProperty, Value: id},
			driver.Property{Name: driver.ReplyToProperty, Value: to},
			driver.Property{Name: driver.TTLProperty, Value: request.Property(driver.TTLProperty)})
	})
}

// NoReplyError: a request was stored, and no reply came in time. A retry may have it
// handled twice.
type NoReplyError struct {
	Group, Topic string
	Sent         message.SendResult // of the request
	Elapsed      time.Duration
	Err          error // why it is not waited for any longer
}

func (e *NoReplyError) Error() string {
	return fmt.Sprintf("request %s to topic %q by producer %s: no reply after %s: %v; it is stored, and may have been handled", e.Sent.MessageID, e.Topic, e.Group, e.Elapsed, e.Err)
}

// Unwrap gives ErrNoReply and the cause.
func (e *NoReplyError) Unwrap() []error { return []error{ErrNoReply, e.Err} }

// SafeToRetry: the request was stored.
func (e *NoReplyError) SafeToRetry() bool { return false }

// ErrNoReply: a request has no reply. The error is a *NoReplyError.
var ErrNoReply = errors.New("no reply")
