package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// QueueLag is where a group is in a queue.
type QueueLag struct {
	Queue message.Queue
	// Committed is the next offset that the group consumes, End the next that is
	// stored.
	Committed, End int64
	// LastConsumed is when the message before Committed was stored, zero for none.
	LastConsumed time.Time
}

// Lag is how many messages the group has still to consume.
func (q QueueLag) Lag() int64 { return max(0, q.End-q.Committed) }

// GroupLag is where a group is in its topics.
type GroupLag struct {
	Group  string
	Queues []QueueLag // sorted by topic, broker and id; the retry topic is among them
	TPS    float64    // messages that it consumes in a second
}

// Lag is how many messages the group has still to consume.
func (g GroupLag) Lag() int64 {
	var n int64
	for _, q := range g.Queues {
		n += q.Lag()
	}
	return n
}

// Topic is the same for one topic.
func (g GroupLag) Topic(topic string) GroupLag {
	g.Queues = slices.DeleteFunc(slices.Clone(g.Queues), func(q QueueLag) bool { return q.Queue.Topic != topic })
	return g
}

// Lag returns where a group is: in every topic that it has offsets for, as the
// brokers of a target say, the only cluster unless one is given.
// A group that no broker knows, or that has committed nothing, has no queues and no error.
func (c *Client) Lag(ctx context.Context, group string, at ...Target) (GroupLag, error) {
	if err := message.CheckGroup(group); err != nil {
		return GroupLag{}, err
	}
	lag := GroupLag{Group: group}
	err := c.each(ctx, oneTarget(at), func(b Broker) error {
		stats, err := c.consumeStats(ctx, b, group, "")
		if err != nil {
			return err
		}
		for q, o := range stats.Offsets {
			l := QueueLag{Queue: queueOf(q), Committed: o.ConsumerOffset, End: o.BrokerOffset}
			if o.LastTimestamp > 0 {
				l.LastConsumed = time.UnixMilli(o.LastTimestamp)
			}
			lag.Queues = append(lag.Queues, l)
		}
		lag.TPS += stats.TPS
		return nil
	})
	slices.SortFunc(lag.Queues, func(a, b QueueLag) int { return compareQueues(a.Queue, b.Queue) })
	return lag, err
}

func (c *Client) consumeStats(ctx context.Context, b Broker, group, topic string) (*protocol.ConsumeStats, error) {
	op := "ask for the offsets of group " + group
	resp, err := c.ask(ctx, b.server(), op, protocol.GetConsumeStats, &protocol.ConsumeStatsRequest{ConsumerGroup: group, Topic: topic})
	if err != nil {
		return nil, err
	}
	stats, err := protocol.DecodeConsumeStats(resp.Body)
	if err != nil {
		return nil, unreadable(op, b.server(), err)
	}
	return stats, nil
}

// SeekTime moves a whole group in a topic to the first messages that were stored at t
// or later: back, to consume again, or forward. A zero t is the end. It returns where
// the group goes on.
//
// Brokers of 5.x move groups with and without running members, those of 4.9 tell the
// members to move; where there are none, the offsets are committed in their place.
// Messages that handlers have at that moment may still be acknowledged; those of
// broadcasting groups keep their offsets themselves and are not moved. Brokers of 4.9
// begin at the message whose time is nearest to t, perhaps the last one before it.
func (c *Client) SeekTime(ctx context.Context, group, topic string, t time.Time) (map[message.Queue]int64, error) {
	ms := protocol.LatestOffset
	if !t.IsZero() {
		ms = t.UnixMilli()
	}
	if err := errors.Join(message.CheckGroup(group), message.CheckTopic(topic)); err != nil {
		return nil, err
	}
	route, err := c.Route(ctx, topic)
	if err != nil {
		return nil, err
	}
	moved := map[message.Queue]int64{}
	for _, tb := range route {
		b := tb.Master()
		if b.Addr == "" {
			return moved, fmt.Errorf("reset group %s: %w: broker %s has no master; try again when it is back", group, message.ErrUnreachable, tb.Name)
		}
		h := protocol.ResetOffsetRequest{Group: group, Topic: topic, QueueID: -1, Timestamp: ms, Force: true}
		table, err := c.reset(ctx, b, &h)
		if answer.IsCode(err, protocol.ConsumerNotOnline) {
			table, err = c.resetOffline(ctx, tb, group, topic, ms)
		}
		if err != nil {
			return moved, err
		}
		for q, o := range table {
			moved[queueOf(q)] = o
		}
	}
	return moved, nil
}

// reset is code 222.
func (c *Client) reset(ctx context.Context, b Broker, h *protocol.ResetOffsetRequest) (map[protocol.MessageQueue]int64, error) {
	op := fmt.Sprintf("reset group %s in topic %s", h.Group, h.Topic)
	resp, err := c.ask(ctx, b.server(), op, protocol.ResetOffset, h)
	if err != nil {
		return nil, err
	}
	table, err := protocol.DecodeOffsetTable(resp.Body)
	if err != nil {
		return nil, unreadable(op, b.server(), err)
	}
	return table, nil
}

// resetOffline commits offsets for a group that nobody is in, as mqadmin does.
func (c *Client) resetOffline(ctx context.Context, tb TopicBroker, group, topic string, ms int64) (map[protocol.MessageQueue]int64, error) {
	b, table := tb.Master(), map[protocol.MessageQueue]int64{}
	for id := range tb.ReadQueues {
		q := message.Queue{Topic: topic, Broker: b.Name, ID: id}
		code := protocol.SearchOffsetByTime
		if ms == protocol.LatestOffset {
			code = protocol.GetMaxOffset
		}
		offset, err := c.edge(ctx, b, q, code, ms)
		if err != nil {
			return nil, err
		}
		if err := c.commit(ctx, b, group, q, offset); err != nil {
			return nil, err
		}
		table[protocol.MessageQueue{Topic: topic, BrokerName: b.Name, QueueID: int32(id)}] = offset
	}
	return table, nil
}

// Offset returns where a group is in a queue; ok is false when it has no offset
// there. Brokers of 4.9 say 0 then, when the queue begins there.
func (c *Client) Offset(ctx context.Context, group string, q message.Queue) (offset int64, ok bool, err error) {
	b, err := c.master(ctx, q.Topic, q.Broker)
	if err != nil {
		return 0, false, err
	}
	return c.committed(ctx, b, group, q)
}

func (c *Client) committed(ctx context.Context, b Broker, group string, q message.Queue) (int64, bool, error) {
	op := fmt.Sprintf("ask for the offset of group %s in queue %d of topic %s", group, q.ID, q.Topic)
	h := protocol.ConsumerOffsetRequest{Code: protocol.QueryConsumerOffset, ConsumerGroup: group, Topic: q.Topic, QueueID: int32(q.ID), SetZeroIfNotFound: protocol.SomeBool(false)}
	offset, err := c.askOffset(ctx, b.server(), op, protocol.QueryConsumerOffset, &h)
	if answer.IsCode(err, protocol.QueryNotFound) {
		return 0, false, nil
	}
	return offset, err == nil, err
}

func (c *Client) commit(ctx context.Context, b Broker, group string, q message.Queue, offset int64) error {
	op := fmt.Sprintf("commit offset %d of group %s in queue %d of topic %s", offset, group, q.ID, q.Topic)
	h := protocol.ConsumerOffsetRequest{Code: protocol.UpdateConsumerOffset, ConsumerGroup: group, Topic: q.Topic, QueueID: int32(q.ID), CommitOffset: offset}
	_, err := c.ask(ctx, b.server(), op, protocol.UpdateConsumerOffset, &h)
	return err
}

// CommitOffset notes where a group that nobody is in goes on in a queue. Members that
// run keep offsets of their own and commit them over it: see SeekOffset.
func (c *Client) CommitOffset(ctx context.Context, group string, q message.Queue, offset int64) error {
	b, err := c.master(ctx, q.Topic, q.Broker)
	if err != nil {
		return err
	}
	return c.commit(ctx, b, group, q, offset)
}

// SeekOffset moves a group to an offset of a queue, whether it has running members
// or not. Brokers of 4.9 cannot move running members to an offset: that is a
// message.ErrUnsupported, and nothing has changed.
func (c *Client) SeekOffset(ctx context.Context, group string, q message.Queue, offset int64) error {
	b, err := c.master(ctx, q.Topic, q.Broker)
	if err != nil {
		return err
	}
	op := "ask for the members of group " + group
	resp, err := c.askAnything(ctx, b.server(), op, protocol.GetConsumerConnections, &protocol.ConsumerListRequest{ConsumerGroup: group})
	switch {
	case err != nil:
		return err
	case resp.Code == protocol.ConsumerNotOnline:
		return c.commit(ctx, b, group, q, offset)
	case resp.Version < protocol.VersionV5_0_0:
		return fmt.Errorf("reset group %s in queue %d of topic %s to offset %d: %w by broker %s at %s: brokers before 5.0 move running members by time only; stop the group's members, or use SeekTime", group, q.ID, q.Topic, offset, message.ErrUnsupported, b.Name, b.Addr)
	}
	_, err = c.reset(ctx, b, &protocol.ResetOffsetRequest{Group: group, Topic: q.Topic, QueueID: int32(q.ID), Offset: protocol.SomeInt64(offset), Timestamp: protocol.LatestOffset, Force: true})
	return err
}

// CloneOffsets gives a group the offsets of another, in one topic, or in all of its
// topics when topic is "".
func (c *Client) CloneOffsets(ctx context.Context, from, to, topic string, at ...Target) error {
	if err := errors.Join(message.CheckGroup(from), message.CheckGroup(to)); err != nil {
		return err
	}
	return c.each(ctx, oneTarget(at), func(b Broker) error {
		op := fmt.Sprintf("clone the offsets of group %s to %s", from, to)
		_, err := c.ask(ctx, b.server(), op, protocol.CloneGroupOffset, &protocol.CloneOffsetRequest{From: from, To: to, Topic: topic, Offline: true})
		return err
	})
}

// TopicGroups returns the groups that read a topic or have offsets in it, sorted.
func (c *Client) TopicGroups(ctx context.Context, topic string) ([]string, error) {
	bs, err := c.routeMasters(ctx, topic)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, b := range bs {
		var list protocol.GroupList
		if err := c.askBody(ctx, b.server(), "ask for the groups of topic "+topic, protocol.QueryTopicConsumers, &protocol.TopicRequest{Topic: topic}, &list); err != nil {
			return nil, err
		}
		all = append(all, list.Groups...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
