package broker

import (
	"container/heap"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/broker-lite/internal/pop"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// left is how much longer a request may wait.
func (pp *popping) left() time.Duration { return time.Until(pp.until) }

// popWaits keeps the pops and notifications that wait for a message
// (PopLongPollingService). One leaves it once: woken, timed out, or dropped with its
// connection. A message wakes one pop and one notification of each group; the pop
// wakes the next when it leaves something.
type popWaits struct {
	most   int                // of all (maxPopPollingSize)
	perKey int                // of one topic, group and queue (popPollingSize)
	resume func([]*popWaiter) // goes on elsewhere; must not block
	still  func(*popping) bool
	alarm  *alarm.Alarm
	count  atomic.Int64 // so that arrivals are cheap without

	mu        sync.Mutex                     // guards the following
	topics    map[string]map[string]*popList // by topic and group
	retries   map[string]*popList            // by retry topic
	conns     map[*remoting.Conn]*popConn
	deadlines popHeap
}

// popList are the waiters of one topic and group.
type popList struct {
	topic, group string
	waiters      []*popWaiter
	pops         map[int32]int // how many, by the queue they ask for
}

// popConn are the waiters of one connection.
type popConn struct {
	waiters map[*popWaiter]struct{}
	bytes   int
}

// popWaiter is a request that waits. popWaits' mu guards what follows the request.
type popWaiter struct {
	popping
	gone bool
	at   int // in deadlines
	in   int // in its list
}

// size is about what a waiter holds, in bytes.
func (w *popWaiter) size() int {
	return 1024 + 4*len(w.filter.codes) + w.filter.holds + len(w.h.AttemptID)
}

func newPopWaits(b *Broker) *popWaits {
	w := &popWaits{
		most: b.config.PopMostWaiting, perKey: b.config.PopMostWaitingPerQueue, still: b.popAvailable,
		topics: map[string]map[string]*popList{}, retries: map[string]*popList{}, conns: map[*remoting.Conn]*popConn{},
	}
	w.resume = func(list []*popWaiter) {
		b.spawn(func() {
			for _, w := range list {
				if w.notify {
					b.notification(&w.popping)
				} else {
					b.pop(&w.popping, false)
				}
			}
		})
	}
	w.alarm = alarm.Start(0, w.expire)
	return w
}

// park keeps a copy of a request that found nothing; false: too many wait already.
func (w *popWaits) park(pp *popping) bool {
	waiter := &popWaiter{popping: *pp}
	h := &waiter.h // of the header only what is still needed
	h.Topic, h.ConsumerGroup, h.AttemptID = strings.Clone(h.Topic), strings.Clone(h.ConsumerGroup), strings.Clone(h.AttemptID)
	h.ExpressionType, h.Expression, h.BrokerName = "", "", ""
	if !w.enter(waiter) {
		return false
	}
	w.alarm.Set(waiter.until)

	// A message may have come between the read and here; its arrival found no
	// request to wake.
	if w.still(pp) && w.take(waiter) {
		w.resume([]*popWaiter{waiter})
	}
	return true
}

// enter puts a request in, if there is room for it.
func (w *popWaits) enter(p *popWaiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	conn := w.conns[p.peer.conn]
	groups := w.topics[p.h.Topic]
	list := groups[p.h.ConsumerGroup]
	switch {
	case len(w.deadlines) >= w.most,
		conn != nil && conn.bytes+p.size() > maxWaiting,
		list != nil && !p.notify && list.pops[p.h.QueueID] > w.perKey:
		return false
	}
	if conn == nil {
		conn = &popConn{waiters: map[*popWaiter]struct{}{}}
		w.conns[p.peer.conn] = conn
	}
	if groups == nil {
		groups = map[string]*popList{}
		w.topics[p.h.Topic] = groups
	}
	if list == nil {
		list = &popList{topic: p.h.Topic, group: p.h.ConsumerGroup, pops: map[int32]int{}}
		groups[p.h.ConsumerGroup] = list
		for _, retry := range p.retry {
			w.retries[retry] = list
		}
	}
	conn.waiters[p] = struct{}{}
	conn.bytes += p.size()
	p.in = len(list.waiters)
	list.waiters = append(list.waiters, p)
	if !p.notify {
		list.pops[p.h.QueueID]++
	}
	heap.Push(&w.deadlines, p)
	w.count.Add(1)
	return true
}

// arrived wakes requests that a message is for. It is called on the store's appender.
func (w *popWaits) arrived(topic string, queueID int32, tagsCode int64) {
	if w.count.Load() == 0 {
		return
	}
	var woken []*popWaiter
	w.mu.Lock()
	for _, list := range w.topics[topic] {
		woken = w.wake(woken, list, func(p *popWaiter) bool {
			return (p.h.QueueID < 0 || p.h.QueueID == queueID) && (p.notify || p.filter.matches(tagsCode))
		})
	}
	if list := w.retries[topic]; list != nil {
		woken = w.wake(woken, list, func(*popWaiter) bool { return true })
	}
	w.mu.Unlock()
	if len(woken) > 0 {
		w.resume(woken)
	}
}

// freed wakes requests for a queue that may have something again, from -1 on for any
// queue of the topic.
func (w *popWaits) freed(key pop.Key) {
	if w.count.Load() == 0 {
		return
	}
	w.mu.Lock()
	var woken []*popWaiter
	if list := w.topics[key.Topic][key.Group]; list != nil {
		woken = w.wake(nil, list, func(p *popWaiter) bool { return p.h.QueueID < 0 || key.Queue < 0 || p.h.QueueID == key.Queue })
	} else if list := w.retries[key.Topic]; list != nil {
		woken = w.wake(nil, list, func(*popWaiter) bool { return true })
	}
	w.mu.Unlock()
	if len(woken) > 0 {
		w.resume(woken)
	}
}

// wake takes out the first pop and the first notification that match. mu is held.
func (w *popWaits) wake(woken []*popWaiter, list *popList, match func(*popWaiter) bool) []*popWaiter {
	var first [2]*popWaiter
	for _, p := range list.waiters {
		kind := 0
		if p.notify {
			kind = 1
		}
		if first[kind] == nil && match(p) {
			first[kind] = p
		}
		if first[0] != nil && first[1] != nil {
			break
		}
	}
	for _, p := range first {
		if p != nil {
			w.remove(p)
			woken = append(woken, p)
		}
	}
	return woken
}

// waiting is how many pops wait for a topic, group and queue.
func (w *popWaits) waiting(topic, group string, queueID int32) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if list := w.topics[topic][group]; list != nil {
		return list.pops[queueID]
	}
	return 0
}

// expire answers the requests whose time is up and returns when the next one's is.
func (w *popWaits) expire(now time.Time) (next time.Time) {
	var due []*popWaiter
	w.mu.Lock()
	for len(w.deadlines) > 0 {
		p := w.deadlines[0]
		if p.until.After(now) {
			next = p.until
			break
		}
		w.remove(p)
		due = append(due, p)
	}
	w.mu.Unlock()
	if len(due) > 0 {
		w.resume(due)
	}
	return next
}

// drop forgets the requests of a connection that has closed.
func (w *popWaits) drop(c *remoting.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if conn := w.conns[c]; conn != nil {
		for p := range conn.waiters {
			w.remove(p)
		}
	}
}

// take takes one request out; false: it has left already.
func (w *popWaits) take(p *popWaiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.gone {
		return false
	}
	w.remove(p)
	return true
}

// remove takes a request out that is in. mu is held.
func (w *popWaits) remove(p *popWaiter) {
	p.gone = true
	list := w.topics[p.h.Topic][p.h.ConsumerGroup]
	last := list.waiters[len(list.waiters)-1]
	list.waiters[p.in], last.in = last, p.in
	list.waiters[len(list.waiters)-1] = nil
	list.waiters = list.waiters[:len(list.waiters)-1]
	if !p.notify {
		if list.pops[p.h.QueueID]--; list.pops[p.h.QueueID] == 0 {
			delete(list.pops, p.h.QueueID)
		}
	}
	if len(list.waiters) == 0 {
		delete(w.topics[p.h.Topic], p.h.ConsumerGroup)
		if len(w.topics[p.h.Topic]) == 0 {
			delete(w.topics, p.h.Topic)
		}
		for _, retry := range p.retry {
			delete(w.retries, retry)
		}
	}
	conn := w.conns[p.peer.conn]
	delete(conn.waiters, p)
	conn.bytes -= p.size()
	if len(conn.waiters) == 0 {
		delete(w.conns, p.peer.conn)
	}
	heap.Remove(&w.deadlines, p.at)
	w.count.Add(-1)
}

// close stops the timer. The requests go with their connections.
func (w *popWaits) close() { w.alarm.Stop() }

// popWake wakes what waits for a queue.
func (b *Broker) popWake(key pop.Key) {
	if b.arrivals.Load() {
		b.popWaits.freed(key)
	}
}

// popHeap is a container/heap by deadline.
type popHeap []*popWaiter

func (h popHeap) Len() int           { return len(h) }
func (h popHeap) Less(i, j int) bool { return h[i].until.Before(h[j].until) }

func (h popHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *popHeap) Push(x any) {
	p := x.(*popWaiter)
	p.at = len(*h)
	*h = append(*h, p)
}

// Pop implements heap.Interface.
func (h *popHeap) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return p
}
