package broker

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// holder keeps the pulls that wait for a message (PullRequestHoldService). A pull
// leaves it once: woken, timed out, or dropped with its connection.
type holder struct {
	longPolling bool
	maxOffset   func(topic string, queueID int32) int64
	resume      func([]*parked) // goes on elsewhere; must not block
	alarm       *alarm.Alarm
	count       atomic.Int64 // parked pulls, so that arrivals are cheap without

	mu        sync.Mutex // guards the following
	queues    map[parkedAt][]*parked
	conns     map[*remoting.Conn]map[*parked]struct{}
	deadlines parkedHeap
}

// parkedAt names the queue that a pull waits for.
type parkedAt struct {
	topic   string
	queueID int32
}

// parked is a pull that waits. The holder's mu guards gone and at.
type parked struct {
	pull
	deadline time.Time
	gone     bool // left the holder
	at       int  // in deadlines
}

func newHolder(b *Broker) *holder {
	h := &holder{
		longPolling: b.config.LongPolling, maxOffset: b.store.MaxOffset,
		queues: map[parkedAt][]*parked{}, conns: map[*remoting.Conn]map[*parked]struct{}{},
	}
	h.resume = func(list []*parked) {
		b.spawn(func() {
			for _, p := range list {
				b.answerPull(&p.pull, false)
			}
		})
	}
	h.alarm = alarm.Start(0, h.expire)
	return h
}

// park keeps a copy of a pull that found nothing. It is called on the reader of
// the pull's connection.
func (h *holder) park(pl *pull) {
	p := &parked{pull: *pl, deadline: time.Now().Add(pl.suspend)}
	key := parkedAt{pl.topic, pl.queueID}
	h.mu.Lock()
	h.queues[key] = append(h.queues[key], p)
	conn := h.conns[pl.peer.conn]
	if conn == nil {
		conn = map[*parked]struct{}{}
		h.conns[pl.peer.conn] = conn
	}
	conn[p] = struct{}{}
	heap.Push(&h.deadlines, p)
	h.count.Add(1)
	h.mu.Unlock()
	h.alarm.Set(p.deadline)

	// A message may have come between the read and here; its arrival found no
	// pull to wake.
	if h.longPolling && h.maxOffset(pl.topic, pl.queueID) > pl.offset && h.take(p) {
		h.resume([]*parked{p})
	}
}

// arrived wakes the pulls that a message is for. It is called on the store's
// appender.
func (h *holder) arrived(topic string, queueID int32, maxOffset, tagsCode int64) {
	if h.count.Load() == 0 || !h.longPolling {
		return
	}
	var woken []*parked
	h.mu.Lock()
	for _, p := range h.queues[parkedAt{topic, queueID}] {
		if p.offset < maxOffset && p.filter.matches(tagsCode) {
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
	for p := range h.conns[c] {
		h.remove(p)
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
	for i, other := range list {
		if other == p {
			list[i] = list[len(list)-1]
			list[len(list)-1] = nil
			list = list[:len(list)-1]
			break
		}
	}
	if len(list) == 0 {
		delete(h.queues, key)
	} else {
		h.queues[key] = list
	}
	conn := h.conns[p.peer.conn]
	delete(conn, p)
	if len(conn) == 0 {
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
