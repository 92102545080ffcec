package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// Shrink says how ShrinkTopic goes about it.
type Shrink struct {
	// Groups are those to wait for; nil is every group that reads the topic or has
	// offsets in it, those too that nobody is in any more.
	Groups []string
	// Settle is how long the queues must have been drained and without a new message
	// before they go: producers learn of a change when they ask for the route again.
	// 40 s, since RocketMQ's clients ask every 30 s. Where producers postpone messages of
	// the topic, it is to be longer than they do at most: see ShrinkTopic.
	Settle time.Duration
	// Every is how often to look: 1 s.
	Every time.Duration
	// Waiting, when set, is told what there is to wait for, after each look.
	Waiting func(left []QueueLag)
}

// ShrinkTopic takes queues away from a topic without losing a message: on each of its
// brokers that has more than so many, it first stops producers from writing to those
// that go (fewer write queues), waits until the groups have consumed what is in them,
// and then takes them from the consumers (fewer read queues). ctx bounds the wait. After
// an error, or another end, the same call goes on where this one has stopped: the
// topic itself says how far it is.
//
// A postponed message has its queue from the send on, and so has one of a transaction that
// is open: brokers deliver both to it whatever the topic has become, and until it has that
// queue again nobody gets them. They are seen when they come within Settle of the last one.
func (c *Client) ShrinkTopic(ctx context.Context, topic string, queues int, how Shrink) error {
	if queues < 1 {
		return fmt.Errorf("shrink topic %s to %d queues: want at least 1", topic, queues)
	}
	if how.Settle <= 0 {
		how.Settle = 40 * time.Second
	}
	if how.Every <= 0 {
		how.Every = time.Second
	}
	route, err := c.Route(ctx, topic)
	if err != nil {
		return err
	}
	var shrinking []TopicBroker
	for _, b := range route {
		if b.ReadQueues <= queues && b.WriteQueues <= queues {
			continue
		}
		if b.Master().Addr == "" {
			return fmt.Errorf("shrink topic %s: %w: broker %s has no master; try again when it is back", topic, message.ErrUnreachable, b.Name)
		}
		shrinking = append(shrinking, b)
	}
	for _, b := range shrinking {
		if b.WriteQueues > queues {
			if err := c.createTopic(ctx, b.Master(), Topic{Name: topic, ReadQueues: b.ReadQueues, WriteQueues: queues, Perm: b.Perm}); err != nil {
				return err
			}
		}
	}
	if len(shrinking) == 0 {
		return nil
	}
	if err := c.drained(ctx, topic, queues, shrinking, how); err != nil {
		return err
	}
	for _, b := range shrinking {
		if err := c.createTopic(ctx, b.Master(), Topic{Name: topic, ReadQueues: queues, WriteQueues: min(queues, b.WriteQueues), Perm: b.Perm}); err != nil {
			return err
		}
	}
	return nil
}

// drained waits until the queues from an id on have been empty for all groups and
// without change for a while.
func (c *Client) drained(ctx context.Context, topic string, from int, brokers []TopicBroker, how Shrink) error {
	ticker := time.NewTicker(how.Every)
	defer ticker.Stop()
	var since time.Time // when they were first seen as they are
	written := int64(-1)
	for {
		left, end, err := c.undrained(ctx, topic, from, brokers, how.Groups)
		if err != nil { // ctx's end perhaps
			return fmt.Errorf("shrink topic %s: producers write to %d queues already; call it again to go on: %w", topic, from, err)
		}
		if how.Waiting != nil {
			how.Waiting(left)
		}
		if len(left) > 0 || end != written {
			since, written = time.Now(), end
		}
		if len(left) == 0 && time.Since(since) >= how.Settle {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("shrink topic %s: %d queues are not drained, or were written to less than %v ago; producers write to %d queues already; call it again to go on: %w", topic, len(left), how.Settle, from, ctx.Err())
		}
	}
}

// undrained are the queues from an id on that a group has still to consume from, and
// the sum of their ends.
func (c *Client) undrained(ctx context.Context, topic string, from int, brokers []TopicBroker, groups []string) (left []QueueLag, end int64, err error) {
	if groups == nil {
		if groups, err = c.TopicGroups(ctx, topic); err != nil {
			return nil, 0, err
		}
	}
	for _, tb := range brokers {
		state, _, err := c.queueStates(ctx, tb, topic)
		if err != nil {
			return nil, 0, err
		}
		for _, q := range state {
			if q.Queue.ID < from {
				continue
			}
			end += q.Max
			if q.Max == q.Min {
				continue
			}
			for _, g := range groups {
				at, _, err := c.committed(ctx, tb.Master(), g, q.Queue)
				if err != nil {
					return nil, 0, err
				}
				if at < q.Max {
					left = append(left, QueueLag{Queue: q.Queue, Committed: at, End: q.Max})
				}
			}
		}
	}
	return left, end, nil
}
