package native

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/internal/remoting/memnet"
	"github.com/rocketkit/rocketkit/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is a name server and brokers over the in-memory network that do what a
// test says: refuse, be silent, forget, be old. What healthy servers do is tested
// with healthy servers, in package conformance.
type cluster struct {
	t    testing.TB
	net  *memnet.Network
	logs *logBuffer

	mu      sync.Mutex                               // guards the following
	topics  map[string]map[string]protocol.QueueData // by topic, broker
	brokers map[string]*scripted
	order   map[string]string // orderTopicConf, by topic
	slaves  map[string]string // address of slave 1, by broker
	asked   []string          // topics that the name server was asked for
	askers  map[*remoting.Conn]bool
}

const nameServer = "10.0.0.9:9876"

func newCluster(t testing.TB, brokers ...string) *cluster {
	c := &cluster{
		t: t, net: memnet.New(), logs: new(logBuffer),
		topics: make(map[string]map[string]protocol.QueueData), brokers: make(map[string]*scripted),
		slaves: make(map[string]string), askers: make(map[*remoting.Conn]bool),
	}
	c.listen(nameServer, c.serveNames)
	for i, name := range brokers {
		c.startBroker(name, fmt.Sprintf("10.0.0.%d:10911", i+1), protocol.VersionV5_4_0)
	}
	return c
}

// listen serves at addr until the test ends.
func (c *cluster) listen(addr string, h remoting.Handler) *remoting.Server {
	c.t.Helper()
	l, err := c.net.Listen(addr)
	if err != nil {
		c.t.Fatal(err)
	}
	s := remoting.NewServer(remoting.ServerOptions{Options: remoting.Options{Handler: h}})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c.t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			c.t.Error(err)
		}
		<-served
	})
	return s
}

// addTopic makes a topic with n queues on each of the brokers, or on all.
func (c *cluster) addTopic(topic string, n int32, brokers ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(brokers) == 0 {
		brokers = slices.Collect(maps.Keys(c.brokers))
	}
	c.topics[topic] = make(map[string]protocol.QueueData)
	for _, b := range brokers {
		c.topics[topic][b] = protocol.QueueData{BrokerName: b, Perm: protocol.PermRead | protocol.PermWrite, ReadQueueNums: n, WriteQueueNums: n}
	}
}

func (c *cluster) serveNames(conn *remoting.Conn, cmd *protocol.Command) {
	topic := cmd.Fields.Value("topic")
	c.mu.Lock()
	c.asked = append(c.asked, topic)
	c.askers[conn] = true
	queues, ok := c.topics[topic]
	data := protocol.TopicRoute{OrderTopicConf: c.order[topic]}
	for name, q := range queues {
		data.QueueDatas = append(data.QueueDatas, q)
		addrs := map[int64]string{protocol.MasterID: c.brokers[name].addr}
		if slave := c.slaves[name]; slave != "" {
			addrs[1] = slave
		}
		data.BrokerDatas = append(data.BrokerDatas, protocol.BrokerData{BrokerName: name, Cluster: "c", BrokerAddrs: addrs})
	}
	c.mu.Unlock()
	if !ok {
		c.answer(conn, cmd, protocol.TopicNotExist, nil, nil)
		return
	}
	c.answer(conn, cmd, protocol.Success, nil, protocol.EncodeTopicRoute(&data, true))
}

func (c *cluster) answer(conn *remoting.Conn, cmd *protocol.Command, code protocol.Code, h protocol.Header, body []byte) {
	if cmd.IsOneway() {
		return
	}
	resp := cmd.Response(code, "")
	_ = conn.Reply(&resp, h, body) // the test cut the connection
}

// open makes a client of the cluster, closed when the test ends.
func (c *cluster) open(change ...func(*driver.Config)) *client {
	c.t.Helper()
	cfg := driver.Config{
		NameServers: []string{nameServer}, Dial: c.net.Dial,
		Logger: slog.New(slog.NewTextHandler(c.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&cfg)
	}
	d, err := Factory(c.t.Context(), cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			c.t.Errorf("close: %v", err)
		}
	})
	return d.(*client)
}

// instance names a client among those of the machine.
func instance(name string) func(*driver.Config) {
	return func(cfg *driver.Config) { cfg.InstanceName = name }
}

// logBuffer keeps what is logged, for tests that look for it and for failures.
type logBuffer struct {
	mu sync.Mutex // guards the following
	b  []byte
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	return len(p), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

// scripted is a broker with queues in memory. before may answer a request in its
// place.
type scripted struct {
	c       *cluster
	name    string
	addr    string
	version int32

	mu      sync.Mutex // guards the following
	before  map[protocol.Code]func(*remoting.Conn, *protocol.Command) bool
	log     []received
	queues  map[message.Queue][][]byte // records by queue offset
	all     map[int64]message.Queue    // by physical offset
	next    int64                      // physical offset
	offsets map[string]int64           // by group, topic and queue
	members map[string]map[string]*remoting.Conn
	parked  map[*parked]struct{}
}

// received is a request that a broker got.
type received struct {
	code   protocol.Code
	oneway bool
	fields map[string]string
	body   []byte
	at     time.Time
}

// parked is a pull that waits for a message.
type parked struct {
	q     message.Queue
	timer *time.Timer
	wake  func()
}

func (c *cluster) startBroker(name, addr string, version int32) *scripted {
	b := c.newBroker(name, addr, version)
	c.mu.Lock()
	c.brokers[name] = b
	c.mu.Unlock()
	return b
}

// startSlave gives a broker a slave, whose log is what the test puts there.
func (c *cluster) startSlave(name, addr string) *scripted {
	b := c.newBroker(name, addr, protocol.VersionV5_4_0)
	c.mu.Lock()
	c.slaves[name] = addr
	c.mu.Unlock()
	return b
}

func (c *cluster) newBroker(name, addr string, version int32) *scripted {
	b := &scripted{
		c: c, name: name, addr: addr, version: version,
		before: make(map[protocol.Code]func(*remoting.Conn, *protocol.Command) bool),
		queues: make(map[message.Queue][][]byte), all: make(map[int64]message.Queue),
		offsets: make(map[string]int64), members: make(map[string]map[string]*remoting.Conn),
		parked: make(map[*parked]struct{}),
	}
	c.listen(addr, b.serve)
	return b
}

// on lets f answer the requests of a code; false leaves one to the broker.
func (b *scripted) on(code protocol.Code, f func(*remoting.Conn, *protocol.Command) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f == nil {
		delete(b.before, code)
		return
	}
	b.before[code] = f
}

// refuse answers every request of a code with another.
func (b *scripted) refuse(code, with protocol.Code) {
	b.on(code, func(conn *remoting.Conn, cmd *protocol.Command) bool {
		b.reply(conn, cmd, with, nil, nil)
		return true
	})
}

// ignore leaves every request of a code without an answer.
func (b *scripted) ignore(code protocol.Code) {
	b.on(code, func(*remoting.Conn, *protocol.Command) bool { return true })
}

// requests are those of a code so far.
func (b *scripted) requests(code protocol.Code) []received {
	b.mu.Lock()
	defer b.mu.Unlock()
	var rs []received
	for _, r := range b.log {
		if r.code == code {
			rs = append(rs, r)
		}
	}
	return rs
}

func (b *scripted) reply(conn *remoting.Conn, cmd *protocol.Command, code protocol.Code, h protocol.Header, body []byte) {
	if cmd.IsOneway() {
		return
	}
	resp := cmd.Response(code, "")
	resp.Version = b.version
	_ = conn.Reply(&resp, h, body) // the test cut the connection
}

func (b *scripted) serve(conn *remoting.Conn, cmd *protocol.Command) {
	r := received{code: cmd.Code, oneway: cmd.IsOneway(), fields: make(map[string]string), body: slices.Clone(cmd.Body), at: time.Now()}
	for _, f := range cmd.Fields {
		r.fields[f.Key] = f.Value
	}
	b.mu.Lock()
	b.log = append(b.log, r)
	before := b.before[cmd.Code]
	b.mu.Unlock()
	if before != nil && before(conn, cmd) {
		return
	}
	switch cmd.Code {
	case protocol.Heartbeat:
		b.heartbeat(conn, cmd)
	case protocol.UnregisterClient:
		b.unregister(conn, cmd)
	case protocol.GetConsumerList:
		b.memberList(conn, cmd)
	case protocol.QueryConsumerOffset:
		b.queryOffset(conn, cmd)
	case protocol.UpdateConsumerOffset:
		b.updateOffset(conn, cmd)
	case protocol.GetMaxOffset:
		b.maxOffset(conn, cmd)
	case protocol.PullMessage:
		b.pull(conn, cmd)
	case protocol.SendMessageV2, protocol.SendBatchMessage:
		b.send(conn, cmd)
	case protocol.SendMessageBack:
		b.sendBack(conn, cmd)
	case protocol.EndTransaction:
	default:
		b.reply(conn, cmd, protocol.CodeNotSupported, nil, nil)
	}
}

func (b *scripted) heartbeat(conn *remoting.Conn, cmd *protocol.Command) {
	var data protocol.HeartbeatData
	if err := protocol.DecodeBody(cmd.Body, &data); err != nil {
		b.c.t.Error(err)
	}
	var changed []string
	b.mu.Lock()
	for _, g := range data.Consumers {
		if b.members[g.GroupName] == nil {
			b.members[g.GroupName] = make(map[string]*remoting.Conn)
		}
		if _, known := b.members[g.GroupName][data.ClientID]; !known {
			changed = append(changed, g.GroupName)
		}
		b.members[g.GroupName][data.ClientID] = conn
	}
	b.mu.Unlock()
	for _, g := range data.Consumers {
		b.c.addRetryTopic(g.GroupName, b.name)
	}
	b.reply(conn, cmd, protocol.Success, nil, nil)
	for _, g := range changed {
		b.notify(g)
	}
}

func (c *cluster) addRetryTopic(group, broker string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := message.RetryTopic(group)
	if c.topics[t] == nil {
		c.topics[t] = make(map[string]protocol.QueueData)
	}
	c.topics[t][broker] = protocol.QueueData{BrokerName: broker, Perm: protocol.PermRead | protocol.PermWrite, ReadQueueNums: 1, WriteQueueNums: 1}
}

func (b *scripted) unregister(conn *remoting.Conn, cmd *protocol.Command) {
	b.mu.Lock()
	delete(b.members[cmd.Fields.Value("consumerGroup")], cmd.Fields.Value("clientID"))
	b.mu.Unlock()
	b.reply(conn, cmd, protocol.Success, nil, nil)
}

// notify sends code 40 to the members of a group.
func (b *scripted) notify(group string) {
	b.mu.Lock()
	conns := slices.Collect(maps.Values(b.members[group]))
	b.mu.Unlock()
	for _, conn := range conns {
		if conn == nil {
			continue // joined by name only
		}
		cmd := protocol.ClientRequest(protocol.NotifyConsumersChanged)
		_ = conn.Oneway(context.Background(), &cmd, &protocol.NotifyConsumersChangedRequest{ConsumerGroup: group}) // the test cut the connection
	}
}

// join makes the group have another member, who does nothing, and tells the others.
func (b *scripted) join(group, id string) {
	b.mu.Lock()
	b.members[group][id] = nil
	b.mu.Unlock()
	b.notify(group)
}

// part takes one out of the group again.
func (b *scripted) part(group, id string) {
	b.mu.Lock()
	delete(b.members[group], id)
	b.mu.Unlock()
	b.notify(group)
}

func (b *scripted) memberIDs(group string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.members[group]))
}

func (b *scripted) memberList(conn *remoting.Conn, cmd *protocol.Command) {
	ids := b.memberIDs(cmd.Fields.Value("consumerGroup"))
	if len(ids) == 0 {
		b.reply(conn, cmd, protocol.SystemError, nil, nil)
		return
	}
	body, err := protocol.EncodeBody(&protocol.ConsumerList{ConsumerIDs: ids})
	if err != nil {
		b.c.t.Error(err)
	}
	b.reply(conn, cmd, protocol.Success, nil, body)
}

func offsetKey(group string, q message.Queue) string {
	return fmt.Sprintf("%s %s %d", group, q.Topic, q.ID)
}

func (b *scripted) queryOffset(conn *remoting.Conn, cmd *protocol.Command) {
	h := protocol.ConsumerOffsetRequest{Code: cmd.Code}
	b.decode(&h, cmd)
	b.mu.Lock()
	offset, ok := b.offsets[offsetKey(h.ConsumerGroup, b.queue(h.Topic, h.QueueID))]
	b.mu.Unlock()
	if !ok {
		b.reply(conn, cmd, protocol.QueryNotFound, nil, nil)
		return
	}
	b.reply(conn, cmd, protocol.Success, &protocol.OffsetResponse{Offset: offset}, nil)
}

func (b *scripted) decode(h protocol.HeaderDecoder, cmd *protocol.Command) {
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.c.t.Errorf("%s: %v", protocol.RequestName(cmd.Code), err)
	}
}

func (b *scripted) queue(topic string, id int32) message.Queue {
	return message.Queue{Topic: topic, Broker: b.name, ID: int(id)}
}

func (b *scripted) updateOffset(conn *remoting.Conn, cmd *protocol.Command) {
	h := protocol.ConsumerOffsetRequest{Code: cmd.Code}
	b.decode(&h, cmd)
	b.setOffset(h.ConsumerGroup, b.queue(h.Topic, h.QueueID), h.CommitOffset)
	b.reply(conn, cmd, protocol.Success, nil, nil)
}

func (b *scripted) setOffset(group string, q message.Queue, offset int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.offsets[offsetKey(group, q)] = offset
}

// committed is a group's offset, -1 when there is none.
func (b *scripted) committed(group string, q message.Queue) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o, ok := b.offsets[offsetKey(group, q)]; ok {
		return o
	}
	return -1
}

func (b *scripted) maxOffset(conn *remoting.Conn, cmd *protocol.Command) {
	h := protocol.OffsetRequest{Code: cmd.Code}
	b.decode(&h, cmd)
	b.mu.Lock()
	n := len(b.queues[b.queue(h.Topic, h.QueueID)])
	b.mu.Unlock()
	b.reply(conn, cmd, protocol.Success, &protocol.OffsetResponse{Offset: int64(n)}, nil)
}

func (b *scripted) pull(conn *remoting.Conn, cmd *protocol.Command) {
	var h protocol.PullRequest
	b.decode(&h, cmd)
	q := b.queue(h.Topic, h.QueueID)
	if h.SysFlag&protocol.PullCommitOffset != 0 {
		b.setOffset(h.ConsumerGroup, q, h.CommitOffset)
	}
	req := *cmd
	answer := func(parking bool) bool {
		b.mu.Lock()
		records := b.queues[q]
		n := int64(len(records))
		resp := protocol.PullResponse{NextBeginOffset: h.QueueOffset, MaxOffset: n}
		var body []byte
		for h.QueueOffset <= n && resp.NextBeginOffset < min(n, h.QueueOffset+int64(h.MaxMessages)) {
			body = append(body, records[resp.NextBeginOffset]...)
			resp.NextBeginOffset++
		}
		b.mu.Unlock()
		switch {
		case h.QueueOffset > n:
			resp.NextBeginOffset = n
			b.reply(conn, &req, protocol.PullOffsetMoved, &resp, nil)
		case len(body) > 0:
			b.reply(conn, &req, protocol.Success, &resp, body)
		case parking && h.SysFlag&protocol.PullSuspend != 0:
			return false
		default:
			b.reply(conn, &req, protocol.PullNotFound, &resp, nil)
		}
		return true
	}
	if !answer(true) {
		b.park(q, time.Duration(h.SuspendTimeout)*time.Millisecond, func() { answer(false) })
	}
}

func (b *scripted) park(q message.Queue, d time.Duration, wake func()) {
	p := &parked{q: q}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parked[p] = struct{}{}
	p.wake = wake
	p.timer = time.AfterFunc(d, func() { b.wake(func(o *parked) bool { return o == p }) })
}

func (b *scripted) wake(which func(*parked) bool) {
	var found []*parked
	b.mu.Lock()
	for p := range b.parked {
		if which(p) {
			p.timer.Stop()
			delete(b.parked, p)
			found = append(found, p)
		}
	}
	b.mu.Unlock()
	for _, p := range found {
		p.wake()
	}
}

// put appends a record to a queue and returns its place.
func (b *scripted) put(q message.Queue, rec protocol.Record) (offset, physical int64) {
	b.mu.Lock()
	offset, physical = int64(len(b.queues[q])), b.next
	rec.Topic, rec.QueueID, rec.QueueOffset, rec.PhysicalOffset = q.Topic, int32(q.ID), offset, physical
	rec.BornHost, rec.StoreHost = netip.MustParseAddrPort("10.0.0.77:4711"), netip.MustParseAddrPort(b.addr)
	rec.StoreTimestamp = time.Now().UnixMilli()
	data, err := protocol.AppendRecord(nil, &rec)
	if err != nil {
		b.c.t.Error(err)
	}
	b.queues[q] = append(b.queues[q], data)
	b.all[physical] = q
	b.next += int64(len(data))
	b.mu.Unlock()
	b.wake(func(p *parked) bool { return p.q == q })
	return offset, physical
}

// produce puts n small messages into a queue.
func (b *scripted) produce(q message.Queue, n int) {
	for i := range n {
		b.put(q, protocol.Record{Body: fmt.Appendf(nil, "%d", i), Properties: fmt.Appendf(nil, "UNIQ_KEY\x01%s-%d-%d\x02", q.Topic, q.ID, i)})
	}
}

func (b *scripted) send(conn *remoting.Conn, cmd *protocol.Command) {
	h := protocol.SendRequest{Code: cmd.Code}
	b.decode(&h, cmd)
	if h.QueueID < 0 {
		h.QueueID = 0
	}
	q := b.queue(h.Topic, h.QueueID)
	rec := protocol.Record{
		Body: slices.Clone(cmd.Body), Properties: h.Properties, Flag: h.Flag, SysFlag: h.SysFlag,
		BornTimestamp: h.BornTimestamp, ReconsumeTimes: h.ReconsumeTimes,
	}
	offset, physical := b.put(q, rec)
	b.reply(conn, cmd, protocol.Success, &protocol.SendResponse{
		MessageID: protocol.OffsetMessageID(netip.MustParseAddrPort(b.addr), physical), QueueID: h.QueueID, QueueOffset: offset,
	}, nil)
}

// sendBack puts the message into the retry topic at once, or into the dead
// letters.
func (b *scripted) sendBack(conn *remoting.Conn, cmd *protocol.Command) {
	var h protocol.SendBackRequest
	b.decode(&h, cmd)
	b.mu.Lock()
	q, ok := b.all[h.Offset]
	var rec protocol.Record
	for _, data := range b.queues[q] {
		if _, err := protocol.DecodeRecord(data, &rec); err == nil && rec.PhysicalOffset == h.Offset {
			break
		}
	}
	b.mu.Unlock()
	if !ok {
		b.reply(conn, cmd, protocol.SystemError, nil, nil)
		return
	}
	props := slices.Clone(rec.Properties)
	if _, ok := protocol.Property(props, protocol.PropRetryTopic); !ok {
		props = protocol.SetProperty(props, protocol.PropRetryTopic, rec.Topic)
	}
	if _, ok := protocol.Property(props, protocol.PropOriginMessageID); !ok {
		props = protocol.SetProperty(props, protocol.PropOriginMessageID, protocol.OffsetMessageID(rec.StoreHost, rec.PhysicalOffset))
	}
	topic := message.RetryTopic(h.Group)
	if h.DelayLevel < 0 || rec.ReconsumeTimes >= h.MaxReconsumeTimes.Value {
		topic = message.DLQTopic(h.Group)
	}
	rec.ReconsumeTimes++
	rec.Properties = props
	b.reply(conn, cmd, protocol.Success, nil, nil)
	b.put(b.queue(topic, 0), rec)
}
