package broker

import (
	"container/heap"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// holder keeps the pulls that wait for a message (PullRequestHoldService). A pull
// leaves it once: woken, timed out, or dropped with its connection.
type holder struct {
	longPolling func() bool
	maxOffset   func(topic string, queueID int32) int64
	reset       func(group, topic string, queueID int32) bool          // see moved
	resume      func([]*parked)                                        // goes on elsewhere; must not block
	record      func(topic string, queueID int32, offset int64) []byte // nil when it cannot be read
	alarm       *alarm.Alarm
	count       atomic.Int64 // parked pulls, so that arrivals are cheap without

	mu        sync.Mutex // guards the following
	queues    map[parkedAt][]*parked
	conns     map[*remoting.Conn]*waiting
	deadlines parkedHeap
}

// waiting are the pulls of one connection.
type waiting struct {
	pulls map[*parked]struct{}
	bytes int
}

// maxWaiting bounds what the pulls of one connection may hold while they wait, in
// bytes: some 65,000 of them.
const maxWaiting = 32 << 20

// parkedAt names the queue that a pull waits for.
type parkedAt struct {
	topic   string
	queueID int32
}

// parked is a pull that waits. The holder's mu guards gone, at and in.
type parked struct {
	pull
	deadline time.Time
	gone     bool // left the holder
	at       int  // in deadlines
	in       int  // in its queue's list
}

// size is about what a parked pull holds, in bytes.
func (p *parked) size() int { return 512 + 4*len(p.filter.codes) + p.filter.holds }

func newHolder(b *Broker) *holder {
	h := &holder{
		longPolling: func() bool { return b.conf().LongPolling }, maxOffset: b.store.MaxOffset, reset: b.meta.Offsets.HasReset, record: b.recordAt,
		queues: map[parkedAt][]*parked{}, conns: map[*remoting.Conn]*waiting{},
	}
	h.resume = func(list []*parked) {
		b.spawn(func() {
			for _, p := range list {
				b.resumePull(&p.pull)
			}
		})
	}
	h.alarm = alarm.Start(0, h.expire)
	return h
}

// park keeps a copy of a pull that found nothing; false: too many of its
// connection wait already. It is called on the reader of the pull's connection.
func (h *holder) park(pl *pull) bool {
	p := &parked{pull: *pl, deadline: time.Now().Add(pl.suspend)}
	p.group, p.topic = strings.Clone(pl.group), strings.Clone(pl.topic) // not the whole header
	if !h.enter(p) {
		return false
	}
	h.alarm.Set(p.deadline)

	// A message may have come between the read and here, or a reset; it found no
	// pull to wake.
	due := h.longPolling() && h.maxOffset(pl.topic, pl.queueID) > pl.offset || h.reset(pl.group, pl.topic, pl.queueID)
	if due && h.take(p) {
		h.resume([]*parked{p})
	}
	return true
}

// enter puts a pull in, if its connection has room for it.
func (h *holder) enter(p *parked) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	conn := h.conns[p.peer.conn]
	switch {
	case conn == nil:
		conn = &waiting{pulls: map[*parked]struct{}{}}
		h.conns[p.peer.conn] = conn
	case conn.bytes+p.size() > maxWaiting:
		return false
	}
	conn.pulls[p] = struct{}{}
	conn.bytes += p.size()
	key := parkedAt{p.topic, p.queueID}
	p.in = len(h.queues[key])
	h.queues[key] = append(h.queues[key], p)
	heap.Push(&h.deadlines, p)
	h.count.Add(1)
	return true
}

// arrived wakes the pulls that a message is for. It is called on the store's
// appender. The message is read only when a pull's filter looks at more than tags.
func (h *holder) arrived(topic string, queueID int32, maxOffset, tagsCode int64) {
	if h.count.Load() == 0 || !h.longPolling() {
		return
	}
	var woken, choosy []*parked
	h.mu.Lock()
	for _, p := range h.queues[parkedAt{topic, queueID}] {
		switch {
		case p.offset >= maxOffset:
		case p.filter.sql != nil:
			choosy = append(choosy, p)
		case p.filter.matches(tagsCode):
			woken = append(woken, p)
		}
	}
	for _, p := range woken {
		h.remove(p)
	}
	h.mu.Unlock()
	if woken = append(woken, h.chosen(choosy, topic, queueID, maxOffset-1)...); len(woken) > 0 {
		h.resume(woken)
	}
}

// chosen takes out those pulls whose expression takes a record. When it cannot be
// read, they all find out for themselves.
func (h *holder) chosen(list []*parked, topic string, queueID int32, offset int64) (woken []*parked) {
	if len(list) == 0 {
		return nil
	}
	record := h.record(topic, queueID, offset)
	for _, p := range list {
		if (record == nil || p.filter.records()(record)) && h.take(p) {
			woken = append(woken, p)
		}
	}
	return woken
}

// moved wakes a group's pulls of a queue that goes on elsewhere.
func (h *holder) moved(group, topic string, queueID int32) {
	var woken []*parked
	h.mu.Lock()
	for _, p := range h.queues[parkedAt{topic, queueID}] {
		if p.group == group {
			woken = append(woken, p)
		}
	}
	for _, p := range woken {
		h.remove(p)
	}
	h.mu.Unlock()
	if len(woken) > 0 {
		h.resume(woken)
	}
}

// expire answers the pulls whose time is up and returns when the next one's is.
func (h *holder) expire(now time.Time) (next time.Time) {
	var due []*parked
	h.mu.Lock()
	for len(h.deadlines) > 0 {
		p := h.deadlines[0]
		if p.deadline.After(now) {
			next = p.deadline
			break
		}
		h.remove(p)
		due = append(due, p)
	}
	h.mu.Unlock()
	if len(due) > 0 {
		h.resume(due)
	}
	return next
}

// drop forgets the pulls of a connection that has closed.
func (h *holder) drop(c *remoting.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if conn := h.conns[c]; conn != nil {
		for p := range conn.pulls {
			h.remove(p)
		}
	}
}

// take takes one pull out; false: it has left already.
func (h *holder) take(p *parked) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.gone {
		return false
	}
	h.remove(p)
	return true
}

// remove takes a pull out that is in. mu is held.
func (h *holder) remove(p *parked) {
	p.gone = true
	key := parkedAt{p.topic, p.queueID}
	list := h.queues[key]
	last := list[len(list)-1]
	list[p.in], last.in = last, p.in
	list[len(list)-1] = nil
	if list = list[:len(list)-1]; len(list) == 0 {
		delete(h.queues, key)
	} else {
		h.queues[key] = list
	}
	conn := h.conns[p.peer.conn]
	delete(conn.pulls, p)
	conn.bytes -= p.size()
	if len(conn.pulls) == 0 {
		delete(h.conns, p.peer.conn)
	}
	heap.Remove(&h.deadlines, p.at)
	h.count.Add(-1)
}

// ParkedPulls is how many pulls wait for a message.
func (b *Broker) ParkedPulls() int { return int(b.holder.count.Load()) }

// close stops the timer. The pulls go with their connections.
func (h *holder) close() { h.alarm.Stop() }

// parkedHeap is a container/heap by deadline.
type parkedHeap []*parked

func (h parkedHeap) Len() int           { return len(h) }
func (h parkedHeap) Less(i, j int) bool { return h[i].deadline.Before(h[j].deadline) }

func (h parkedHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *parkedHeap) Push(x any) {
	p := x.(*parked)
	p.at = len(*h)
	*h = append(*h, p)
}

// Pop implements heap.Interface.
func (h *parkedHeap) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return p
}
