package pop

import (
	"container/heap"
	"slices"
)

// order is what an orderly pop took of a queue (QueueLevelConsumerManager's
// OrderInfo), until all of it is acknowledged. It stays when its time is up, for the
// counts. The service's mu guards it.
type order struct {
	popTime int64
	attempt string
	offsets []int64
	untils  []int64
	counts  []int32
	acked   uint64
	lock    *message // in the heap while the queue is locked
}

// settle marks offsets as acknowledged.
func (o *order) settle(offsets []int64) {
	for _, offset := range offsets {
		if i := slices.Index(o.offsets, offset); i >= 0 {
			o.acked |= 1 << i
		}
	}
}

func (o *order) change(offsets []int64, until int64) {
	for _, offset := range offsets {
		if i := slices.Index(o.offsets, offset); i >= 0 {
			o.untils[i] = until
		}
	}
}

// next is the first offset that is not acknowledged.
func (o *order) next() int64 {
	for i, offset := range o.offsets {
		if o.acked&(1<<i) == 0 {
			return offset
		}
	}
	return o.offsets[len(o.offsets)-1] + 1
}

// done reports whether all is acknowledged.
func (o *order) done() bool { return o.next() > o.offsets[len(o.offsets)-1] }

// lockedUntil is when the last message that is not acknowledged is visible again; 0
// when all are acknowledged.
func (o *order) lockedUntil() int64 {
	until := int64(0)
	for i := range o.offsets {
		if o.acked&(1<<i) == 0 {
			until = max(until, o.untils[i])
		}
	}
	return until
}

// blocks reports whether an orderly pop has to wait. The attempt that took the
// messages gets them again: its answer was lost.
func (o *order) blocks(attempt string, now int64) bool {
	if o == nil || attempt != "" && attempt == o.attempt {
		return false
	}
	return now < o.lockedUntil()
}

// countsFor is how often messages were delivered before, when they are popped now.
func (o *order) countsFor(attempt string, offsets []int64) []int32 {
	counts := make([]int32, len(offsets))
	if o == nil {
		return counts
	}
	again := int32(1)
	if attempt != "" && attempt == o.attempt {
		again = 0
	}
	for i, offset := range offsets {
		if at := slices.Index(o.offsets, offset); at >= 0 {
			counts[i] = o.counts[at] + again
		}
	}
	return counts
}

// lock makes e's messages those that lock q.
func (t *tables) lock(q *queue, e *entry) {
	t.unlock(q)
	q.next = e.next
	q.order = &order{popTime: e.popTime, attempt: e.attempt, offsets: e.offsets, untils: e.untils, counts: e.counts, acked: e.acked}
	t.relock(q)
}

// relock sets the moment at which the lock ends.
func (t *tables) relock(q *queue) {
	t.unlock(q)
	if until := q.order.lockedUntil(); until > 0 {
		q.order.lock = &message{q: q, offset: lockOffset, until: until}
		heap.Push(&t.due, q.order.lock)
	}
}

func (t *tables) unlock(q *queue) {
	if q.order == nil || q.order.lock == nil {
		return
	}
	if q.order.lock.at >= 0 {
		heap.Remove(&t.due, q.order.lock.at)
	}
	q.order.lock = nil
}
