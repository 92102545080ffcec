package pop

import "container/heap"

// queue is a queue as a group pops it. The service's mu guards it.
type queue struct {
	key       Key
	next      int64 // the first offset that was not popped
	committed int64 // what the consumer offset was when we last looked
	settled   int64 // what it can be: what is invisible before is in the journal
	epoch     int   // counts kindMove: older settlements do not count
	busy      bool  // claimed
	missed    bool  // somebody found it busy or full
	messages  map[int64]*message
	order     *order
}

// message is an invisible message; or, with an offset of -1, the lock of an orderly
// queue. The service's mu guards it.
type message struct {
	q       *queue
	offset  int64
	popTime int64
	until   int64
	at      int // in the heap; -1: it is being revived
}

// lockOffset is the offset of a lock.
const lockOffset = -1

// tables are the state that entries change. They belong to who holds the service's
// mu, and to Open before.
type tables struct {
	queues map[Key]*queue
	due    dueHeap // all messages that are not being revived, and locks
	total  int     // messages
}

func (t *tables) get(key Key) *queue {
	q := t.queues[key]
	if q == nil {
		q = &queue{key: key, messages: map[int64]*message{}}
		t.queues[key] = q
	}
	return q
}

// idle reports whether all that is known of q is its consumer offset.
func (q *queue) idle() bool {
	return !q.busy && len(q.messages) == 0 && q.order == nil && q.next == q.committed && q.settled == q.committed
}

// apply changes the tables. Applied once more after what came behind it, an entry
// does no harm when what came behind it is applied again too.
func (t *tables) apply(e *entry) *queue {
	q := t.get(e.key)
	switch e.kind {
	case kindPop:
		q.next = e.next
		for _, offset := range e.offsets {
			t.remove(q, offset)
			t.add(q, &message{q: q, offset: offset, popTime: e.popTime, until: e.until})
		}
	case kindSettle:
		for _, offset := range e.offsets {
			if m := q.messages[offset]; m != nil && m.popTime == e.popTime {
				t.remove(q, offset)
			}
		}
	case kindChange:
		if m := q.find(e.offsets, e.popTime); m != nil {
			m.popTime, m.until = e.newTime, e.until
			t.fix(m)
		}
	case kindMove:
		t.move(q, e.next)
	case kindOrder:
		t.lock(q, e)
	case kindOrderSettle:
		if q.order != nil && q.order.popTime == e.popTime {
			q.order.settle(e.offsets)
			q.next = q.order.next()
			t.relock(q)
			if q.order.done() {
				q.order = nil
			}
		}
	case kindOrderChange:
		if q.order != nil && q.order.popTime == e.popTime {
			q.order.change(e.offsets, e.until)
			t.relock(q)
		}
	}
	return q
}

// find returns the message of the one offset, if that delivery is the last.
func (q *queue) find(offsets []int64, popTime int64) *message {
	if len(offsets) != 1 {
		return nil
	}
	m := q.messages[offsets[0]]
	if m == nil || m.popTime != popTime {
		return nil
	}
	return m
}

func (t *tables) add(q *queue, m *message) {
	q.messages[m.offset] = m
	t.total++
	heap.Push(&t.due, m)
}

func (t *tables) remove(q *queue, offset int64) {
	m := q.messages[offset]
	if m == nil {
		return
	}
	delete(q.messages, offset)
	t.total--
	if m.at >= 0 {
		heap.Remove(&t.due, m.at)
	}
}

// fix gives a message its place after its time has changed.
func (t *tables) fix(m *message) {
	if m.at >= 0 {
		heap.Fix(&t.due, m.at)
	} else {
		heap.Push(&t.due, m)
	}
}

// move lets q go on from an offset. What is invisible from there on comes again.
func (t *tables) move(q *queue, next int64) {
	q.next = next
	q.epoch++
	for offset := range q.messages {
		if offset >= next {
			t.remove(q, offset)
		}
	}
	t.unlock(q)
	q.order = nil
}

// dueHeap is a container/heap by when messages are visible again.
type dueHeap []*message

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	if h[i].until != h[j].until {
		return h[i].until < h[j].until
	}
	return h[i].offset < h[j].offset
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	m := x.(*message)
	m.at = len(*h)
	*h = append(*h, m)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	m := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	m.at = -1
	return m
}
