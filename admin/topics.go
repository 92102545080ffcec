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

// Perm is what may be done with a topic or queue.
type Perm int32

// Permissions, by RocketMQ's numbers.
const (
	Write     Perm = 2
	Read      Perm = 4
	ReadWrite Perm = Read | Write
)

// String is RocketMQ's form, such as RW-.
func (p Perm) String() string {
	text := []byte("---")
	for i, bit := range []Perm{Read, Write, Perm(protocol.PermInherit)} {
		if p&bit != 0 {
			text[i] = "RWX"[i]
		}
	}
	return string(text)
}

// Topic is how a topic is set up on a broker.
type Topic struct {
	Name string
	// ReadQueues and WriteQueues are how many queues a broker has for consumers
	// and producers: 1 to 65536. They differ while a topic shrinks, see ShrinkTopic.
	ReadQueues, WriteQueues int
	// Perm is ReadWrite unless set.
	Perm Perm
	// Order marks a topic whose queues must keep their places.
	Order bool
	// Attributes are 5.x's, such as message.type; 4.9 takes no notice of them.
	Attributes map[string]string
}

// maxQueues is broker-lite's limit; Apache has none.
const maxQueues = 65536

func (t Topic) validate() error {
	errs := []error{message.CheckTopic(t.Name)}
	for what, n := range map[string]int{"read": t.ReadQueues, "write": t.WriteQueues} {
		if n < 1 || n > maxQueues {
			errs = append(errs, fmt.Errorf("topic %s: %d %s queues: want 1 to %d", t.Name, n, what, maxQueues))
		}
	}
	if t.Perm&^(ReadWrite|Perm(protocol.PermInherit)) != 0 {
		errs = append(errs, fmt.Errorf("topic %s: permissions %d: want 2 (write), 4 (read) or 6 (both)", t.Name, t.Perm))
	}
	return errors.Join(errs...)
}

// CreateTopic makes a topic at a target, the only cluster unless one is given, or
// changes it, and sees that the name servers tell it so. Queues can be added at any
// time; to take some away see ShrinkTopic.
func (c *Client) CreateTopic(ctx context.Context, t Topic, at ...Target) error {
	if err := t.validate(); err != nil {
		return err
	}
	return c.each(ctx, oneTarget(at), func(b Broker) error { return c.createTopic(ctx, b, t) })
}

// oneTarget is the target that a variable argument gives.
func oneTarget(at []Target) Target {
	if len(at) == 0 {
		return Target{}
	}
	return at[0]
}

// DeleteTopic deletes a topic with its messages from the brokers of a target, the
// only cluster unless one is given, and its route from the name servers. From one broker
// (Target.Broker) it deletes the topic only: name servers forget the topic of a whole
// cluster, so that clients go on trying that broker, in vain. CreateTopic there with a
// Perm of Read keeps producers away before.
func (c *Client) DeleteTopic(ctx context.Context, topic string, at ...Target) error {
	if err := message.CheckTopic(topic); err != nil {
		return err
	}
	op, t := "delete topic "+topic, oneTarget(at)
	bs, err := c.Masters(ctx, t)
	if err != nil {
		return err
	}
	for _, b := range bs {
		if _, err := c.ask(ctx, b.server(), op, protocol.DeleteTopicInBroker, &protocol.TopicRequest{Topic: topic}); err != nil {
			return err
		}
	}
	if t.Broker != "" {
		return nil // others may have it
	}
	addrs, err := c.names(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	var errs []error
	for _, addr := range addrs { // each has a table of its own
		_, err := c.ask(ctx, server{addr: addr}, op, protocol.DeleteTopicInNameServer, pairs{"topic", topic, "clusterName", bs[0].Cluster})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Topics returns the names of all topics, sorted: RocketMQ's own and those of
// groups (%RETRY%, %DLQ%) too.
func (c *Client) Topics(ctx context.Context) ([]string, error) {
	const op = "list the topics"
	resp, s, err := c.askNames(ctx, op, protocol.GetTopicList, nil)
	if err != nil {
		return nil, err
	}
	var list protocol.TopicList
	if err := protocol.DecodeBody(resp.Body, &list); err != nil {
		return nil, unreadable(op, s, err)
	}
	slices.Sort(list.Topics)
	return list.Topics, nil
}

// TopicBroker is a broker that has a topic.
type TopicBroker struct {
	Cluster                 string
	Name                    string
	Addrs                   map[int64]string // by broker id; 0 is the master
	ReadQueues, WriteQueues int
	Perm                    Perm
}

// Master is the broker that takes messages and changes; its Addr is "" when it is gone.
func (b TopicBroker) Master() Broker {
	return Broker{Cluster: b.Cluster, Name: b.Name, Addr: b.Addrs[protocol.MasterID]}
}

// Route returns the brokers that have a topic, sorted by name. The error for a topic
// that does not exist is a *message.RouteError with message.ErrNoRoute.
func (c *Client) Route(ctx context.Context, topic string) ([]TopicBroker, error) {
	op := "look up the route of topic " + topic
	h := protocol.RouteRequest{Topic: topic, AcceptStandardJSONOnly: protocol.SomeBool(true)}
	resp, s, err := c.askNames(ctx, op, protocol.GetRouteInfo, &h)
	if answer.IsCode(err, protocol.TopicNotExist) {
		addrs, _ := c.names(ctx) // one of them has just answered
		return nil, &message.RouteError{Topic: topic, NameServers: addrs, Err: message.ErrNoRoute}
	}
	if err != nil {
		return nil, err
	}
	route, err := protocol.DecodeTopicRoute(resp.Body)
	if err != nil {
		return nil, unreadable(op, s, err)
	}
	queues := make(map[string]protocol.QueueData)
	for _, q := range route.QueueDatas {
		queues[q.BrokerName] = q
	}
	var bs []TopicBroker
	for _, b := range route.BrokerDatas {
		q := queues[b.BrokerName]
		bs = append(bs, TopicBroker{
			Cluster: b.Cluster, Name: b.BrokerName, Addrs: b.BrokerAddrs,
			ReadQueues: int(q.ReadQueueNums), WriteQueues: int(q.WriteQueueNums), Perm: Perm(q.Perm),
		})
	}
	slices.SortFunc(bs, func(a, b TopicBroker) int { return cmp.Compare(a.Name, b.Name) })
	return bs, nil
}

// routeMasters are the brokers of a topic to ask about it.
func (c *Client) routeMasters(ctx context.Context, topic string) ([]Broker, error) {
	route, err := c.Route(ctx, topic)
	if err != nil {
		return nil, err
	}
	var bs []Broker
	for _, b := range route {
		if m := b.Master(); m.Addr != "" {
			bs = append(bs, m)
		}
	}
	if len(bs) == 0 {
		return nil, fmt.Errorf("%w: no broker of topic %s has a master", message.ErrUnreachable, topic)
	}
	return bs, nil
}

// master is the broker of a topic with a name.
func (c *Client) master(ctx context.Context, topic, name string) (Broker, error) {
	bs, err := c.routeMasters(ctx, topic)
	if err != nil {
		return Broker{}, err
	}
	for _, b := range bs {
		if b.Name == name {
			return b, nil
		}
	}
	return Broker{}, fmt.Errorf("%w: broker %s is not in the route of topic %s, or has no master", message.ErrUnreachable, name, topic)
}

// QueueState is what a queue holds.
type QueueState struct {
	Queue message.Queue
	// Min is the offset of the first message that is stored, Max that of the next.
	Min, Max int64
	// LastStored is when the last message was stored, zero when there is none.
	LastStored time.Time
}

// TopicState is where a topic is and what it holds.
type TopicState struct {
	Topic   string
	Brokers []TopicBroker
	Queues  []QueueState // sorted
	PutTPS  float64      // messages a second; 0 from brokers of 4.9
}

// Messages is how many messages the queues hold.
func (t TopicState) Messages() int64 {
	var n int64
	for _, q := range t.Queues {
		n += q.Max - q.Min
	}
	return n
}

// DescribeTopic returns the route of a topic and what its queues hold, from all its
// brokers.
func (c *Client) DescribeTopic(ctx context.Context, topic string) (TopicState, error) {
	route, err := c.Route(ctx, topic)
	if err != nil {
		return TopicState{}, err
	}
	state := TopicState{Topic: topic, Brokers: route}
	for _, tb := range route {
		if tb.Master().Addr == "" {
			continue
		}
		queues, tps, err := c.queueStates(ctx, tb, topic)
		if err != nil {
			return TopicState{}, err
		}
		state.Queues = append(state.Queues, queues...)
		state.PutTPS += tps
	}
	slices.SortFunc(state.Queues, func(a, b QueueState) int { return compareQueues(a.Queue, b.Queue) })
	return state, nil
}

// queueStates are a broker's queues of a topic, in no order.
func (c *Client) queueStates(ctx context.Context, tb TopicBroker, topic string) ([]QueueState, float64, error) {
	op, b := "ask for the state of topic "+topic, tb.Master()
	resp, err := c.ask(ctx, b.server(), op, protocol.GetTopicStats, &protocol.TopicRequest{Topic: topic})
	if err != nil {
		return nil, 0, err
	}
	stats, err := protocol.DecodeTopicStats(resp.Body)
	if err != nil {
		return nil, 0, unreadable(op, b.server(), err)
	}
	var all []QueueState
	for q, o := range stats.Offsets {
		s := QueueState{Queue: queueOf(q), Min: o.MinOffset, Max: o.MaxOffset}
		if o.LastUpdateTimestamp > 0 {
			s.LastStored = time.UnixMilli(o.LastUpdateTimestamp)
		}
		all = append(all, s)
	}
	for id := range tb.ReadQueues { // brokers of 4.9 leave out those that are only read
		q := protocol.MessageQueue{Topic: topic, BrokerName: b.Name, QueueID: int32(id)}
		if _, ok := stats.Offsets[q]; ok {
			continue
		}
		s := QueueState{Queue: queueOf(q)}
		if s.Min, err = c.edge(ctx, b, s.Queue, protocol.GetMinOffset, 0); err == nil {
			s.Max, err = c.edge(ctx, b, s.Queue, protocol.GetMaxOffset, 0)
		}
		if err != nil {
			return nil, 0, err
		}
		all = append(all, s)
	}
	return all, stats.PutTPS, nil
}

// edge asks for an offset of a queue: its first, its end, or that at a time.
func (c *Client) edge(ctx context.Context, b Broker, q message.Queue, code protocol.Code, ms int64) (int64, error) {
	op := fmt.Sprintf("look for an offset in queue %d of topic %s", q.ID, q.Topic)
	return c.askOffset(ctx, b.server(), op, code, &protocol.OffsetRequest{Code: code, Topic: q.Topic, QueueID: int32(q.ID), Timestamp: ms})
}

func queueOf(q protocol.MessageQueue) message.Queue {
	return message.Queue{Topic: q.Topic, Broker: q.BrokerName, ID: int(q.QueueID)}
}

func compareQueues(a, b message.Queue) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Broker, b.Broker), cmp.Compare(a.ID, b.ID))
}
