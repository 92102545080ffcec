package brokerlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// crashMsg is a message that a workload sends. It does not change, but for where it
// is, which its answer says.
type crashMsg struct {
	body    string // no other has it
	topic   string
	queue   int32
	waits   bool  // it is delivered later
	due     int64 // not before this, ms since 1970
	half    bool
	outcome int32 // of a half message; 0 is never known
}

// fact is what the world outside came to know.
type fact int

const (
	asked      fact = iota // a message is sent
	acked                  // and acknowledged
	committed              // its commit is acknowledged
	recalling              // it is to be recalled
	recalled               // and that is acknowledged
	seen                   // a reader has it
	settling               // a consumer acknowledges it
	settled                // and that is acknowledged
	deleting               // topic is to be deleted
	deleted                // and that is acknowledged
	committing             // an offset is committed
)

type crashFact struct {
	fact   fact
	m      *crashMsg
	topic  string
	queue  int32
	offset int64
}

// crashImage is what a crash leaves, with how much was known by then.
type crashImage struct {
	mem   *vfs.Mem
	after vfs.Call
	facts int
}

// crashWorld is one workload, in a bubble.
type crashWorld struct {
	t     *testing.T
	seed  uint64
	mem   *vfs.Mem
	disk  vfs.FS // what the broker gets of mem
	net   *Network
	opts  []Option
	sync  bool                            // flushes synchronously, it is said
	cut   func(*vfs.Mem, uint64) *vfs.Mem // what a crash leaves
	rng   *rand.Rand                      // of play
	c     *client                         // of play
	calls atomic.Int64

	topics map[string]int // topics that can be deleted: how often they were made; of play
	count  int            // messages; of play

	mu     sync.Mutex // guards the following
	facts  []crashFact
	byBody map[string]*crashMsg
	images []crashImage
	over   bool // no more images
}

func newCrashWorld(t *testing.T, seed uint64, mem *vfs.Mem) *crashWorld {
	if seed%2 == 1 {
		mem.WriteBack(seed)
	}
	return &crashWorld{
		t: t, seed: seed, mem: mem, disk: mem, net: NewNetwork(), rng: rand.New(rand.NewPCG(seed, 11)), topics: map[string]int{}, byBody: map[string]*crashMsg{},
		cut: func(m *vfs.Mem, _ uint64) *vfs.Mem { return m.Clone() },
		opts: []Option{
			TransactionChecks(2*time.Second, 3*time.Second),
			// Small files, so that their ends are met too.
			Conf("transactionCheckMax=4\nmaxMessageSize=4096\nmappedFileSizeCommitLog=69632\nmappedFileSizeConsumeQueue=200\n"),
		},
	}
}

// know notes a fact.
func (w *crashWorld) know(f crashFact) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.facts = append(w.facts, f)
	if f.fact == asked {
		w.byBody[f.m.body] = f.m
	}
}

// take makes an image. What is known is counted first, so that it is never more than
// what the image must hold.
func (w *crashWorld) take(call vfs.Call, _ error) {
	w.calls.Add(1)
	switch call.Op {
	case vfs.OpRead, vfs.OpReadDir, vfs.OpStat, vfs.OpSize, vfs.OpClose, vfs.OpSpace, vfs.OpLock:
		return // changes nothing
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	im := crashImage{after: call, facts: len(w.facts)}
	im.mem = w.cut(w.mem, w.seed*1_000_003+uint64(len(w.images)))
	w.images = append(w.images, im)
}

// open starts a broker on what a crash has left.
func (w *crashWorld) open(fs vfs.FS) (*Broker, *client, error) {
	b, err := Start(context.Background(), append([]Option{withFiles(fs), VirtualNetwork(w.net)}, w.opts...)...)
	if err != nil {
		return nil, nil, err
	}
	c := &client{t: w.t, b: b, addr: b.Addr()}
	c.connect()
	return b, c, nil
}

func (w *crashWorld) shut(b *Broker, c *client) {
	c.close()
	stop(w.t, b)
}

// play runs the workload.
func (w *crashWorld) play() {
	b, c, err := w.open(vfs.NewFaulty(w.disk, vfs.Hooks{After: w.take}))
	if err != nil {
		w.t.Fatal(err)
	}
	w.c = c
	for _, topic := range []string{"a", "b", "pop"} {
		c.createTopic(topic, 2)
	}
	c.heartbeat("me", "producers", "workers", subscription(w.t, "a", "*"))
	for range crashOps {
		w.step()
		answerChecks(c, w)
	}
	if w.rng.IntN(2) == 0 {
		w.shut(b, c) // clean, and cut too
		w.mu.Lock()
		defer w.mu.Unlock()
		w.over = true
		return
	}
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	w.shut(b, c)
}

// message makes a message with a body that no other has.
func (w *crashWorld) message(topic string) *crashMsg {
	w.count++
	body := fmt.Sprintf("%d %s", w.count, strings.Repeat("x", w.rng.IntN(1500)))
	return &crashMsg{body: body, topic: topic, queue: int32(w.rng.IntN(2))}
}

func (w *crashWorld) step() {
	topic := []string{"a", "b"}[w.rng.IntN(2)]
	switch w.rng.IntN(16) {
	case 0, 1:
		w.send(w.c, w.message(topic))
	case 2:
		w.burst(topic)
	case 3:
		w.batch(topic)
	case 4:
		m := w.message(topic)
		level := 1 + w.rng.IntN(3)
		m.waits, m.due = true, now().Add([]time.Duration{time.Second, 5 * time.Second, 10 * time.Second}[level-1]).UnixMilli()
		w.send(w.c, m, "DELAY", fmt.Sprint(level))
	case 5, 6:
		w.timer(topic)
	case 7, 8, 9:
		w.transaction(topic)
	case 10:
		w.commitOffset(topic)
	case 11, 12:
		w.topicThatGoes()
	case 13:
		w.send(w.c, w.message("pop"))
		w.popSome()
	case 14:
		w.look()
	default:
		time.Sleep(time.Duration(w.rng.IntN(4000)) * time.Millisecond)
	}
}

func (w *crashWorld) send(c *client, m *crashMsg, props ...string) protocol.SendResponse {
	h := sending(m.topic, props...)
	h.QueueID = m.queue
	w.know(crashFact{fact: asked, m: m})
	r := c.send(h, m.body)
	w.know(crashFact{fact: acked, m: m})
	return r
}

// burst sends from several clients at once.
func (w *crashWorld) burst(topic string) {
	var wg sync.WaitGroup
	for range 4 {
		m := w.message(topic)
		c := &client{t: w.t, b: w.c.b, addr: w.c.addr}
		c.connect()
		wg.Go(func() {
			defer c.close()
			w.send(c, m)
		})
	}
	wg.Wait()
}

func (w *crashWorld) batch(topic string) {
	var list []*crashMsg
	var body []byte
	for range 3 {
		m := w.message(topic)
		m.queue = 0
		var err error
		if body, err = protocol.AppendBatchEntry(body, &protocol.BatchEntry{Body: []byte(m.body[:min(len(m.body), 800)])}); err != nil {
			w.t.Fatal(err)
		}
		m.body = m.body[:min(len(m.body), 800)]
		list = append(list, m)
		w.know(crashFact{fact: asked, m: m})
	}
	h := sending(topic)
	h.Code, h.Batch = protocol.SendBatchMessage, true
	w.c.send(h, string(body))
	for _, m := range list {
		w.know(crashFact{fact: acked, m: m})
	}
}

// timer sends a timer message, and recalls some.
func (w *crashWorld) timer(topic string) {
	m := w.message(topic)
	delay := time.Duration(1+w.rng.IntN(20_000)) * time.Millisecond
	at := now().Add(delay)
	m.waits, m.due = true, at.UnixMilli()
	r := w.send(w.c, m, "TIMER_DELIVER_MS", itoa(m.due))
	if w.rng.IntN(3) > 0 || delay < 5*time.Second {
		return
	}
	w.know(crashFact{fact: recalling, m: m})
	if code, _ := w.c.recall(topic, r.RecallHandle); code != protocol.Success {
		w.t.Errorf("recall: %s", protocol.ResponseName(code))
	}
	w.know(crashFact{fact: recalled, m: m})
}

// transaction sends a half message, and ends it at once or when it is asked.
func (w *crashWorld) transaction(topic string) {
	m := w.message(topic)
	m.half = true
	m.outcome = []int32{protocol.SysCommit, protocol.SysCommit, protocol.SysRollback, protocol.SysRollback, 0}[w.rng.IntN(5)]
	h := sending(topic, "TRAN_MSG", "true", "PGROUP", "producers", "UNIQ_KEY", fmt.Sprint("half ", w.count))
	h.SysFlag, h.QueueID = protocol.SysPrepared, m.queue
	w.know(crashFact{fact: asked, m: m})
	r := w.c.send(h, m.body)
	w.know(crashFact{fact: acked, m: m})
	if m.outcome == 0 || w.rng.IntN(3) == 0 {
		return
	}
	w.c.ok(protocol.EndTransaction, ending(w.t, r, m.outcome), nil)
	if m.outcome == protocol.SysCommit {
		w.know(crashFact{fact: committed, m: m})
	}
}

// answerChecks answers what the broker has asked since. An end that is refused was
// there before.
func answerChecks(c *client, w *crashWorld) {
	list := c.checks()
	c.mu.Lock()
	c.asked = nil
	c.mu.Unlock()
	for _, k := range list {
		w.mu.Lock()
		m := w.byBody[string(k.record.Body)]
		w.mu.Unlock()
		if m == nil {
			w.t.Errorf("asked for the outcome of %.40q, which was never sent", k.record.Body)
			continue
		}
		if m.outcome == 0 {
			continue
		}
		if resp := c.call(protocol.EndTransaction, k.answer(m.outcome), nil); resp.Code == protocol.Success && m.outcome == protocol.SysCommit {
			w.know(crashFact{fact: committed, m: m})
		}
	}
}

func (w *crashWorld) commitOffset(topic string) {
	queue := int32(w.rng.IntN(2))
	list, err := listQueue(w.c, topic, queue)
	if err != nil {
		w.t.Fatal(err)
	}
	w.knowSeen(list)
	offset := int64(len(list))
	w.know(crashFact{fact: committing, topic: topic, queue: queue, offset: offset})
	w.c.ok(protocol.UpdateConsumerOffset, &protocol.ConsumerOffsetRequest{
		Code: protocol.UpdateConsumerOffset, ConsumerGroup: "workers", Topic: topic, QueueID: queue, CommitOffset: offset,
	}, nil)
	if w.rng.IntN(2) == 0 {
		time.Sleep(6 * time.Second) // it is written
	}
}

// topicThatGoes makes a topic, uses it, or deletes it.
func (w *crashWorld) topicThatGoes() {
	topic := fmt.Sprint("goes-", w.rng.IntN(2))
	if w.topics[topic]%2 == 0 {
		w.c.createTopic(topic, 2)
		w.topics[topic]++
	}
	for range 1 + w.rng.IntN(3) {
		w.send(w.c, w.message(topic))
	}
	if w.rng.IntN(2) == 0 {
		w.commitOffset(topic)
	}
	if w.rng.IntN(3) == 0 {
		return
	}
	w.know(crashFact{fact: deleting, topic: topic})
	w.c.ok(protocol.DeleteTopicInBroker, fields{"topic": topic}, nil)
	w.know(crashFact{fact: deleted, topic: topic})
	w.topics[topic]++
}

// popSome pops, and acknowledges half of what it gets.
func (w *crashWorld) popSome() {
	h := popping("pop")
	h.MaxMessages, h.InvisibleTime = 4, 10_000
	p := w.c.pop(h)
	for i, r := range p.records {
		if w.rng.IntN(2) == 0 {
			continue
		}
		w.mu.Lock()
		m := w.byBody[string(r.Body)]
		w.mu.Unlock()
		w.know(crashFact{fact: settling, m: m})
		if resp := w.c.call(protocol.AckMessage, acking("pop", p.receipts[i]), nil); resp.Code == protocol.Success {
			w.know(crashFact{fact: settled, m: m})
		}
	}
}

// look notes what readers can see.
func (w *crashWorld) look() {
	for _, topic := range crashTopics() {
		for queue := range int32(2) {
			list, err := listQueue(w.c, topic, queue)
			if err != nil {
				w.t.Fatal(err)
			}
			w.knowSeen(list)
		}
	}
}

func (w *crashWorld) knowSeen(list []protocol.Record) {
	for _, r := range list {
		w.mu.Lock()
		m := w.byBody[string(r.Body)]
		w.mu.Unlock()
		if m == nil {
			w.t.Fatalf("a reader sees %.40q, which was never sent", r.Body)
		}
		w.know(crashFact{fact: seen, m: m})
	}
}

// crashTopics are the topics that readers look at.
func crashTopics() []string { return []string{"a", "b", "pop", "goes-0", "goes-1"} }

// listQueue pulls all that a queue has.
func listQueue(c *client, topic string, queue int32) ([]protocol.Record, error) {
	if errors.Is(c.conn.Err(), remoting.ErrClosed) {
		c.connect()
	}
	var list []protocol.Record
	h := pulling(topic, 0, "*")
	for h.QueueID = queue; ; {
		p := c.pull(h)
		switch p.code {
		case protocol.Success:
		case protocol.PullNotFound, protocol.TopicNotExist, protocol.InvalidParameter:
			return list, nil
		default:
			return nil, fmt.Errorf("pull queue %d of topic %s at %d: %s: %s", queue, topic, h.QueueOffset, protocol.ResponseName(p.code), p.remark)
		}
		for i, r := range p.records {
			if r.Topic != topic || r.QueueID != queue || r.QueueOffset != h.QueueOffset+int64(i) {
				return nil, fmt.Errorf("queue %d of topic %s has, at %d, a record of %s, %d, %d", queue, topic, h.QueueOffset+int64(i), r.Topic, r.QueueID, r.QueueOffset)
			}
		}
		list = append(list, p.records...)
		h.QueueOffset = p.NextBeginOffset
	}
}
