package pop

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// ErrUnavailable says that the journal cannot be written at the moment: nothing was
// popped or acknowledged.
var ErrUnavailable = errors.New("POP's journal cannot be written")

// recordBytes is about how much one record of the journal holds at most.
const recordBytes = 32 << 10

// journal writes entries: one append at a time, with all that has gathered
// meanwhile. The service's mu guards it, but for append, which belongs to the append
// on its way.
type journal struct {
	waiting  []item
	writing  []item // in the append on its way
	inFlight bool
	failing  bool       // the last append failed: nothing new is taken
	end      int64      // the offset behind the last record that is stored
	idle     *sync.Cond // of mu: inFlight has become false
	append   store.Append
}

// item is an entry on its way, or something that waits for those before it.
type item struct {
	data  []byte      // empty: nothing is to be written
	q     *queue      // unless nil: its offset may be committed when the item is stored
	next  int64       // that offset
	epoch int         // of q, then
	done  func(error) // unless nil
}

// enter applies an entry and has it written. mu is held; write must be called when
// it is free.
func (s *Service) enter(e *entry, done func(error)) {
	q := s.apply(e)
	it := item{data: e.append(nil), q: q, next: q.next, epoch: q.epoch, done: done}
	if e.kind == kindMove {
		it.q = nil // the offset is somebody else's
	}
	s.journal.waiting = append(s.journal.waiting, it)
	s.change()
}

// after has done called when all that was entered is stored. mu is held; write must
// be called when it is free.
func (s *Service) after(done func(error)) {
	s.journal.waiting = append(s.journal.waiting, item{done: done})
}

// change has the state written some time. mu is held.
func (s *Service) change() {
	if !s.changed {
		s.changed = true
		s.saveAt = time.Now().Add(s.saveGap)
		if s.saver != nil {
			s.saver.Set(s.saveAt)
		}
	}
}

// write starts an append unless one is on its way. mu must be free.
func (s *Service) write() {
	for {
		s.mu.Lock()
		j := &s.journal
		if j.inFlight || len(j.waiting) == 0 {
			s.mu.Unlock()
			return
		}
		n, body := 0, []byte(nil)
		for n < len(j.waiting) && (n == 0 || len(body)+len(j.waiting[n].data) <= recordBytes) {
			body = append(body, j.waiting[n].data...)
			n++
		}
		j.writing = append(j.writing[:0], j.waiting[:n]...)
		j.waiting = append(j.waiting[:0], j.waiting[n:]...)
		j.inFlight = true
		s.mu.Unlock()
		if len(body) > 0 {
			s.append(body)
			return
		}
		s.stored(store.AppendResult{}, false)
	}
}

// append stores a record of the journal.
func (s *Service) append(body []byte) {
	r := protocol.Record{Topic: s.o.Journal, Body: body, BornTimestamp: s.now(), BornHost: s.o.StoreHost, StoreHost: s.o.StoreHost}
	records, err := protocol.AppendRecord(nil, &r)
	if err != nil {
		s.Appended(store.AppendResult{Err: fmt.Errorf("encode an entry: %w", err)})
		return
	}
	s.journal.append = store.Append{Topic: r.Topic, Records: records, TagsCodes: []int64{0}, Own: true, Done: s}
	s.o.Store.Append(&s.journal.append)
}

// Appended implements store.Completion for the journal.
func (s *Service) Appended(r store.AppendResult) {
	s.stored(r, true)
	if r.Err == nil {
		s.write()
	}
}

// stored ends an append, or what had none.
func (s *Service) stored(r store.AppendResult, record bool) {
	s.mu.Lock()
	j := &s.journal
	items := append([]item(nil), j.writing...)
	if r.Err != nil {
		for i := range j.writing {
			j.writing[i].done = nil
		}
		j.waiting = append(j.writing, j.waiting...)
		j.writing = nil
		j.failing = true
	} else if record {
		j.failing = false
		j.end = r.QueueOffset + 1
	}
	j.inFlight = false
	if r.Err == nil {
		for i := range items {
			s.settle(&items[i])
		}
	}
	clear(j.writing)
	j.idle.Broadcast()
	s.free()
	if r.Err != nil {
		s.o.Logger.Error("POP's journal is not written; it is tried again", "entries", len(items), "after", retryAfter, "err", r.Err)
		s.saver.Set(time.Now().Add(retryAfter))
	}
	for _, it := range items {
		if it.done != nil {
			it.done(r.Err)
		}
	}
}

// settle notes that an offset may be committed. mu is held.
func (s *Service) settle(it *item) {
	if it.q == nil || it.epoch != it.q.epoch {
		return
	}
	it.q.settled = it.next
	if it.next != it.q.committed || it.q.idle() {
		s.dirty[it.q] = struct{}{}
		s.saver.Set(time.Now().Add(settleDelay))
	}
}
