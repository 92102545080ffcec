package pop

import "slices"

// begin locks mu for a settlement; false: the journal cannot be written, and mu is
// free.
func (s *Service) begin() bool {
	s.mu.Lock()
	if s.journal.failing {
		s.free()
		return false
	}
	return true
}

// end has done called when all that was entered is stored, and frees mu.
func (s *Service) end(done func(error)) {
	s.after(done)
	s.free()
	s.write()
}

// Ack takes messages out that were popped at popTime. Those that were not, or were
// popped again or revived since, do not count. done is called when it is stored, on
// any goroutine.
func (s *Service) Ack(key Key, popTime int64, offsets []int64, done func(error)) {
	if !s.begin() {
		done(ErrUnavailable)
		return
	}
	if q := s.queues[key]; q != nil {
		list := slices.DeleteFunc(slices.Clone(offsets), func(offset int64) bool {
			m := q.messages[offset]
			return m == nil || m.popTime != popTime
		})
		if len(list) > 0 {
			slices.Sort(list)
			s.enter(&entry{kind: kindSettle, key: key, popTime: popTime, offsets: slices.Compact(list)}, nil)
			if q.missed && !q.busy {
				s.wake(q)
			}
		}
	}
	s.end(done)
}

// Change lets a message that was popped at popTime be visible again after invisible
// ms from now on. done gets the pop time of its receipt from now on. A message that
// is not invisible stays as it is: it was acknowledged, or comes again by itself.
func (s *Service) Change(key Key, popTime, offset, invisible int64, done func(newTime int64, err error)) {
	now := s.now()
	if !s.begin() {
		done(now, ErrUnavailable)
		return
	}
	newTime := now
	if q := s.queues[key]; q != nil {
		if m := q.find([]int64{offset}, popTime); m != nil {
			newTime = max(now, popTime+1) // the old receipt is none any more
			s.enter(&entry{kind: kindChange, key: key, popTime: popTime, newTime: newTime, until: newTime + bounded(invisible), offsets: []int64{offset}}, nil)
		}
	}
	s.end(func(err error) { done(newTime, err) })
}

// bounded keeps a client's time within limits.
func bounded(invisible int64) int64 { return min(max(invisible, 0), MaxInvisible) }

// ordered returns the queue that a pop has locked with what is not acknowledged from
// offset on; nil when there is none. mu is held.
func (s *Service) ordered(key Key, popTime, offset int64) *queue {
	q := s.queues[key]
	if q == nil || q.order == nil || q.order.popTime != popTime || offset < q.next {
		return nil
	}
	return q
}

// AckOrdered acknowledges a message of an orderly pop. done gets false when the queue
// is locked by that pop, but not with that message.
func (s *Service) AckOrdered(key Key, popTime, offset int64, done func(known bool, err error)) {
	if !s.begin() {
		done(true, ErrUnavailable)
		return
	}
	known := true
	if q := s.ordered(key, popTime, offset); q != nil {
		if known = slices.Contains(q.order.offsets, offset); known {
			s.enter(&entry{kind: kindOrderSettle, key: key, popTime: popTime, offsets: []int64{offset}}, nil)
			if !q.order.blocks("", s.now()) {
				s.wake(q)
			}
		}
	}
	s.end(func(err error) { done(known, err) })
}

// ChangeOrdered lets a message of an orderly pop be visible again after invisible ms
// from now on. done gets that moment, and false when it was acknowledged, or popped
// again.
func (s *Service) ChangeOrdered(key Key, popTime, offset, invisible int64, done func(until int64, changed bool, err error)) {
	until, changed := s.now()+bounded(invisible), false
	if !s.begin() {
		done(until, false, ErrUnavailable)
		return
	}
	if q := s.ordered(key, popTime, offset); q != nil && slices.Contains(q.order.offsets, offset) {
		changed = true
		s.enter(&entry{kind: kindOrderChange, key: key, popTime: popTime, until: until, offsets: []int64{offset}}, nil)
	}
	s.end(func(err error) { done(until, changed, err) })
}
