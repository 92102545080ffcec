package native

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

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

// comparesVersions makes a broker refuse pulls for newer subscriptions than heartbeats
// have told of, as Apache's do. What it returns tells how many it has refused, and the most
// of one queue in a row.
func (b *scripted) comparesVersions() func() (refused, most int) {
	var mu sync.Mutex // guards the following
	newest, inRow := map[string]int64{}, map[message.Queue]int{}
	refused, most := 0, 0
	b.on(protocol.Heartbeat, func(_ *remoting.Conn, cmd *protocol.Command) bool {
		var data protocol.HeartbeatData
		if err := protocol.DecodeBody(cmd.Body, &data); err != nil {
			b.c.t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, g := range data.Consumers {
			for _, s := range g.Subscriptions {
				newest[s.Topic] = max(newest[s.Topic], s.SubVersion)
			}
		}
		return false
	})
	b.on(protocol.PullMessage, func(conn *remoting.Conn, cmd *protocol.Command) bool {
		var h protocol.PullRequest
		b.decode(&h, cmd)
		q := b.queue(h.Topic, h.QueueID)
		mu.Lock()
		defer mu.Unlock()
		if h.SubVersion <= newest[h.Topic] {
			delete(inRow, q)
			return false
		}
		refused++
		inRow[q]++
		most = max(most, inRow[q])
		b.reply(conn, cmd, protocol.SubscriptionNotLatest, nil, nil)
		return true
	})
	return func() (int, int) {
		mu.Lock()
		defer mu.Unlock()
		return refused, most
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
