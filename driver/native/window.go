package native

import (
	"sort"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// window is what was taken from one queue and is not finished, in offset order:
// a ring that grows at its end and is cut off at its front. The offset to commit
// is the front's, so nothing unfinished is ever passed.
//
// Owned by the queue's goroutine.
type window struct {
	ring  []slot // its length is 0 or a power of two
	head  int    // place of the front in ring
	n     int    // slots in use, finished ones behind the front included
	live  int    // slots that are not finished
	bytes int64  // body bytes of the live slots
}

// slotState is how far a message has come.
type slotState uint8

const (
	slotDone     slotState = iota // finished; waits for those before it
	slotOut                       // delivered, not settled
	slotSettling                  // settled; the broker is being told
	slotWaiting                   // stays here and is delivered again when due
	slotHeld                      // not delivered yet: one of its lane is before it
)

// slot is one message of a window.
type slot struct {
	offset   int64
	size     int64
	physical int64 // its place in the broker's commit log
	state    slotState
	d        *message.Delivery // the copy that is out; another one's settlement does not count
	rare     *rarity           // nil for most
	lane     *lane             // of a message that is delivered in order
}

// rarity is what few messages need.
type rarity struct {
	raw  []byte      // the body as stored, when the delivered one was decompressed
	due  time.Time   // slotWaiting: when to go on
	then func(*slot) // slotWaiting: what to do then, instead of delivering it again; may be nil
}

// extra returns the slot's rarity, made when needed.
func (s *slot) extra() *rarity {
	if s.rare == nil {
		s.rare = new(rarity)
	}
	return s.rare
}

func (w *window) at(i int) *slot { return &w.ring[(w.head+i)&(len(w.ring)-1)] }

// push adds the message with the highest offset so far.
func (w *window) push(s slot) *slot {
	if w.n == len(w.ring) {
		w.grow()
	}
	at := w.at(w.n)
	*at = s
	w.n++
	w.live++
	w.bytes += s.size
	return at
}

func (w *window) grow() {
	next := make([]slot, max(64, 2*len(w.ring)))
	for i := range w.n {
		next[i] = *w.at(i)
	}
	w.ring, w.head = next, 0
}

// find returns the unfinished slot of an offset, nil when there is none.
func (w *window) find(offset int64) *slot {
	if w.n == 0 {
		return nil
	}
	// Offsets mostly follow each other without gaps.
	i := offset - w.at(0).offset
	if i < 0 {
		return nil
	}
	if i >= int64(w.n) || w.at(int(i)).offset != offset {
		k := sort.Search(w.n, func(k int) bool { return w.at(k).offset >= offset })
		if k == w.n || w.at(k).offset != offset {
			return nil
		}
		i = int64(k)
	}
	s := w.at(int(i))
	if s.state == slotDone {
		return nil
	}
	return s
}

// finish marks a slot as done and drops what is done from the front.
func (w *window) finish(s *slot) {
	if s.state == slotDone {
		return
	}
	w.live--
	w.bytes -= s.size
	*s = slot{offset: s.offset} // lets go of the delivery
	for w.n > 0 && w.at(0).state == slotDone {
		w.head = (w.head + 1) & (len(w.ring) - 1)
		w.n--
	}
	if w.n == 0 && len(w.ring) > 1<<12 {
		*w = window{} // a burst's ring is not kept
	}
}

// low is the smallest unfinished offset, or next when everything is finished.
func (w *window) low(next int64) int64 {
	if w.n == 0 {
		return next
	}
	return w.at(0).offset
}

// span is the distance from the first unfinished offset to the last one taken.
func (w *window) span() int64 {
	if w.n == 0 {
		return 0
	}
	return w.at(w.n-1).offset - w.at(0).offset
}

// each calls f with every unfinished slot in offset order; f must not finish any.
func (w *window) each(f func(*slot)) {
	for i := range w.n {
		if s := w.at(i); s.state != slotDone {
			f(s)
		}
	}
}
