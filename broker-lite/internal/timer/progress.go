package timer

import "sync/atomic"

// Progress says how far a Service has come.
type Progress struct {
	Filed     int64 // messages that it took over since it was opened
	Delivered int64 // messages that it delivered since
	Next      int64 // offset in the timer queue of the first that it has not taken over
	Due       int64 // when the first in memory is due, ms since 1970; 0: none is there
}

// tally is a Progress that others read while the alarm goes on.
type tally struct{ filed, delivered, next, due, held atomic.Int64 }

// count notes where a ring ends.
func (s *Service) count() {
	due := int64(0)
	if len(s.queue) > 0 {
		due = s.queue[0].at()
	}
	s.tally.next.Store(s.next)
	s.tally.due.Store(due)
	s.tally.held.Store(int64(len(s.queue)))
}

// Progress is how far the service had come when the alarm last rang.
func (s *Service) Progress() Progress {
	return Progress{Filed: s.tally.filed.Load(), Delivered: s.tally.delivered.Load(), Next: s.tally.next.Load(), Due: s.tally.due.Load()}
}
