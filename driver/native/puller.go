package native

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

var _ driver.Puller = (*client)(nil)

// ReadQueues implements driver.Puller.
func (c *client) ReadQueues(ctx context.Context, topic string) ([]message.Queue, error) {
	if err := message.CheckTopic(topic); err != nil {
		return nil, err
	}
	r, err := c.routes.forReading(ctx, c.namespace.wire(topic))
	if err != nil {
		return nil, err
	}
	return c.namespace.rename(r.subscribe, func(string) string { return topic }), nil // which may be the wire's name
}

// Pull implements driver.Puller. The request carries its own subscription, so that
// the group needs no members.
func (c *client) Pull(ctx context.Context, r driver.PullRequest) (driver.PullAnswer, error) {
	f, err := newFilter(r.Filter, time.Now().UnixMilli())
	if err != nil {
		return driver.PullAnswer{}, err
	}
	h := &protocol.PullRequest{
		ConsumerGroup: c.namespace.wire(r.Group), Topic: c.namespace.wire(r.Queue.Topic), QueueID: int32(r.Queue.ID), QueueOffset: r.Offset, MaxMessages: int32(r.Max),
		SysFlag: protocol.PullSubscription, Subscription: f.data.SubString, SubVersion: f.version.Load(),
		ExpressionType: f.data.ExpressionType, BrokerName: r.Queue.Broker,
	}
	if r.Wait > 0 {
		h.SysFlag |= protocol.PullSuspend
		h.SuspendTimeout = r.Wait.Milliseconds()
	}
	op := fmt.Sprintf("pull queue %d of topic %s from offset %d", r.Queue.ID, r.Queue.Topic, r.Offset)
	resp, err := c.askReader(ctx, c.within(r.Wait), r.Queue, op, protocol.PullMessage, h, protocol.PullNotFound, protocol.PullRetryImmediately, protocol.PullOffsetMoved)
	if err != nil {
		return driver.PullAnswer{}, err
	}
	a, err := f.answer(r, resp)
	for _, d := range a.Messages {
		d.SetNamespace(c.namespace.name)
	}
	if err != nil {
		return driver.PullAnswer{}, fmt.Errorf("%s: %w", op, err)
	}
	return a, nil
}

// answer reads what a broker answers to a pull.
func (f *filter) answer(r driver.PullRequest, resp *protocol.Command) (driver.PullAnswer, error) {
	var h protocol.PullResponse
	if err := h.DecodeFields(resp.Fields); err != nil {
		return driver.PullAnswer{}, err
	}
	a := driver.PullAnswer{Next: h.NextBeginOffset, First: h.MinOffset, End: h.MaxOffset}
	switch resp.Code {
	case protocol.PullNotFound:
		a.Status = driver.PullNoNewMsg
	case protocol.PullRetryImmediately:
		a.Status = driver.PullNoMatchedMsg
	case protocol.PullOffsetMoved:
		a.Status = driver.PullOffsetIllegal
	default:
		recs, err := answer.Records(nil, r.Queue.Topic, resp.Body)
		ds, bad := answer.Deliveries(recs, r.Group, r.Queue)
		if err = cmp.Or(bad, err); err != nil {
			if len(ds) == 0 {
				return driver.PullAnswer{}, err
			}
			a.Next = ds[len(ds)-1].QueueOffset + 1 // where the next pull will fail
		}
		for _, d := range ds {
			if f.match(d.Tag) && d.QueueOffset >= r.Offset {
				a.Messages = append(a.Messages, d)
			}
		}
		if len(a.Messages) == 0 {
			a.Status = driver.PullNoMatchedMsg
		}
	}
	return a, nil
}

// Bounds implements driver.Puller.
func (c *client) Bounds(ctx context.Context, q message.Queue) (first, end int64, err error) {
	if first, err = c.askOffset(ctx, q, "find the beginning", &protocol.OffsetRequest{Code: protocol.GetMinOffset}); err != nil {
		return 0, 0, err
	}
	end, err = c.endOffset(ctx, q)
	return first, end, err
}

// endOffset is the offset after a queue's last message.
func (c *client) endOffset(ctx context.Context, q message.Queue) (int64, error) {
	return c.askOffset(ctx, q, "find the end", &protocol.OffsetRequest{Code: protocol.GetMaxOffset})
}

// OffsetAt implements driver.Puller.
func (c *client) OffsetAt(ctx context.Context, q message.Queue, t time.Time) (int64, error) {
	return c.askOffset(ctx, q, "find the messages since "+t.Format(time.RFC3339Nano), &protocol.OffsetRequest{
		Code: protocol.SearchOffsetByTime, Timestamp: t.UnixMilli(), Boundary: protocol.BoundaryLower,
	})
}

func (c *client) askOffset(ctx context.Context, q message.Queue, what string, h *protocol.OffsetRequest) (int64, error) {
	h.Topic, h.QueueID, h.BrokerName = c.namespace.wire(q.Topic), int32(q.ID), q.Broker
	op := fmt.Sprintf("%s of queue %d of topic %s", what, q.ID, q.Topic)
	resp, err := c.askReader(ctx, c.cfg.RequestTimeout, q, op, h.Code, h)
	if err != nil {
		return 0, err
	}
	var o protocol.OffsetResponse
	if err := o.DecodeFields(resp.Fields); err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	return o.Offset, nil
}

// GroupOffset implements driver.Puller.
func (c *client) GroupOffset(ctx context.Context, group string, q message.Queue) (int64, bool, error) {
	return c.groupOffset(ctx, group, q, protocol.OptBool{})
}

// groupOffset is GroupOffset; a zero that is false keeps brokers from saying 0 of a group
// that has no offset, where they have all messages still. Those before 5.0 say it anyway.
func (c *client) groupOffset(ctx context.Context, group string, q message.Queue, zero protocol.OptBool) (offset int64, known bool, err error) {
	op := fmt.Sprintf("query the offset of group %s in queue %d of topic %s", group, q.ID, q.Topic)
	resp, err := c.askReader(ctx, c.cfg.RequestTimeout, q, op, protocol.QueryConsumerOffset, &protocol.ConsumerOffsetRequest{
		Code: protocol.QueryConsumerOffset, ConsumerGroup: c.namespace.wire(group), Topic: c.namespace.wire(q.Topic), QueueID: int32(q.ID), SetZeroIfNotFound: zero, BrokerName: q.Broker,
	}, protocol.QueryNotFound)
	if err != nil || resp.Code == protocol.QueryNotFound {
		return 0, false, err
	}
	var o protocol.OffsetResponse
	if err := o.DecodeFields(resp.Fields); err != nil {
		return 0, false, fmt.Errorf("%s: %w", op, err)
	}
	return o.Offset, o.Offset >= 0, nil
}

// CommitOffset implements driver.Puller.
func (c *client) CommitOffset(ctx context.Context, group string, q message.Queue, offset int64) error {
	_, err := c.askReader(ctx, c.cfg.RequestTimeout, q, commitOp, protocol.UpdateConsumerOffset, commitHeader(c.namespace.wire(group), c.namespace.wireQueue(q), offset))
	return err
}

// askReader makes a request to the broker that a queue is read from: its master, or
// a slave while there is none.
func (c *client) askReader(ctx context.Context, limit time.Duration, q message.Queue, op string, code protocol.Code, h protocol.Header, allowed ...protocol.Code) (*protocol.Command, error) {
	return c.askAt(ctx, c.offsets, limit, q, op, code, h, allowed...)
}

// askAt makes a request to the broker of a queue that find takes from the route. The
// route is looked up when there is none, and again when it leads nowhere.
func (c *client) askAt(ctx context.Context, find func(message.Queue) (*broker, error), limit time.Duration, q message.Queue, op string, code protocol.Code, h protocol.Header, allowed ...protocol.Code) (*protocol.Command, error) {
	q = c.namespace.wireQueue(q)
	if _, err := c.routes.forReading(ctx, q.Topic); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	b, err := find(q)
	if err != nil {
		c.routes.refresh(q.Topic)
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	driver.NoteReached(ctx, b.addr)
	resp, err := b.callWithin(ctx, limit, q.Broker, op, code, h, allowed...)
	if errors.Is(err, message.ErrUnreachable) || answer.IsCode(err, protocol.TopicNotExist) {
		c.routes.refresh(q.Topic)
	}
	return resp, err
}

// within is the limit of a request that the broker may hold for a while.
func (c *client) within(wait time.Duration) time.Duration {
	if wait > 0 {
		return wait + answerTime
	}
	return c.cfg.RequestTimeout
}
