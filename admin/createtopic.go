package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// How long name servers are given to tell what a broker has changed: they are asked
// again after firstLook, and after twice as long each time, up to lastLook.
const (
	firstLook = 100 * time.Millisecond
	lastLook  = 3200 * time.Millisecond
)

// createTopic makes or changes a topic on a broker, and sees that the name servers tell
// it. Apache's take no change of a topic that comes with the data version of another
// one, made at the same time; and never learn of it, since they have that version. So
// it is made again until they do: with the other order flag, since 5.x tells them
// nothing when nothing changes, and then with its own. Neither is a part of the route.
func (c *Client) createTopic(ctx context.Context, b Broker, t Topic) error {
	if err := c.putTopic(ctx, b, t); err != nil {
		return err
	}
	for look := firstLook; ; look *= 2 {
		told, err := c.told(ctx, b, t)
		if told && err == nil {
			return nil
		}
		if look > lastLook {
			return err
		}
		timer := time.NewTimer(look)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, fmt.Errorf("create topic %s: broker %s has it: %w", t.Name, b.Addr, ctx.Err()))
		}
		other := t
		other.Order = !t.Order
		for _, again := range []Topic{other, t} {
			if err := c.putTopic(ctx, b, again); err != nil {
				return err
			}
		}
	}
}

// putTopic makes or changes a topic on a broker.
func (c *Client) putTopic(ctx context.Context, b Broker, t Topic) error {
	h := protocol.CreateTopicRequest{
		Topic: t.Name, DefaultTopic: protocol.DefaultTopic,
		ReadQueueNums: int32(t.ReadQueues), WriteQueueNums: int32(t.WriteQueues), Perm: int32(cmp.Or(t.Perm, ReadWrite)),
		TopicFilterType: protocol.SingleTag, Order: t.Order, Attributes: attributes(t.Attributes),
	}
	_, err := c.ask(ctx, b.server(), "create topic "+t.Name, protocol.UpdateAndCreateTopic, &h)
	return err
}

// told reports whether the name servers tell a broker's topic as it is set up. One that
// tells it otherwise is an error. One that does not know the topic there is not: the
// broker may register with others, and one that is known by its address only by another
// address. One that gives no answer is passed over.
func (c *Client) told(ctx context.Context, b Broker, t Topic) (bool, error) {
	addrs, err := c.names(ctx)
	if err != nil {
		return false, err
	}
	told := true
	var errs []error
	for _, addr := range addrs {
		one := Client{names: always(addr), timeout: c.timeout, net: c.net}
		route, err := one.Route(ctx, t.Name)
		if err != nil && !errors.Is(err, message.ErrNoRoute) {
			continue
		}
		at := slices.IndexFunc(route, func(tb TopicBroker) bool { return tb.Master().Addr == b.Addr })
		if at < 0 {
			told = told && b.Name == ""
			continue
		}
		// What a broker permits for no topic is left out of the route.
		if is, want := route[at], cmp.Or(t.Perm, ReadWrite); is.ReadQueues != t.ReadQueues || is.WriteQueues != t.WriteQueues || is.Perm&^want != 0 {
			errs = append(errs, fmt.Errorf("topic %s has %d read queues, %d write queues and permissions %v on broker %s, but name server %s tells clients %d, %d and %v: is another change made at the same time? make this one again",
				t.Name, t.ReadQueues, t.WriteQueues, want, b.Addr, addr, is.ReadQueues, is.WriteQueues, is.Perm))
		}
	}
	return told, errors.Join(errs...)
}

// attributes are what AttributeParser reads: +name=value, joined with commas.
func attributes(m map[string]string) string {
	var text []byte
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if text != nil {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, "+%s=%s", k, m[k])
	}
	return string(text)
}
