package session

import (
	"fmt"
	"maps"
	"slices"

	"github.com/rocketkit/rocketkit/broker-lite/internal/sqlfilter"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// consumerGroup is guarded by Manager.mu. As on Apache the last heartbeat of
// any member speaks for the group.
type consumerGroup struct {
	members       map[*remoting.Conn]*Client
	subscriptions map[string]*subscription // by topic
	consumeType   string
	model         string
	from          string
	fingerprint   int32 // of the last heartbeat, 0 when it had none
	heard         bool  // there was a last heartbeat
	held          int   // about how many bytes subscriptions are
}

func newConsumerGroup() *consumerGroup {
	return &consumerGroup{members: map[*remoting.Conn]*Client{}, subscriptions: map[string]*subscription{}}
}

// subscribe takes a heartbeat's subscriptions: topics that are not named are
// dropped, a later version replaces an earlier one. It reports whether topics
// have come or gone (ConsumerGroupInfo.updateSubscription).
func (g *consumerGroup) subscribe(subs []protocol.SubscriptionData, filters map[*protocol.SubscriptionData]*sqlfilter.Expr) bool {
	changed := false
	named := make(map[string]bool, len(subs))
	for i := range subs {
		s := &subs[i]
		named[s.Topic] = true
		before := g.subscriptions[s.Topic]
		changed = changed || before == nil
		if before == nil || s.SubVersion > before.data.SubVersion {
			g.drop(s.Topic)
			g.subscriptions[s.Topic] = &subscription{data: s, filter: filters[s], held: subscriptionSize(s)}
			g.held += g.subscriptions[s.Topic].held
		}
	}
	for topic := range g.subscriptions {
		if !named[topic] {
			g.drop(topic)
			changed = true
		}
	}
	return changed
}

func (g *consumerGroup) drop(topic string) {
	if s := g.subscriptions[topic]; s != nil {
		delete(g.subscriptions, topic)
		g.held -= s.held
	}
}

func (g *consumerGroup) change(name string) Change {
	c := Change{Group: name}
	if g.model != protocol.Broadcasting {
		c.Notify = slices.Collect(maps.Keys(g.members))
	}
	return c
}

// producerGroup is guarded by Manager.mu.
type producerGroup struct {
	members map[*remoting.Conn]*Client
	order   []*remoting.Conn // as they came
	next    int              // in order, for the next ProducerConn
}

// Subscription is what a consumer group wants of a topic, and how it consumes.
// Data must not be changed.
type Subscription struct {
	Data        *protocol.SubscriptionData
	Filter      *sqlfilter.Expr // of a subscription that is not by tags
	ConsumeType string
	Model       string
}

// Refusal is a response that a request gets instead of what it asked for.
type Refusal struct {
	Code   protocol.Code
	Remark string
}

func (e *Refusal) Error() string { return protocol.ResponseName(e.Code) + ": " + e.Remark }

const faq = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."

// Subscription finds the subscription for a pull without one of its own;
// version is the pull's subVersion. The error is a *Refusal:
// SUBSCRIPTION_NOT_EXIST when no heartbeat has named the group or the topic,
// SUBSCRIPTION_NOT_LATEST when the client has a later one, which its next
// heartbeat will bring.
func (m *Manager) Subscription(group, topic string, version int64) (Subscription, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	g := m.consumers[group]
	if g == nil {
		return Subscription{}, &Refusal{protocol.SubscriptionNotExist, "the consumer's group info not exist" + faq}
	}
	s := g.subscriptions[topic]
	switch {
	case s == nil:
		return Subscription{}, &Refusal{protocol.SubscriptionNotExist, "the consumer's subscription not exist" + faq}
	case s.data.SubVersion < version:
		return Subscription{}, &Refusal{protocol.SubscriptionNotLatest, "the consumer's subscription not latest"}
	}
	return Subscription{Data: s.data, Filter: s.filter, ConsumeType: g.consumeType, Model: g.model}, nil
}

// ConsumerIDs returns the client ids of a group's members, sorted, each once.
// Without any the error is the *Refusal for code 38.
func (m *Manager) ConsumerIDs(group string) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var ids []string
	if g := m.consumers[group]; g != nil {
		for _, who := range g.members {
			ids = append(ids, who.ID)
		}
	}
	if len(ids) == 0 {
		return nil, &Refusal{protocol.SystemError, fmt.Sprintf("no consumer for this group, %s", group)}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// Group describes a consumer group that has members.
type Group struct {
	Members       []Client                    // by id
	Subscriptions []protocol.SubscriptionData // by topic
	ConsumeType   string
	Model         string
	FromWhere     string
}

// Group returns a consumer group as it is now; ok is false when it has no
// members.
func (m *Manager) Group(name string) (info Group, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	g := m.consumers[name]
	if g == nil {
		return Group{}, false
	}
	info = Group{Members: sortedClients(g.members), ConsumeType: g.consumeType, Model: g.model, FromWhere: g.from}
	for _, topic := range slices.Sorted(maps.Keys(g.subscriptions)) {
		info.Subscriptions = append(info.Subscriptions, *g.subscriptions[topic].data)
	}
	return info, true
}

// Member finds a consumer by its id, the connection that spoke last when it has
// several.
func (m *Manager) Member(group, clientID string) (found Client, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	g := m.consumers[group]
	if g == nil {
		return Client{}, false
	}
	for _, who := range g.members {
		if who.ID == clientID && (!ok || who.Seen.After(found.Seen)) {
			found, ok = *who, true
		}
	}
	return found, ok
}

// Subscribers returns the consumer groups with members that subscribe to a topic,
// sorted.
func (m *Manager) Subscribers(topic string) []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var groups []string
	for name, g := range m.consumers {
		if g.subscriptions[topic] != nil {
			groups = append(groups, name)
		}
	}
	slices.Sort(groups)
	return groups
}

// AllProducers returns the members of every producer group, by group.
func (m *Manager) AllProducers() map[string][]Client {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make(map[string][]Client, len(m.producers))
	for name, g := range m.producers {
		all[name] = sortedClients(g.members)
	}
	return all
}

// Producers returns the members of a producer group, by id.
func (m *Manager) Producers(group string) []Client {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if g := m.producers[group]; g != nil {
		return sortedClients(g.members)
	}
	return nil
}

func sortedClients(members map[*remoting.Conn]*Client) []Client {
	var list []Client
	for _, who := range members {
		list = append(list, *who)
	}
	slices.SortFunc(list, func(a, b Client) int {
		if a.ID != b.ID {
			if a.ID < b.ID {
				return -1
			}
			return 1
		}
		return int(int64(a.Conn.ID()) - int64(b.Conn.ID()))
	})
	return list
}

// ProducerConn picks a connection of a producer group for a transaction check,
// the next one each time, closed ones left out.
func (m *Manager) ProducerConn(group string) (*remoting.Conn, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.producers[group]
	if g == nil {
		return nil, false
	}
	for range g.order {
		c := g.order[g.next%len(g.order)]
		g.next++
		select {
		case <-c.Closed():
		default:
			return c, true
		}
	}
	return nil, false
}

// ProducerByID finds the connection of a client that produces, by its id.
func (m *Manager) ProducerByID(id string) (*remoting.Conn, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c, ok := m.byID[id]
	return c, ok
}
