package namesrv

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// errNotRegistered answers a registration of a single topic, as 5.x brokers
// send when a topic changes, by a broker that is not in the table: its other
// topics would be missing. The broker's next full registration puts it right.
var errNotRegistered = errors.New("register broker failed")

// maxBrokers bounds the brokers that one connection may register: a container of
// 5.x has a few in one process.
const maxBrokers = 64

// broker is one broker name: a master and its slaves.
type broker struct {
	cluster      string
	addrs        map[int64]string // by broker id
	actingMaster bool             // 5.x: a slave may stand in for the master
	zone         string           // 5.x
}

// liveKey names one broker process.
type liveKey struct{ cluster, addr string }

// live is what is known of a broker process that has registered.
type live struct {
	name    string
	conn    *remoting.Conn
	seen    time.Time
	timeout time.Duration
	version protocol.DataVersion
	haAddr  string
}

func (l *live) deadline() time.Time { return l.seen.Add(l.timeout) }

// table is the routing table.
type table struct {
	mu       sync.Mutex // guards the following
	brokers  map[string]*broker
	topics   map[string]map[string]protocol.QueueData // by topic and broker name
	mappings map[string]map[string]json.RawMessage    // 5.x's static topics, likewise
	live     map[liveKey]*live
	conns    map[*remoting.Conn]map[liveKey]struct{} // what each connection registered
}

func newTable() *table {
	return &table{
		brokers:  map[string]*broker{},
		topics:   map[string]map[string]protocol.QueueData{},
		mappings: map[string]map[string]json.RawMessage{},
		live:     map[liveKey]*live{},
		conns:    map[*remoting.Conn]map[liveKey]struct{}{},
	}
}

// registration is one request 103.
type registration struct {
	protocol.RegisterBrokerRequest
	topics  protocol.TopicConfigTable
	conn    *remoting.Conn
	at      time.Time
	timeout time.Duration
}

// register enters a broker with its topics. news says whether it was unknown.
func (t *table) register(r *registration) (resp protocol.RegisterBrokerResponse, news bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := liveKey{r.ClusterName, r.BrokerAddr}
	b := t.brokers[r.BrokerName]
	if err := t.refuse(b, r, key); err != nil {
		return resp, false, err
	}
	before := t.live[key]
	if before != nil && before.name != r.BrokerName { // the process was given another name
		t.remove(before.name, key)
		before = nil
	}
	if b == nil {
		b = &broker{addrs: map[int64]string{}}
		t.brokers[r.BrokerName] = b
	}
	b.cluster, b.actingMaster, b.zone = r.ClusterName, r.EnableActingMaster.Value, r.ZoneName
	// A slave that became the master, or the other way round, keeps its address.
	maps.DeleteFunc(b.addrs, func(id int64, addr string) bool { return addr == r.BrokerAddr && id != r.BrokerID })
	first := b.addrs[r.BrokerID] == ""
	b.addrs[r.BrokerID] = r.BrokerAddr

	t.enterTopics(b, r, first || before == nil || before.version != r.topics.DataVersion)
	t.enterLive(key, before, r)
	if r.BrokerID != protocol.MasterID {
		master := b.addrs[protocol.MasterID]
		if l := t.live[liveKey{r.ClusterName, master}]; l != nil {
			resp = protocol.RegisterBrokerResponse{HAServerAddr: l.haAddr, MasterAddr: master}
		}
	}
	return resp, before == nil, nil
}

// refuse reports why a registration must not change the table.
func (t *table) refuse(b *broker, r *registration, key liveKey) error {
	if owned := t.conns[r.conn]; len(owned) >= maxBrokers {
		if _, known := owned[key]; !known {
			return fmt.Errorf("the connection of broker %s has registered %d brokers already, which is all that one may; use one connection for each broker", r.BrokerName, len(owned))
		}
	}
	if b == nil {
		b = &broker{}
	}
	now := b.addrs[r.BrokerID]
	if now == "" {
		if len(r.topics.Configs) == 1 {
			return errNotRegistered
		}
		return nil
	}
	if now == r.BrokerAddr {
		return nil
	}
	// Another process has this id. The controller's epoch tells which is newer.
	if l := t.live[liveKey{r.ClusterName, now}]; l != nil && l.version.StateVersion > r.topics.DataVersion.StateVersion {
		t.dropLive(key)
		return fmt.Errorf("broker %s id %d is %s with state version %d; %s registers with the older %d",
			r.BrokerName, r.BrokerID, now, l.version.StateVersion, r.BrokerAddr, r.topics.DataVersion.StateVersion)
	}
	return nil
}

// enterTopics takes the topics of a master, or of the slave that stands in for
// it. With an unchanged version only topics that are missing are entered, so
// that permissions changed here stay.
func (t *table) enterTopics(b *broker, r *registration, changed bool) {
	prime := r.EnableActingMaster.Set && r.BrokerID == slices.Min(slices.Collect(maps.Keys(b.addrs)))
	if r.BrokerID != protocol.MasterID && !prime {
		return
	}
	for name, c := range r.topics.Configs {
		queues := t.topics[name]
		if _, known := queues[r.BrokerName]; known && !changed {
			continue
		}
		if queues == nil {
			queues = map[string]protocol.QueueData{}
			t.topics[name] = queues
		}
		perm := c.Perm
		if r.BrokerID != protocol.MasterID && b.actingMaster {
			perm &^= protocol.PermWrite
		}
		queues[r.BrokerName] = protocol.QueueData{
			BrokerName: r.BrokerName, Perm: perm, TopicSysFlag: c.TopicSysFlag,
			ReadQueueNums: c.ReadQueueNums, WriteQueueNums: c.WriteQueueNums,
		}
	}
	for name, m := range r.topics.Mappings {
		if t.mappings[name] == nil {
			t.mappings[name] = map[string]json.RawMessage{}
		}
		t.mappings[name][r.BrokerName] = m
	}
}

func (t *table) enterLive(key liveKey, before *live, r *registration) {
	if before != nil && before.conn != r.conn {
		t.unbind(key, before.conn)
	}
	t.live[key] = &live{
		name: r.BrokerName, conn: r.conn, seen: r.at, timeout: r.timeout,
		version: r.topics.DataVersion, haAddr: r.HAServerAddr,
	}
	if t.conns[r.conn] == nil {
		t.conns[r.conn] = map[liveKey]struct{}{}
	}
	t.conns[r.conn][key] = struct{}{}
}

func (t *table) unbind(key liveKey, c *remoting.Conn) {
	delete(t.conns[c], key)
	if len(t.conns[c]) == 0 {
		delete(t.conns, c)
	}
}

func (t *table) dropLive(key liveKey) {
	if l := t.live[key]; l != nil {
		delete(t.live, key)
		t.unbind(key, l.conn)
	}
}

// unregister takes a broker out. It reports whether it was there.
func (t *table) unregister(name string, key liveKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.remove(name, key)
}

// remove takes the broker of that name and address out, and its topics when it
// was the last of its name. mu is held.
func (t *table) remove(name string, key liveKey) bool {
	_, known := t.live[key]
	t.dropLive(key)
	b := t.brokers[name]
	if b == nil {
		return known
	}
	addrs := len(b.addrs)
	maps.DeleteFunc(b.addrs, func(_ int64, addr string) bool { return addr == key.addr })
	known = known || len(b.addrs) < addrs
	_, master := b.addrs[protocol.MasterID]
	switch {
	case len(b.addrs) == 0:
		delete(t.brokers, name)
		forget(t.topics, name)
		forget(t.mappings, name)
	case b.actingMaster && !master:
		for _, queues := range t.topics {
			if q, ok := queues[name]; ok {
				q.Perm &^= protocol.PermWrite
				queues[name] = q
			}
		}
	}
	return known
}

func forget[V any](byTopic map[string]map[string]V, broker string) {
	for topic, brokers := range byTopic {
		delete(brokers, broker)
		if len(brokers) == 0 {
			delete(byTopic, topic)
		}
	}
}

// lost is a broker that is gone without having said so.
type lost struct {
	key  liveKey
	name string
	conn *remoting.Conn
}

// drop takes out what a connection had registered.
func (t *table) drop(c *remoting.Conn) []lost {
	t.mu.Lock()
	defer t.mu.Unlock()
	var gone []lost
	for key := range t.conns[c] {
		gone = append(gone, lost{key, t.live[key].name, c})
	}
	for _, g := range gone {
		t.remove(g.name, g.key)
	}
	return gone
}

// expire takes out the brokers whose deadline has come and returns the next
// deadline, the zero time when no broker is left.
func (t *table) expire(now time.Time) (gone []lost, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, l := range t.live {
		if at := l.deadline(); !now.Before(at) {
			gone = append(gone, lost{key, l.name, l.conn})
		} else if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for _, g := range gone {
		t.remove(g.name, g.key)
	}
	return gone, next
}

// touch notes a sign of life of a registered broker.
func (t *table) touch(key liveKey, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.live[key]; l != nil {
		l.seen = now
	}
}

// version returns the data version that a broker registered last.
func (t *table) version(key liveKey) (protocol.DataVersion, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.live[key]; l != nil {
		return l.version, true
	}
	return protocol.DataVersion{}, false
}
