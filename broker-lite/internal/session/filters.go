package session

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/rocketkit/rocketkit/broker-lite/internal/sqlfilter"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// subscription is what a group wants of a topic. It never changes.
type subscription struct {
	data   *protocol.SubscriptionData
	filter *sqlfilter.Expr // nil for tags, and for an expression that is wrong
	held   int             // its subscriptionSize
}

// errExpressionType is why a subscription that is neither by tags nor SQL92 matches
// nothing.
var errExpressionType = errors.New("the expression's type is neither TAG nor SQL92")

// Compile compiles the expression of a subscription that is not by tags.
func Compile(s *protocol.SubscriptionData) (*sqlfilter.Expr, error) {
	if s.ExpressionType != protocol.ExpressionSQL92 {
		return nil, errExpressionType
	}
	return sqlfilter.Compile(s.SubString)
}

// compile compiles the expressions of a heartbeat that are new to their groups, so
// that no lock is held meanwhile. What it cannot compile is not in the map; the group
// is told with its next pull (FILTER_DATA_NOT_EXIST).
func (m *Manager) compile(hb *protocol.HeartbeatData) map[*protocol.SubscriptionData]*sqlfilter.Expr {
	var compiled map[*protocol.SubscriptionData]*sqlfilter.Expr
	for i := range hb.Consumers {
		c := &hb.Consumers[i]
		for k := range c.Subscriptions {
			s := &c.Subscriptions[k]
			if s.TagType() {
				continue
			}
			var filter *sqlfilter.Expr
			before := m.known(c.GroupName, s.Topic)
			switch {
			case before == nil:
			case s.SubVersion <= before.data.SubVersion:
				continue
			case before.data.SubString == s.SubString && before.data.ExpressionType == s.ExpressionType:
				filter = before.filter
			}
			if filter == nil {
				filter = m.compileOne(c.GroupName, s)
			}
			if compiled == nil {
				compiled = map[*protocol.SubscriptionData]*sqlfilter.Expr{}
			}
			compiled[s] = filter
		}
	}
	return compiled
}

func (m *Manager) compileOne(group string, s *protocol.SubscriptionData) *sqlfilter.Expr {
	filter, err := Compile(s)
	switch {
	case err != nil:
		m.logger.Warn("a subscription's expression is wrong, so the group gets nothing of the topic",
			"group", group, "topic", s.Topic, "type", s.ExpressionType, "err", err)
	case filter.Ignored() != "":
		m.logger.Warn("a part of a subscription's expression is never read", "group", group, "topic", s.Topic,
			"expression", filter.String(), "ignored", filter.Ignored())
	}
	return filter
}

// known is a group's subscription to a topic, nil when it has none.
func (m *Manager) known(group, topic string) *subscription {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if g := m.consumers[group]; g != nil {
		return g.subscriptions[topic]
	}
	return nil
}

// maxHeld bounds what one connection's heartbeats may make the broker keep, in
// bytes: some 10,000 groups and topics, or 16 expressions of the longest.
const maxHeld = 16 << 20

// maxHeldByGroups bounds the subscriptions of all groups together, in bytes. They stay
// with their group when the client that brought them leaves and another is a member.
const maxHeldByGroups = 256 << 20

// What entries hold, in bytes, about. A compiled expression holds up to 16 times its
// text.
const (
	heldByGroup        = 512
	heldBySubscription = 512
	heldByTag          = 64
	heldByExpression   = 16
)

// producerSize is about what a member of a producer group holds, in bytes.
func producerSize(group, id string) int { return heldByGroup + len(group) + len(id) }

// size is about what a member of a group and its subscriptions hold, in bytes.
func size(c *protocol.ConsumerData, id string) int {
	n := heldByGroup + len(c.GroupName) + len(c.ConsumeType) + len(c.MessageModel) + len(c.ConsumeFromWhere) + len(id)
	for i := range c.Subscriptions {
		n += subscriptionSize(&c.Subscriptions[i])
	}
	return n
}

func subscriptionSize(s *protocol.SubscriptionData) int {
	n := heldBySubscription + len(s.Topic) + len(s.SubString) + len(s.ExpressionType) + heldByTag*(len(s.CodeSet)+len(s.TagsSet))
	for _, tag := range s.TagsSet {
		n += len(tag)
	}
	if !s.TagType() {
		n += heldByExpression * len(s.SubString)
	}
	return n
}

// admit refuses a heartbeat of a connection that would hold too much.
func (m *Manager) admit(c *remoting.Conn, hb *protocol.HeartbeatData) error {
	held := m.wouldHold(c, hb)
	if held <= maxHeld {
		return nil
	}
	m.logger.Warn("a heartbeat is refused: its connection has too many groups and subscriptions", "client", hb.ClientID, "bytes", held, "limit", maxHeld)
	return &Refusal{protocol.SystemError, fmt.Sprintf("the groups and subscriptions of client %.100s take about %d bytes, more than the %d that one connection may; use several clients",
		hb.ClientID, held, maxHeld)}
}

// wouldHold is about what a connection's groups and subscriptions hold after a
// heartbeat, in bytes.
func (m *Manager) wouldHold(c *remoting.Conn, hb *protocol.HeartbeatData) (held int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	of := m.conns[c]
	if of == nil {
		of = &groups{}
	}
	for _, table := range []map[string]int{of.producer, of.consumer} {
		for _, n := range table {
			held += n
		}
	}
	for _, p := range hb.Producers {
		held += producerSize(p.GroupName, hb.ClientID) - of.producer[p.GroupName]
	}
	for i := range hb.Consumers {
		held += size(&hb.Consumers[i], hb.ClientID) - of.consumer[hb.Consumers[i].GroupName]
	}
	return held
}

// room refuses a heartbeat when all groups together would hold too much. One that
// brings nothing larger is taken. mu is held.
func (m *Manager) room(hb *protocol.HeartbeatData) error {
	grown := 0
	for i := range hb.Consumers {
		grown += m.growth(hb, &hb.Consumers[i])
	}
	held := m.held + grown
	if grown == 0 || held <= maxHeldByGroups {
		return nil
	}
	m.note(slog.LevelWarn, "a heartbeat is refused: the subscriptions of all groups are too large", "client", hb.ClientID, "bytes", held, "limit", maxHeldByGroups)
	return &Refusal{protocol.SystemError, fmt.Sprintf("with what client %.100s brings, the subscriptions of all groups take about %d bytes, more than the %d that they may; use fewer or shorter ones",
		hb.ClientID, held, maxHeldByGroups)}
}

// growth is about how many bytes a group's subscriptions grow by. mu is held.
func (m *Manager) growth(hb *protocol.HeartbeatData, c *protocol.ConsumerData) int {
	if hb.Fingerprint != 0 && hb.WithoutSub {
		return 0
	}
	g := m.consumers[c.GroupName]
	if g == nil {
		g = &consumerGroup{}
	}
	n := -g.held
	for i := range c.Subscriptions {
		s := &c.Subscriptions[i]
		if before := g.subscriptions[s.Topic]; before != nil && s.SubVersion <= before.data.SubVersion {
			n += before.held
		} else {
			n += subscriptionSize(s)
		}
	}
	return max(n, 0)
}
