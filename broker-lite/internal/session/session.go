package session

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/broker-lite/internal/sqlfilter"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// DefaultExpiry is how long a client may be silent (channelExpiredTimeout).
const DefaultExpiry = 120 * time.Second

// scanGap keeps scans for expired clients apart.
const scanGap = time.Second

// Options configure a Manager.
type Options struct {
	Logger *slog.Logger  // nil discards
	Expiry time.Duration // 0: DefaultExpiry
	// OnExpire takes the changes that come of clients being silent for too long.
	// It is called on the manager's goroutine, without a lock.
	OnExpire func([]Change)
}

// Client is one member of a group.
type Client struct {
	Conn     *remoting.Conn
	ID       string // clientID, such as "10.0.0.1@4711"
	Language protocol.Language
	Version  int32 // MQVersion ordinal
	Seen     time.Time
}

// Change is a consumer group whose members or subscribed topics have changed.
type Change struct {
	Group string
	// Notify are the members' connections, in no order. Empty when the group is
	// gone or broadcasts, in which case there is nothing to rebalance.
	Notify []*remoting.Conn
}

// Manager owns the tables of members.
type Manager struct {
	logger   *slog.Logger
	expiry   time.Duration
	onExpire func([]Change)
	alarm    *alarm.Alarm

	mu        sync.RWMutex // guards the following and what they hold
	consumers map[string]*consumerGroup
	producers map[string]*producerGroup
	conns     map[*remoting.Conn]*groups
	byID      map[string]*remoting.Conn // of a client that produces: the one that spoke last
	held      int                       // of all consumer groups together
	notes     []note                    // of the change that is under way
}

// groups are what one connection is a member of.
type groups struct {
	consumer, producer map[string]int // and about how many bytes its last heartbeat has brought
	id                 string         // in Manager.byID, unless producer is empty
}

// New makes a manager. It must be closed.
func New(o Options) *Manager {
	m := &Manager{
		logger: o.Logger, expiry: o.Expiry, onExpire: o.OnExpire,
		consumers: map[string]*consumerGroup{}, producers: map[string]*producerGroup{}, conns: map[*remoting.Conn]*groups{},
		byID: map[string]*remoting.Conn{},
	}
	if m.logger == nil {
		m.logger = slog.New(slog.DiscardHandler)
	}
	if m.expiry <= 0 {
		m.expiry = DefaultExpiry
	}
	if m.onExpire == nil {
		m.onExpire = func([]Change) {}
	}
	m.alarm = alarm.Start(scanGap, m.expire)
	return m
}

// Close stops the scan for expired clients.
func (m *Manager) Close() { m.alarm.Stop() }

// Heartbeat enters what a client says about itself (code 34). language and
// version are those of the request's frame. Consumers of groups that the broker
// refuses must have been taken out of hb; hb must not be changed afterwards.
// subChanged is the response's IS_SUB_CHANGE. The error is a *Refusal: the
// connection, or all groups together, would hold more than they may.
func (m *Manager) Heartbeat(c *remoting.Conn, hb *protocol.HeartbeatData, language protocol.Language, version int32) (changes []Change, subChanged bool, err error) {
	if err := m.admit(c, hb); err != nil {
		return nil, false, err
	}
	filters := m.compile(hb)
	now := time.Now()
	who := Client{Conn: c, ID: hb.ClientID, Language: language, Version: version, Seen: now}
	subChanged = hb.Fingerprint == 0
	m.mu.Lock()
	select {
	case <-c.Closed(): // ConnClosed has been here, or will be and find nothing
		m.unlock()
		return nil, subChanged, nil
	default:
	}
	if err := m.room(hb); err != nil {
		m.unlock()
		return nil, false, err
	}
	for i := range hb.Consumers {
		change, stale := m.enterConsumer(&hb.Consumers[i], hb, who, filters)
		if change != nil {
			changes = append(changes, *change)
		}
		subChanged = subChanged || stale
	}
	for _, p := range hb.Producers {
		m.enterProducer(p.GroupName, who)
	}
	m.unlock()
	m.alarm.Set(now.Add(m.expiry))
	return changes, subChanged, nil
}

// enterConsumer enters one consumer group of a client. stale: the client must
// send its subscriptions again. mu is held.
func (m *Manager) enterConsumer(data *protocol.ConsumerData, hb *protocol.HeartbeatData, who Client, filters map[*protocol.SubscriptionData]*sqlfilter.Expr) (change *Change, stale bool) {
	g := m.consumers[data.GroupName]
	if g == nil {
		g = newConsumerGroup()
		m.consumers[data.GroupName] = g
	}
	stale = hb.Fingerprint != 0 && g.heard && g.fingerprint != hb.Fingerprint
	g.fingerprint, g.heard = hb.Fingerprint, true
	g.consumeType, g.model, g.from = data.ConsumeType, data.MessageModel, data.ConsumeFromWhere
	joined := m.enterMember(data.GroupName, g.members, who)
	of := m.groupsOf(who.Conn)
	resubscribed := false
	if hb.Fingerprint != 0 && hb.WithoutSub {
		stale = stale || len(g.subscriptions) == 0
		of.consumer[data.GroupName] = max(of.consumer[data.GroupName], size(data, who.ID))
	} else {
		m.held -= g.held
		resubscribed = g.subscribe(data.Subscriptions, filters)
		m.held += g.held
		of.consumer[data.GroupName] = size(data, who.ID)
	}
	if !joined && !resubscribed {
		return nil, stale
	}
	m.note(slog.LevelInfo, "consumer group changed", "group", data.GroupName, "client", who.ID, "joined", joined, "members", len(g.members), "topics", slices.Sorted(maps.Keys(g.subscriptions)))
	c := g.change(data.GroupName)
	return &c, stale
}

func (m *Manager) enterProducer(group string, who Client) {
	g := m.producers[group]
	if g == nil {
		g = &producerGroup{members: map[*remoting.Conn]*Client{}}
		m.producers[group] = g
	}
	if m.enterMember(group, g.members, who) {
		g.order = append(g.order, who.Conn)
		m.note(slog.LevelInfo, "producer joined", "group", group, "client", who.ID, "members", len(g.members))
	}
	of := m.groupsOf(who.Conn)
	of.producer[group] = producerSize(group, who.ID)
	if of.id != who.ID {
		m.forgetID(who.Conn, of.id)
		of.id = who.ID
	}
	m.byID[who.ID] = who.Conn
}

// enterMember enters or refreshes a member and reports whether it is new.
func (m *Manager) enterMember(group string, members map[*remoting.Conn]*Client, who Client) bool {
	before, known := members[who.Conn]
	if known && before.ID != who.ID {
		m.note(slog.LevelWarn, "one connection is used by two clients of a group", "group", group, "client", who.ID, "before", before.ID)
	}
	members[who.Conn] = &who
	return !known
}

func (m *Manager) groupsOf(c *remoting.Conn) *groups {
	g := m.conns[c]
	if g == nil {
		g = &groups{consumer: map[string]int{}, producer: map[string]int{}}
		m.conns[c] = g
	}
	return g
}

// Unregister takes a client out of its groups (code 35); either may be "".
func (m *Manager) Unregister(c *remoting.Conn, producerGroup, consumerGroup string) []Change {
	m.mu.Lock()
	defer m.unlock()
	var changes []Change
	if m.leaveConsumer(c, consumerGroup, "unregistered") {
		changes = m.changesOf([]string{consumerGroup})
	}
	m.leaveProducer(c, producerGroup, "unregistered")
	return changes
}

// ConnClosed takes the client of a connection out of all its groups. It is
// called once for each connection that closes.
func (m *Manager) ConnClosed(c *remoting.Conn) []Change {
	m.mu.Lock()
	defer m.unlock()
	of := m.conns[c]
	if of == nil {
		return nil
	}
	consumer, producer := slices.Sorted(maps.Keys(of.consumer)), slices.Collect(maps.Keys(of.producer))
	for _, group := range consumer {
		m.leaveConsumer(c, group, "connection closed")
	}
	for _, group := range producer {
		m.leaveProducer(c, group, "connection closed")
	}
	return m.changesOf(consumer)
}

// leaveConsumer takes a connection out of a group and reports whether it was a
// member. mu is held.
func (m *Manager) leaveConsumer(c *remoting.Conn, group, why string) bool {
	g := m.consumers[group]
	if g == nil || g.members[c] == nil {
		return false
	}
	m.note(slog.LevelInfo, "consumer left", "group", group, "client", g.members[c].ID, "why", why, "members", len(g.members)-1)
	delete(g.members, c)
	if len(g.members) == 0 {
		delete(m.consumers, group)
		m.held -= g.held
	}
	delete(m.conns[c].consumer, group)
	m.forget(c)
	return true
}

func (m *Manager) leaveProducer(c *remoting.Conn, group, why string) bool {
	g := m.producers[group]
	if g == nil || g.members[c] == nil {
		return false
	}
	m.note(slog.LevelInfo, "producer left", "group", group, "client", g.members[c].ID, "why", why, "members", len(g.members)-1)
	delete(g.members, c)
	g.order = slices.DeleteFunc(g.order, func(o *remoting.Conn) bool { return o == c })
	if len(g.members) == 0 {
		delete(m.producers, group)
	}
	delete(m.conns[c].producer, group)
	if of := m.conns[c]; len(of.producer) == 0 {
		m.forgetID(c, of.id)
	}
	m.forget(c)
	return true
}

// forgetID drops a producer's id, unless it has another connection by now. mu is
// held.
func (m *Manager) forgetID(c *remoting.Conn, id string) {
	if m.byID[id] == c {
		delete(m.byID, id)
	}
}

// forget drops a connection that is no member of anything. mu is held.
func (m *Manager) forget(c *remoting.Conn) {
	if of := m.conns[c]; of != nil && len(of.consumer)+len(of.producer) == 0 {
		delete(m.conns, c)
	}
}

// changesOf describes groups after they have changed. mu is held.
func (m *Manager) changesOf(names []string) []Change {
	var changes []Change
	for _, name := range names {
		if g := m.consumers[name]; g != nil {
			changes = append(changes, g.change(name))
		} else {
			changes = append(changes, Change{Group: name})
		}
	}
	return changes
}

// expire takes out the members that have been silent for too long and returns
// when the next may be.
func (m *Manager) expire(now time.Time) time.Time {
	changes, idle, next := m.takeExpired(now)
	for _, c := range idle {
		if err := c.Close(); err != nil {
			m.logger.Debug("closing a silent client's connection", "peer", c.RemoteAddr().String(), "err", err)
		}
	}
	if len(changes) > 0 {
		m.onExpire(changes)
	}
	return next
}

// takeExpired also returns the connections that belong to nobody any more.
func (m *Manager) takeExpired(now time.Time) (changes []Change, idle []*remoting.Conn, next time.Time) {
	m.mu.Lock()
	defer m.unlock()
	expired := func(members map[*remoting.Conn]*Client) (gone []*remoting.Conn) {
		for c, who := range members {
			if at := who.Seen.Add(m.expiry); !now.Before(at) {
				gone = append(gone, c)
			} else if next.IsZero() || at.Before(next) {
				next = at
			}
		}
		return gone
	}
	var left []*remoting.Conn
	var changed []string
	for _, group := range slices.Sorted(maps.Keys(m.consumers)) {
		gone := expired(m.consumers[group].members)
		for _, c := range gone {
			m.leaveConsumer(c, group, "silent for too long")
		}
		if len(gone) > 0 {
			changed = append(changed, group)
			left = append(left, gone...)
		}
	}
	for _, group := range slices.Sorted(maps.Keys(m.producers)) {
		gone := expired(m.producers[group].members)
		for _, c := range gone {
			m.leaveProducer(c, group, "silent for too long")
		}
		left = append(left, gone...)
	}
	for _, c := range left {
		if m.conns[c] == nil && !slices.Contains(idle, c) {
			idle = append(idle, c)
		}
	}
	return m.changesOf(changed), idle, next
}
