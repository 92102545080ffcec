package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// ErrNotFound: there is no such message, or no longer.
var ErrNotFound = errors.New("no such message")

// MessageByOffsetID returns a stored message by its offset id (SendResult's
// OffsetMessageID, Delivery's OffsetID), which names the broker's address and the place
// in its commit log. The error for one that is not there any more is an ErrNotFound.
func (c *Client) MessageByOffsetID(ctx context.Context, topic, id string) (*message.Delivery, error) {
	host, offset, err := protocol.ParseOffsetMessageID(id)
	if err != nil {
		return nil, fmt.Errorf("offset id %.64q: %w; a unique id (SendResult.MessageID) is for MessagesByID", id, err)
	}
	op := "read message " + id
	s := server{addr: host.String()}
	resp, err := c.ask(ctx, s, op, protocol.ViewMessageByID, &protocol.ViewMessageRequest{Offset: offset, Topic: topic})
	if answer.IsCode(err, protocol.SystemError) {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	ds, err := readDeliveries(resp.Body, topic, "")
	if err != nil || len(ds) == 0 {
		return nil, unreadable(op, s, cmp.Or(err, error(protocol.ErrMalformedRecord)))
	}
	return ds[0], nil
}

// readDeliveries reads records, one after the other.
func readDeliveries(body []byte, topic, broker string) ([]*message.Delivery, error) {
	recs, err := answer.Records(nil, topic, body)
	if err != nil {
		return nil, err
	}
	ds, err := answer.Deliveries(recs, "", message.Queue{Topic: topic, Broker: broker})
	for i, d := range ds {
		d.Queue = message.Queue{Topic: recs[i].Topic, Broker: broker, ID: int(recs[i].QueueID)}
	}
	return ds, err
}

// Between is a span of store times; a zero From is everything before To, a zero To
// is now.
type Between struct{ From, To time.Time }

// MessagesByKey returns up to limit messages of a topic that have a business key,
// by store time, from the brokers' index.
func (c *Client) MessagesByKey(ctx context.Context, topic, key string, in Between, limit int) ([]*message.Delivery, error) {
	return c.query(ctx, topic, key, in, limit, false)
}

// MessagesByID returns the stored copies of a message by its unique id
// (SendResult.MessageID), oldest first. There is more than one where a send whose
// outcome was unknown was tried again. Without a span the whole index is searched.
func (c *Client) MessagesByID(ctx context.Context, topic, id string, in Between) ([]*message.Delivery, error) {
	return c.query(ctx, topic, id, in, 32, true)
}

func (c *Client) query(ctx context.Context, topic, key string, in Between, limit int, unique bool) ([]*message.Delivery, error) {
	if key == "" || limit < 1 {
		return nil, fmt.Errorf("messages of topic %s by key %q, at most %d: want a key, and a limit of 1 or more", topic, key, limit)
	}
	bs, err := c.routeMasters(ctx, topic)
	if err != nil {
		return nil, err
	}
	if in.To.IsZero() {
		in.To = time.Now().Add(time.Minute) // the brokers' clocks differ
	}
	h := protocol.QueryMessageRequest{
		Topic: topic, Key: key, MaxNum: int32(min(limit, 1<<20)),
		BeginTimestamp: max(0, in.From.UnixMilli()), EndTimestamp: in.To.UnixMilli(),
	}
	if unique {
		h.UniqueKey, h.IndexType = protocol.SomeBool(true), protocol.IndexUnique
	}
	var all []*message.Delivery
	for _, b := range bs {
		op := "look up messages of topic " + topic + " by key " + key
		resp, err := c.ask(ctx, b.server(), op, protocol.QueryMessage, &h)
		if answer.IsCode(err, protocol.QueryNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ds, err := readDeliveries(resp.Body, topic, b.Name)
		if err != nil {
			return nil, unreadable(op, b.server(), err)
		}
		for _, d := range ds { // the index has hashes of keys
			if unique && d.ID == key || !unique && slices.Contains(d.Keys(), key) {
				all = append(all, d)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *message.Delivery) int { return cmp.Compare(a.StoreTimestamp, b.StoreTimestamp) })
	return all[:min(limit, len(all))], nil
}

// toolGroup is whom brokers serve when a tool pulls (MixAll.TOOLS_CONSUMER_GROUP).
const toolGroup = "TOOLS_CONSUMER"

// Page is a part of a queue.
type Page struct {
	Messages []*message.Delivery
	// Next is where the following page begins. Min and Max are the queue's bounds:
	// the offset of its first message, and that of the next to be stored.
	Next, Min, Max int64
}

// MessagesAt reads up to limit messages of a queue from an offset on, and commits
// nothing. It does not wait: a page without messages whose Next is not before its Max
// is the end. Where the offset is not in the queue's bounds the page is empty, and Next
// is the nearest that is.
func (c *Client) MessagesAt(ctx context.Context, q message.Queue, offset int64, limit int) (Page, error) {
	b, err := c.master(ctx, q.Topic, q.Broker)
	if err != nil {
		return Page{}, err
	}
	return c.pull(ctx, b, q, toolGroup, offset, limit)
}

func (c *Client) pull(ctx context.Context, b Broker, q message.Queue, group string, offset int64, limit int) (Page, error) {
	op := fmt.Sprintf("read queue %d of topic %s at broker %s from offset %d", q.ID, q.Topic, q.Broker, offset)
	h := protocol.PullRequest{
		ConsumerGroup: group, Topic: q.Topic, QueueID: int32(q.ID), QueueOffset: offset, MaxMessages: int32(max(1, min(limit, 1024))),
		SysFlag: protocol.PullSubscription, Subscription: protocol.SubscribeAll, ExpressionType: protocol.ExpressionTag,
	}
	resp, err := c.askAnything(ctx, b.server(), op, protocol.PullMessage, &h)
	if err != nil {
		return Page{}, err
	}
	switch resp.Code {
	case protocol.Success, protocol.PullNotFound, protocol.PullRetryImmediately, protocol.PullOffsetMoved:
	default:
		return Page{}, answer.Refusal(op, b.Name, b.Addr, resp)
	}
	var r protocol.PullResponse
	if err := r.DecodeFields(resp.Fields); err != nil {
		return Page{}, unreadable(op, b.server(), err)
	}
	p := Page{Next: r.NextBeginOffset, Min: r.MinOffset, Max: r.MaxOffset}
	if resp.Code != protocol.Success {
		return p, nil
	}
	ds, err := readDeliveries(resp.Body, q.Topic, q.Broker)
	if err != nil {
		return Page{}, unreadable(op, b.server(), err)
	}
	for _, d := range ds {
		if d.QueueOffset >= offset {
			p.Messages = append(p.Messages, d)
		}
	}
	return p, nil
}
