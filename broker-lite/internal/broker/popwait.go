package broker

import (
	"strings"

	"github.com/rocketkit/rocketkit/broker-lite/internal/pop"
)

// popWaits keeps the pops and notifications that wait for a message
// (PopLongPollingService). A message wakes one pop and one notification of each group;
// the pop wakes the next when it leaves something.
type popWaits struct {
	waitroom[*popWaiter]
	most   int // of all (maxPopPollingSize)
	perKey int // of one topic, group and queue (popPollingSize)
	still  func(*popping) bool

	// The room's mu guards the following.
	topics  map[string]map[string]*popList // by topic and group
	retries map[string]*popList            // by retry topic
}

// popList are the waiters of one topic and group.
type popList struct {
	waiters []*popWaiter
	pops    map[int32]int // how many, by the queue they ask for
}

// popWaiter is a request that waits.
type popWaiter struct {
	popping
	place
}

// size is about what a request holds while it waits, in bytes.
func (pp *popping) size() int {
	return 1024 + 4*len(pp.filter.codes) + pp.filter.holds + len(pp.h.AttemptID)
}

func newPopWaits(b *Broker) *popWaits {
	w := &popWaits{
		most: b.config.PopMostWaiting, perKey: b.config.PopMostWaitingPerQueue, still: b.popAvailable,
		topics: map[string]map[string]*popList{}, retries: map[string]*popList{},
	}
	w.open(w.unlist, func(list []*popWaiter) {
		b.spawn(func() {
			for _, w := range list {
				b.resumePop(&w.popping)
			}
		})
	})
	return w
}

// park keeps a copy of a request that found nothing; false: too many wait already.
func (w *popWaits) park(pp *popping) bool {
	waiter := &popWaiter{*pp, place{conn: pp.peer.conn, deadline: pp.until, holds: pp.size()}}
	h := &waiter.h // of the header only what is still needed
	h.Topic, h.ConsumerGroup, h.AttemptID = strings.Clone(h.Topic), strings.Clone(h.ConsumerGroup), strings.Clone(h.AttemptID)
	h.ExpressionType, h.Expression, h.BrokerName = "", "", ""
	if !w.enter(waiter) {
		return false
	}
	w.alarm.Set(waiter.deadline)

	// A message may have come between the read and here; its arrival found no
	// request to wake.
	if w.still(pp) && w.take(waiter) {
		w.resume(waiter)
	}
	return true
}

// enter puts a request in, if there is room for it.
func (w *popWaits) enter(p *popWaiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	groups := w.topics[p.h.Topic]
	list := groups[p.h.ConsumerGroup]
	switch {
	case len(w.deadlines) >= w.most, !w.hasRoom(&p.place), list != nil && !p.notify && list.pops[p.h.QueueID] > w.perKey:
		return false
	}
	if groups == nil {
		groups = map[string]*popList{}
		w.topics[p.h.Topic] = groups
	}
	if list == nil {
		list = &popList{pops: map[int32]int{}}
		groups[p.h.ConsumerGroup] = list
		for _, retry := range p.retry {
			w.retries[retry] = list
		}
	}
	list.waiters = listed(list.waiters, p)
	if !p.notify {
		list.pops[p.h.QueueID]++
	}
	w.add(p)
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
	w.resume(woken...)
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
	w.resume(woken...)
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

// unlist takes a request out of its group's list. mu is held.
func (w *popWaits) unlist(p *popWaiter) {
	list := w.topics[p.h.Topic][p.h.ConsumerGroup]
	list.waiters = unlisted(list.waiters, p)
	if !p.notify {
		if list.pops[p.h.QueueID]--; list.pops[p.h.QueueID] == 0 {
			delete(list.pops, p.h.QueueID)
		}
	}
	if len(list.waiters) > 0 {
		return
	}
	delete(w.topics[p.h.Topic], p.h.ConsumerGroup)
	if len(w.topics[p.h.Topic]) == 0 {
		delete(w.topics, p.h.Topic)
	}
	for _, retry := range p.retry {
		delete(w.retries, retry)
	}
}

// popWake wakes what waits for a queue.
func (b *Broker) popWake(key pop.Key) {
	if b.arrivals.Load() {
		b.popWaits.freed(key)
	}
}
