package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// Group is how a consumer group is set up on a broker. DefaultGroup has Apache's
// values; the zero value of Consume lets nobody consume.
type Group struct {
	Name    string
	Consume bool // its members may consume
	// Broadcast: they may do so in broadcasting.
	Broadcast bool
	// Ordered is 5.x's mark of groups that consume in order.
	Ordered bool
	// MaxRetries is after how many retries a message is dead.
	MaxRetries int
	// RetryQueues is how many queues the group's retry topic has.
	RetryQueues int

	raw map[string]json.RawMessage // as the broker has it, with what this package does not know
}

// DefaultGroup is a group as brokers make it by themselves.
func DefaultGroup(name string) Group {
	return Group{Name: name, Consume: true, Broadcast: true, MaxRetries: 16, RetryQueues: 1}
}

// groupFields are what this package knows of SubscriptionGroupConfig.
type groupFields struct {
	Name        string `json:"groupName"`
	Consume     bool   `json:"consumeEnable"`
	Broadcast   bool   `json:"consumeBroadcastEnable"`
	Ordered     bool   `json:"consumeMessageOrderly"`
	MaxRetries  int    `json:"retryMaxTimes"`
	RetryQueues int    `json:"retryQueueNums"`
}

// newGroup are a new group's other fields.
const newGroup = `{"brokerId":0,"consumeFromMinEnable":true,"consumeTimeoutMinute":15,"notifyConsumerIdsChangedEnable":true,"whichBrokerWhenConsumeSlowly":1}`

// UnmarshalJSON reads a broker's SubscriptionGroupConfig.
func (g *Group) UnmarshalJSON(data []byte) error {
	d := DefaultGroup("") // for what 4.9 leaves out
	f := groupFields{Consume: d.Consume, Broadcast: d.Broadcast, MaxRetries: d.MaxRetries, RetryQueues: d.RetryQueues}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	*g = Group{Name: f.Name, Consume: f.Consume, Broadcast: f.Broadcast, Ordered: f.Ordered, MaxRetries: f.MaxRetries, RetryQueues: f.RetryQueues, raw: raw}
	return nil
}

// MarshalJSON writes a SubscriptionGroupConfig; what the broker had besides stays.
func (g Group) MarshalJSON() ([]byte, error) {
	all := maps.Clone(g.raw)
	if all == nil {
		if err := json.Unmarshal([]byte(newGroup), &all); err != nil {
			return nil, err
		}
	}
	known, err := json.Marshal(groupFields{g.Name, g.Consume, g.Broadcast, g.Ordered, g.MaxRetries, g.RetryQueues})
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(known, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// CreateGroup makes a group at a target, the only cluster unless one is given, or
// changes it. To change some of an existing one, start from what Groups returns.
func (c *Client) CreateGroup(ctx context.Context, g Group, at ...Target) error {
	if err := message.CheckGroup(g.Name); err != nil {
		return err
	}
	if g.MaxRetries < 0 || g.RetryQueues < 1 {
		return fmt.Errorf("group %s: %d retries, %d retry queues: want 0 or more, and 1 or more; start from DefaultGroup", g.Name, g.MaxRetries, g.RetryQueues)
	}
	body, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("create group %s: %w", g.Name, err)
	}
	return c.each(ctx, oneTarget(at), func(b Broker) error {
		_, err := c.ask(ctx, b.server(), "create group "+g.Name, protocol.UpdateGroup, nil, body)
		return err
	})
}

// DeleteGroup deletes a group with its offsets from the brokers of a target, the
// only cluster unless one is given. Its retry topic and dead letters stay: see
// DeleteTopic. A member that is still running has it made again, where brokers make
// groups.
func (c *Client) DeleteGroup(ctx context.Context, group string, at ...Target) error {
	if err := message.CheckGroup(group); err != nil {
		return err
	}
	return c.each(ctx, oneTarget(at), func(b Broker) error {
		_, err := c.ask(ctx, b.server(), "delete group "+group, protocol.DeleteGroup, pairs{"groupName", group, "cleanOffset", "true"})
		return err
	})
}

// Groups returns the groups of a target, the only cluster unless one is given,
// sorted by name. Where brokers differ about one, it is as the first has it.
func (c *Client) Groups(ctx context.Context, at ...Target) ([]Group, error) {
	all := map[string]Group{}
	err := c.each(ctx, oneTarget(at), func(b Broker) error {
		var table struct {
			Groups map[string]Group `json:"subscriptionGroupTable"`
		}
		if err := c.askBody(ctx, b.server(), "list the groups", protocol.GetAllGroups, nil, &table); err != nil {
			return err
		}
		for name, g := range table.Groups {
			if _, ok := all[name]; !ok {
				all[name] = g
			}
		}
		return nil
	})
	return slices.SortedFunc(maps.Values(all), func(a, b Group) int { return cmp.Compare(a.Name, b.Name) }), err
}

// Connection is a client that a broker knows.
type Connection struct {
	ClientID string
	Addr     string // as the broker sees it
	Language string // JAVA, GO …
	Version  int32  // ordinal of RocketMQ's MQVersion
}

// Consumers are the members of a group.
type Consumers struct {
	Members []Connection // sorted by id
	// Type is CONSUME_PASSIVELY for push, CONSUME_ACTIVELY for pull, CONSUME_POP.
	Type string
	// Model is CLUSTERING or BROADCASTING.
	Model string
	// Subscriptions are expressions by topic.
	Subscriptions map[string]string
}

// Consumers returns who is in a consumer group now; none is no error.
func (c *Client) Consumers(ctx context.Context, group string, at ...Target) (Consumers, error) {
	found := Consumers{Subscriptions: map[string]string{}}
	members := map[string]Connection{}
	err := c.each(ctx, oneTarget(at), func(b Broker) error {
		var body protocol.ConsumerConnections
		err := c.askBody(ctx, b.server(), "ask for the members of group "+group, protocol.GetConsumerConnections, &protocol.ConsumerListRequest{ConsumerGroup: group}, &body)
		if answer.IsCode(err, protocol.ConsumerNotOnline) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, m := range body.Connections {
			members[m.ClientID] = Connection{m.ClientID, m.ClientAddr, m.Language, m.Version}
		}
		found.Type, found.Model = body.ConsumeType, body.MessageModel
		for topic, s := range body.Subscriptions {
			found.Subscriptions[topic] = s.SubString
		}
		return nil
	})
	found.Members = sortedConnections(members)
	return found, err
}

func sortedConnections(by map[string]Connection) []Connection {
	return slices.SortedFunc(maps.Values(by), func(a, b Connection) int { return cmp.Compare(a.ClientID, b.ClientID) })
}

// Producers returns the clients of a producer group that are connected now, sorted
// by id; none is no error.
func (c *Client) Producers(ctx context.Context, group string, at ...Target) ([]Connection, error) {
	found := map[string]Connection{}
	err := c.each(ctx, oneTarget(at), func(b Broker) error {
		var body protocol.ProducerConnections
		err := c.askBody(ctx, b.server(), "ask for the producers of group "+group, protocol.GetProducerConnections, &protocol.ProducerGroupRequest{ProducerGroup: group}, &body)
		if answer.IsCode(err, protocol.SystemError) { // "the producer group[…] not exist"
			return nil
		}
		if err != nil {
			return err
		}
		for _, m := range body.Connections {
			found[m.ClientID] = Connection{m.ClientID, m.ClientAddr, m.Language, m.Version}
		}
		return nil
	})
	return sortedConnections(found), err
}
