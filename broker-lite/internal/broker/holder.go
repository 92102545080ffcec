package broker

import (
	"strings"
	"time"
)

// holder keeps the pulls that wait for a message (PullRequestHoldService).
type holder struct {
	waitroom[*parked]
	longPolling func() bool
	maxOffset   func(topic string, queueID int32) int64
	reset       func(group, topic string, queueID int32) bool          // see moved
	record      func(topic string, queueID int32, offset int64) []byte // nil when it cannot be read
	queues      map[parkedAt][]*parked                                 // the room's mu guards it
}

// parkedAt names the queue that a pull waits for.
type parkedAt struct {
	topic   string
	queueID int32
}

// parked is a pull that waits.
type parked struct {
	pull
	place
}

// size is about what a pull holds while it is parked, in bytes.
func (pl *pull) size() int { return 512 + 4*len(pl.filter.codes) + pl.filter.holds }

func newHolder(b *Broker) *holder {
	h := &holder{
		longPolling: func() bool { return b.conf().LongPolling }, maxOffset: b.store.MaxOffset, reset: b.meta.Offsets.HasReset, record: b.recordAt,
		queues: map[parkedAt][]*parked{},
	}
	h.open(h.unlist, func(list []*parked) {
		b.spawn(func() {
			for _, p := range list {
				b.resumePull(&p.pull)
			}
		})
	})
	return h
}

// park keeps a copy of a pull that found nothing; false: too many of its
// connection wait already. It is called on the reader of the pull's connection.
func (h *holder) park(pl *pull) bool {
	p := &parked{*pl, place{conn: pl.peer.conn, deadline: time.Now().Add(pl.suspend), holds: pl.size()}}
	p.group, p.topic = strings.Clone(pl.group), strings.Clone(pl.topic) // not the whole header
	if !h.enter(p) {
		return false
	}
	h.alarm.Set(p.deadline)

	// A message may have come between the read and here, or a reset; it found no
	// pull to wake.
	due := h.longPolling() && h.maxOffset(pl.topic, pl.queueID) > pl.offset || h.reset(pl.group, pl.topic, pl.queueID)
	if due && h.take(p) {
		h.resume(p)
	}
	return true
}

// enter puts a pull in, if its connection has room for it.
func (h *holder) enter(p *parked) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.hasRoom(&p.place) {
		return false
	}
	key := parkedAt{p.topic, p.queueID}
	h.queues[key] = listed(h.queues[key], p)
	h.add(p)
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
	h.resume(append(woken, h.chosen(choosy, topic, queueID, maxOffset-1)...)...)
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
	h.resume(woken...)
}

// unlist takes a pull out of its queue's list. mu is held.
func (h *holder) unlist(p *parked) {
	key := parkedAt{p.topic, p.queueID}
	if list := unlisted(h.queues[key], p); len(list) == 0 {
		delete(h.queues, key)
	} else {
		h.queues[key] = list
	}
}

// ParkedPulls is how many pulls wait for a message.
func (b *Broker) ParkedPulls() int { return int(b.holder.count.Load()) }
