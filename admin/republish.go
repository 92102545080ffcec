package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/compression"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// left are the properties that a copy does not have: they say how the stored message
// got where it was.
var left = [...]string{
	protocol.PropDelayLevel, protocol.PropRealTopic, protocol.PropRealQueueID, protocol.PropTransactionPrepared, protocol.PropProducerGroup,
	protocol.PropReconsumeTime, protocol.PropMaxReconsumeTimes, protocol.PropTimerDelaySec, protocol.PropTimerDelayMs,
	protocol.PropTimerDeliverMs, protocol.PropTimerOutMs, protocol.PropCluster, protocol.PropPopReceipt, protocol.PropFirstPopTime,
}

// Republish stores a copy of a stored message in a topic, on the broker where the
// message is when that has the topic: with the same body, id, keys, tag, properties and
// time of birth, as one that nobody has tried to consume. It returns the copy's offset
// id. The broker chooses the queue.
//
// In a group's retry topic (message.RetryTopic) only that group gets it, as a message
// of its original topic.
func (c *Client) Republish(ctx context.Context, d *message.Delivery, topic string) (string, error) {
	b, err := c.writable(ctx, topic, d.Queue.Broker)
	if err != nil {
		return "", err
	}
	body, flags := d.Body, int32(0)
	if d.SysFlag&protocol.SysCompressed != 0 { // or it may be larger than the broker takes
		packer, err := compression.NewPacker(protocol.SysZlib, 5)
		if err != nil {
			return "", err
		}
		packed, packing, err := packer.Pack(nil, d.Body)
		if err != nil {
			return "", fmt.Errorf("republish message %s: %w", d.ID, err)
		}
		if packing != 0 {
			body, flags = packed, packing
		}
	}
	op := fmt.Sprintf("republish message %s to topic %s", d.ID, topic)
	h := protocol.SendRequest{
		Code: protocol.SendMessageV2, ProducerGroup: toolGroup, Topic: topic, DefaultTopic: protocol.DefaultTopic, DefaultTopicQueueNums: 4,
		QueueID: -1, SysFlag: flags, BornTimestamp: d.BornTimestamp, Flag: d.Flag, Properties: copied(d, topic),
		MaxReconsumeTimes: protocol.SomeInt32(16), // or a group without retries loses it again at once
	}
	resp, err := c.askAnything(ctx, b.server(), op, protocol.SendMessageV2, &h, body)
	if err != nil || resp.Code != protocol.Success {
		c.recent.forget(topic)
	}
	if err != nil {
		return "", err
	}
	switch resp.Code {
	case protocol.Success, protocol.FlushDiskTimeout, protocol.SlaveNotAvailable, protocol.FlushSlaveTimeout:
	default:
		return "", answer.Refusal(op, b.Name, b.Addr, resp)
	}
	var r protocol.SendResponse
	if err := r.DecodeFields(resp.Fields); err != nil {
		return "", unreadable(op, b.server(), err)
	}
	return r.MessageID, nil
}

// copied are the properties of a copy.
func copied(d *message.Delivery, topic string) []byte {
	origin, retry := d.OriginTopic(), topic != d.OriginTopic()
	var props []byte
	for k, v := range d.Properties() {
		if k == protocol.PropRetryTopic || slices.Contains(left[:], k) {
			continue
		}
		props = protocol.AppendProperty(props, k, v)
	}
	if retry {
		props = protocol.AppendProperty(props, protocol.PropRetryTopic, origin)
	}
	if d.Property(protocol.PropUniqueKey) == "" { // it is known by its first copy
		props = protocol.AppendProperty(props, protocol.PropUniqueKey, d.ID)
	}
	return props
}

// writable is a broker that takes messages of a topic, preferred when it does. A retry
// topic is made by the broker that gets a message for it.
func (c *Client) writable(ctx context.Context, topic, preferred string) (Broker, error) {
	route, err := c.recentRoute(ctx, topic)
	if errors.Is(err, message.ErrNoRoute) && isRetry(topic) {
		all, err := c.Masters(ctx, Target{Broker: preferred})
		if err != nil {
			return Broker{}, err
		}
		return all[0], nil
	}
	if err != nil {
		return Broker{}, err
	}
	var found Broker
	for _, tb := range route {
		if b := tb.Master(); b.Addr != "" && tb.Perm&Write != 0 && tb.WriteQueues > 0 && (found.Addr == "" || b.Name == preferred) {
			found = b
		}
	}
	if found.Addr == "" {
		return found, fmt.Errorf("%w: no broker takes messages of topic %s; check the topic's permissions and that its masters run", message.ErrUnreachable, topic)
	}
	return found, nil
}

func isRetry(topic string) bool { return strings.HasPrefix(topic, message.RetryPrefix) }

// Routes are asked for once in a while and not for each message: who republishes has many.
const (
	routeAge  = time.Second
	maxRoutes = 1024 // that are remembered
)

// routes are those that were asked for a short while ago.
type routes struct {
	mu    sync.Mutex // guards the following
	known map[string]knownRoute
}

type knownRoute struct {
	brokers []TopicBroker
	until   time.Time
}

// recentRoute is Route, up to routeAge ago.
func (c *Client) recentRoute(ctx context.Context, topic string) ([]TopicBroker, error) {
	if bs := c.recent.get(topic); bs != nil {
		return bs, nil
	}
	bs, err := c.Route(ctx, topic)
	if err == nil {
		c.recent.put(topic, bs)
	}
	return bs, err
}

func (r *routes) get(topic string) []TopicBroker {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.known[topic]; time.Now().Before(k.until) {
		return k.brokers
	}
	return nil
}

func (r *routes) put(topic string, bs []TopicBroker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= maxRoutes {
		r.known = nil
	}
	if r.known == nil {
		r.known = make(map[string]knownRoute)
	}
	r.known[topic] = knownRoute{bs, time.Now().Add(routeAge)}
}

// forget has the route asked for again: what it says did not work.
func (r *routes) forget(topic string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, topic)
}
