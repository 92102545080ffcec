package native

import (
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// handOverTime is how long handlers of an ordered queue may go on when the queue
// becomes another member's, before their ctx ends (RebalancePushImpl.
// UNLOCK_DELAY_TIME_MILLS). The queue stays locked until they have returned.
const handOverTime = 20 * time.Second

// order is what a queue has when its messages are delivered in order: one of each
// lane at a time. Owned by the queue's goroutine.
type order struct {
	lock  lock
	lanes map[string]*lane
	held  int // slots in slotHeld
	// out are the messages that are with a handler, and stale those whose window is
	// given up: their ctx has ended, and nothing else is delivered before they are back,
	// lest two handlers of one lane run at the same time.
	out, stale map[*message.Delivery]struct{}
	one        [1]*message.Delivery // room to deliver one in
}

// lane is the messages of one key that are not finished, by their offsets in order.
// The first is out, being settled or waiting; the others are held.
type lane struct {
	key     string
	offsets []int64
}

func newOrder() *order {
	return &order{
		lanes: make(map[string]*lane),
		out:   make(map[*message.Delivery]struct{}), stale: make(map[*message.Delivery]struct{}),
	}
}

// lineUp puts messages that were pulled at the ends of their lanes, and delivers
// those that have nothing before them.
func (q *queue) lineUp(ds []*message.Delivery) {
	for _, d := range ds {
		key := ""
		if q.s.cfg.OrderKey != nil {
			key = q.s.cfg.OrderKey(d)
		}
		l := q.ord.lanes[key]
		if l == nil {
			l = &lane{key: key}
			q.ord.lanes[key] = l
		}
		s := q.win.find(d.QueueOffset)
		s.state, s.lane = slotHeld, l
		q.ord.held++
		l.offsets = append(l.offsets, d.QueueOffset)
		if len(l.offsets) == 1 {
			q.deliverFirst(l)
		}
	}
}

// deliverFirst delivers the first message of a lane, unless the queue is given up,
// has to be locked again, or its old messages are still with handlers. All of these
// come back to it.
func (q *queue) deliverFirst(l *lane) {
	s := q.win.find(l.offsets[0])
	if s == nil || s.state != slotHeld || q.life.Err() != nil || len(q.ord.stale) > 0 || !q.mine(time.Now()) {
		return
	}
	q.ord.held--
	s.state = slotOut
	q.deliverOne(s.d)
}

// deliverOne hands a message of a slot in slotOut to the sink.
func (q *queue) deliverOne(d *message.Delivery) {
	if q.ord == nil {
		q.s.sink.Deliver(q.work, q, []*message.Delivery{d})
		return
	}
	q.ord.out[d] = struct{}{}
	q.ord.one[0] = d
	q.s.sink.Deliver(q.work, q, q.ord.one[:])
	q.ord.one[0] = nil
}

// advance takes the first message off a lane, which is finished.
func (q *queue) advance(l *lane) {
	if len(l.offsets) == 1 {
		delete(q.ord.lanes, l.key)
		return
	}
	l.offsets = l.offsets[1:]
	q.deliverFirst(l)
}

// returned notes that a handler is through with a message, and reports whether what
// it says counts.
func (q *queue) returned(d *message.Delivery) bool {
	if _, ok := q.ord.stale[d]; ok {
		delete(q.ord.stale, d)
		if len(q.ord.stale) == 0 {
			for _, l := range q.ord.lanes {
				q.deliverFirst(l)
			}
		}
		return false
	}
	_, ok := q.ord.out[d]
	delete(q.ord.out, d)
	return ok && q.work.Err() == nil
}

// suspension is how long a message that failed keeps its lane waiting.
func (q *queue) suspension(v driver.Verdict) time.Duration {
	switch {
	case v.Delay > 0:
		return v.Delay
	case v.Level > 0:
		return q.s.c.levels.Delay(v.Level)
	}
	return q.s.cfg.Suspend
}

// forgetWork gives up what was taken from the queue: the ctx of its handlers ends,
// and what they say does not count.
func (q *queue) forgetWork() {
	q.endWork()
	q.win, q.waiting = window{}, 0
	q.pull.forget()
	q.committed = -1
	if q.ord == nil {
		return
	}
	for d := range q.ord.out {
		q.ord.stale[d] = struct{}{}
	}
	clear(q.ord.out)
	clear(q.ord.lanes)
	q.ord.held = 0
}

// atWork is how many messages are delivered or being settled.
func (q *queue) atWork() int {
	n := q.win.live - q.waiting
	if q.ord != nil {
		n -= q.ord.held
	}
	return n
}

// handlersDone reports that no handler of an ordered queue is at work.
func (q *queue) handlersDone() bool {
	return q.ord == nil || len(q.ord.out)+len(q.ord.stale) == 0
}
