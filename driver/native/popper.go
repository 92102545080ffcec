package native

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

var _ driver.Popper = (*client)(nil)

// PopBrokers implements driver.Popper.
func (c *client) PopBrokers(ctx context.Context, topic string) ([]string, error) {
	queues, err := c.ReadQueues(ctx, topic)
	names := make(map[string]struct{})
	for _, q := range queues {
		names[q.Broker] = struct{}{}
	}
	return slices.Sorted(maps.Keys(names)), err
}

// Where a group without an offset begins (ConsumeInitMode).
const (
	popFromFirst int32 = 0
	popFromLast  int32 = 1
)

// Pop implements driver.Popper: all queues of the topic, and those that bring back
// what was not acknowledged, which the broker looks into by itself.
func (c *client) Pop(ctx context.Context, r driver.PopRequest) ([]*message.Delivery, error) {
	now := time.Now()
	f, err := newFilter(r.Filter, now.UnixMilli())
	if err != nil {
		return nil, err
	}
	h := &protocol.PopRequest{
		ConsumerGroup: c.namespace.wire(r.Group), Topic: c.namespace.wire(r.Filter.Topic), QueueID: -1, MaxMessages: int32(r.Max),
		InvisibleTime: r.Invisible.Milliseconds(), PollTime: r.Wait.Milliseconds(), BornTime: now.UnixMilli(), InitMode: popFromLast,
		ExpressionType: f.data.ExpressionType, Expression: f.data.SubString, BrokerName: r.Broker,
	}
	if r.From == driver.FromFirst {
		h.InitMode = popFromFirst
	}
	if h.ExpressionType == "" {
		h.ExpressionType = driver.ExpressionTag
	}
	op := fmt.Sprintf("pop messages of topic %s", r.Filter.Topic)
	resp, err := c.askPopper(ctx, c.within(r.Wait), message.Queue{Topic: r.Filter.Topic, Broker: r.Broker}, op, protocol.PopMessage, h,
		protocol.PullNotFound, protocol.PollingTimeout, protocol.PollingFull)
	if err != nil || resp.Code != protocol.Success {
		return nil, err
	}
	wire := r
	wire.Group, wire.Filter.Topic = h.ConsumerGroup, h.Topic
	ds, err := popped(wire, resp, hiddenUntil(now, r.Invisible))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	for _, d := range ds {
		d.SetNamespace(c.namespace.name)
	}
	return slices.DeleteFunc(ds, func(d *message.Delivery) bool {
		if f.match(d.Tag) {
			return false
		}
		// The broker compares hashes; this one is not the group's, which is done with it.
		if err := c.AckPopped(ctx, d); err != nil {
			c.log.Warn("could not acknowledge a message with another tag of the same hash; it comes again", "group", r.Group, "topic", r.Filter.Topic, "tag", d.Tag, "error", err)
		}
		return true
	}), nil
}

// hiddenUntil is how long a message is hidden for sure that a broker was asked to hide
// now. The broker does it a little later, but counts from the begin of its millisecond.
func hiddenUntil(now time.Time, invisible time.Duration) time.Time {
	return now.Add(invisible - time.Millisecond)
}

// popped reads the answer to a pop (MQClientAPIImpl.processPopResponse): each message
// gets its receipt, from its own properties when it came back, else from the header.
func popped(r driver.PopRequest, resp *protocol.Command, until time.Time) ([]*message.Delivery, error) {
	var h protocol.PopResponse
	if err := h.DecodeFields(resp.Fields); err != nil {
		return nil, err
	}
	recs, err := answer.Records(nil, r.Filter.Topic, resp.Body)
	if err != nil {
		return nil, err
	}
	starts := popStarts(h.StartOffsets)
	ds, err := answer.Deliveries(recs, r.Group, message.Queue{Topic: r.Filter.Topic, Broker: r.Broker})
	if err != nil {
		return nil, err // they come again when their time is over
	}
	for i, d := range ds {
		receipt := d.Property(protocol.PropPopReceipt)
		if receipt == "" {
			rec := &recs[i]
			mark := protocol.PopRetryMark(rec.Topic)
			key := fmt.Sprint(mark, "@", rec.QueueID)
			if _, ok := starts[key]; !ok {
				starts[key] = rec.QueueOffset // as Java's client takes it: the first of the queue's
			}
			made := protocol.PopReceipt{
				StartOffset: starts[key], PopTime: h.PopTime, InvisibleTime: h.InvisibleTime, ReviveQueueID: h.ReviveQueueID,
				Retry: mark, BrokerName: r.Broker, QueueID: rec.QueueID, Offset: rec.QueueOffset,
			}
			receipt = made.String()
		}
		at, err := protocol.ParsePopReceipt(receipt)
		if err != nil {
			return nil, err
		}
		real, ok := protocol.PopRealTopic(r.Filter.Topic, r.Group, at.Retry)
		if !ok {
			return nil, fmt.Errorf("receipt %q: mark %q is not known", receipt, at.Retry)
		}
		d.Topic = r.Filter.Topic
		d.Queue = message.Queue{Topic: real, Broker: r.Broker, ID: int(at.QueueID)}
		d.SetClaim(&message.Claim{Receipt: receipt, Until: until})
	}
	return ds, nil
}

// popStarts reads "0 1 17;1 0 3": each queue's first offset in an answer, by mark and
// queue id.
func popStarts(s string) map[string]int64 {
	starts := make(map[string]int64)
	for part := range strings.SplitSeq(s, ";") {
		var mark string
		var queue, offset int64
		if n, _ := fmt.Sscan(part, &mark, &queue, &offset); n == 3 {
			starts[fmt.Sprint(mark, "@", queue)] = offset
		}
	}
	return starts
}

// ackRequest names a popped message, which its receipt says where to find.
func (c *client) ackRequest(d *message.Delivery) (h protocol.AckRequest, at protocol.PopReceipt, err error) {
	claim := d.Claim()
	if claim == nil {
		return h, at, fmt.Errorf("message %s was not popped", d.ID)
	}
	at, err = protocol.ParsePopReceipt(claim.Receipt)
	return protocol.AckRequest{
		ConsumerGroup: c.namespace.wire(d.Group), Topic: c.namespace.wire(d.Queue.Topic), QueueID: at.QueueID, Receipt: claim.Receipt, Offset: at.Offset, BrokerName: d.Queue.Broker,
	}, at, err
}

// AckPopped implements driver.Popper.
func (c *client) AckPopped(ctx context.Context, d *message.Delivery) error {
	h, _, err := c.ackRequest(d)
	if err != nil {
		return err
	}
	_, err = c.askPopper(ctx, c.cfg.RequestTimeout, of(d), "acknowledge message "+d.ID+" of topic "+d.Topic, protocol.AckMessage, &h)
	return err
}

// of is the queue to find a popped message's broker by: its topic's, since the route
// of a topic that brings messages back is nobody's business.
func of(d *message.Delivery) message.Queue {
	return message.Queue{Topic: d.Topic, Broker: d.Queue.Broker, ID: d.Queue.ID}
}

// ExtendPopped implements driver.Popper.
func (c *client) ExtendPopped(ctx context.Context, d *message.Delivery, invisible time.Duration) error {
	h, at, err := c.ackRequest(d)
	if err != nil {
		return err
	}
	now := time.Now()
	op := fmt.Sprintf("hide message %s of topic %s for %s", d.ID, d.Topic, invisible)
	resp, err := c.askPopper(ctx, c.cfg.RequestTimeout, of(d), op, protocol.ChangeInvisibleTime,
		&protocol.ChangeInvisibleRequest{AckRequest: h, InvisibleTime: invisible.Milliseconds()})
	if err != nil {
		return err
	}
	var a protocol.ChangeInvisibleResponse
	if err := a.DecodeFields(resp.Fields); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	// As MQClientAPIImpl.changeInvisibleTimeAsync: the message is a queue's first now.
	at.StartOffset, at.PopTime, at.InvisibleTime, at.ReviveQueueID = at.Offset, a.PopTime, a.InvisibleTime, a.ReviveQueueID
	d.SetClaim(&message.Claim{Receipt: at.String(), Until: hiddenUntil(now, invisible)})
	return nil
}

// DeadLetterPopped implements driver.Popper: code 36 without any retry left, then the
// acknowledgement.
func (c *client) DeadLetterPopped(ctx context.Context, d *message.Delivery) error {
	_, physical, err := protocol.ParseOffsetMessageID(d.OffsetID)
	if err != nil {
		return err
	}
	op := "dead-letter message " + d.ID + " of topic " + d.Topic
	_, err = c.askPopper(ctx, c.cfg.RequestTimeout, of(d), op, protocol.SendMessageBack, &protocol.SendBackRequest{
		Offset: physical, Group: c.namespace.wire(d.Group), DelayLevel: -1, OriginMessageID: d.ID, OriginTopic: c.namespace.wire(d.Topic),
		MaxReconsumeTimes: protocol.SomeInt32(0), BrokerName: d.Queue.Broker,
	})
	if err != nil {
		return err
	}
	return c.AckPopped(ctx, d)
}

// askPopper makes a request to a topic's master. Brokers before 5.0 do not know it.
func (c *client) askPopper(ctx context.Context, limit time.Duration, q message.Queue, op string, code protocol.Code, h protocol.Header, allowed ...protocol.Code) (*protocol.Command, error) {
	resp, err := c.askAt(ctx, c.master, limit, q, op, code, h, allowed...)
	var refused *message.BrokerError
	if errors.As(err, &refused) && refused.Code == int(protocol.CodeNotSupported) {
		return nil, &UnsupportedError{Op: op, Broker: q.Broker, Addr: refused.Addr, Why: "the broker is older than 5.0", Remedy: "consume with a Consumer or a Fetcher", Err: err}
	}
	return resp, err
}
