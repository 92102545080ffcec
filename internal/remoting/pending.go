package remoting

import "time"

// slot is one call that waits for its response.
type slot struct {
	done     Completion // nil: the slot is free
	deadline time.Time  // zero: none
	// end is where the request ends in the stream of bytes written, 0 while it
	// is not queued.
	end    uint64
	stop   func() bool // ends the watch on the context, may be nil
	opaque int32
}

// table finds pending calls by their opaque. An opaque's low bits are its place,
// so that finding it is one comparison; opaques whose place is taken are skipped.
// Its Conn's mu guards it.
type table struct {
	slots []slot // a power of two, at most half of them taken
	count int
	last  int32
}

const minSlots = 16

// add takes a slot and gives the call its opaque.
func (t *table) add(s slot) int32 {
	if 2*(t.count+1) > len(t.slots) {
		t.grow()
	}
	mask := int32(len(t.slots) - 1)
	for {
		t.skip()
		if at := &t.slots[t.last&mask]; at.done == nil {
			s.opaque = t.last
			*at = s
			t.count++
			return t.last
		}
	}
}

// skip uses up an opaque for a request that is not answered.
func (t *table) skip() int32 {
	t.last = (t.last + 1) & 0x7fffffff
	return t.last
}

func (t *table) grow() {
	old := t.slots
	t.slots = make([]slot, max(minSlots, 2*len(old)))
	mask := int32(len(t.slots) - 1)
	for _, s := range old {
		if s.done != nil {
			t.slots[s.opaque&mask] = s // distinct modulo half the size, so distinct
		}
	}
}

// find returns the slot of a pending call, nil when there is none. It is valid
// until the next add.
func (t *table) find(opaque int32) *slot {
	if len(t.slots) == 0 {
		return nil
	}
	s := &t.slots[opaque&int32(len(t.slots)-1)]
	if s.done == nil || s.opaque != opaque {
		return nil
	}
	return s
}

// take removes a pending call. Whoever takes a call completes it.
func (t *table) take(opaque int32) (slot, bool) {
	s := t.find(opaque)
	if s == nil {
		return slot{}, false
	}
	taken := *s
	*s = slot{}
	t.count--
	return taken, true
}

// takeAll removes every pending call.
func (t *table) takeAll() []slot {
	all := make([]slot, 0, t.count)
	for _, s := range t.slots {
		if s.done != nil {
			all = append(all, s)
		}
	}
	t.slots, t.count = nil, 0
	return all
}

// takeExpired removes the calls whose deadline is not after now, and returns
// the earliest deadline of the others, zero when there is none.
func (t *table) takeExpired(now time.Time) (expired []slot, next time.Time) {
	for i := range t.slots {
		s := &t.slots[i]
		switch {
		case s.done == nil || s.deadline.IsZero():
		case !s.deadline.After(now):
			expired = append(expired, *s)
			*s = slot{}
			t.count--
		case next.IsZero() || s.deadline.Before(next):
			next = s.deadline
		}
	}
	return expired, next
}
