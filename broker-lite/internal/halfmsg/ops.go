package halfmsg

import (
	"strconv"
	"sync"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

const (
	// opTag marks records of the op queue that say which half messages have ended.
	opTag = "d"
	// opsPerRecord bounds how many one record says.
	opsPerRecord = 400
)

// opItem is an offset of the half queue that is done with.
type opItem struct {
	offset int64
	half   *half       // what ends with it; nil when it was only appended again
	done   func(error) // nil when nobody waits
}

// opWriter writes the op queue: one record at a time, with all that has gathered
// meanwhile. It is the completion of its appends.
type opWriter struct {
	s *Service

	mu       sync.Mutex // guards the following
	waiting  []opItem
	writing  []opItem // in the append that is on its way
	inFlight bool
	idle     *sync.Cond
	append   store.Append
}

// add has an end written. It does not block.
func (w *opWriter) add(it opItem) {
	w.mu.Lock()
	w.waiting = append(w.waiting, it)
	w.mu.Unlock()
	w.write()
}

// write starts an append unless one is on its way.
func (w *opWriter) write() {
	w.mu.Lock()
	if w.inFlight || len(w.waiting) == 0 {
		w.mu.Unlock()
		return
	}
	n := min(len(w.waiting), opsPerRecord)
	w.writing = append(w.writing[:0], w.waiting[:n]...)
	w.waiting = append(w.waiting[:0], w.waiting[n:]...)
	w.inFlight = true
	var body []byte
	for _, it := range w.writing {
		body = append(strconv.AppendInt(body, it.offset, 10), ',')
	}
	w.mu.Unlock()

	now := w.s.o.Clock.Now().UnixMilli()
	props := protocol.AppendProperty(nil, protocol.PropWaitStore, "true")
	r := protocol.Record{
		Topic: meta.OpHalfTopic, Body: body, Properties: protocol.AppendProperty(props, protocol.PropTags, opTag),
		BornTimestamp: now, BornHost: w.s.o.StoreHost, StoreHost: w.s.o.StoreHost,
	}
	records, err := protocol.AppendRecord(nil, &r)
	if err != nil {
		w.Appended(store.AppendResult{Err: err})
		return
	}
	w.append = store.Append{Topic: r.Topic, Records: records, TagsCodes: []int64{int64(protocol.HashCode(opTag))}, Done: w}
	w.s.o.Store.Append(&w.append)
}

// Appended implements store.Completion. What could not be written waits for the
// next end, or the next check.
func (w *opWriter) Appended(r store.AppendResult) {
	w.mu.Lock()
	items := append([]opItem(nil), w.writing...)
	if r.Err != nil {
		for i := range w.writing {
			w.writing[i].done = nil
		}
		w.waiting = append(w.writing, w.waiting...)
		w.writing = nil
	}
	w.inFlight = false
	w.idle.Broadcast()
	w.mu.Unlock()

	if r.Err != nil {
		w.s.o.Logger.Error("the ends of transactions are not noted; it is tried again", "transactions", len(items), "err", r.Err)
	} else {
		w.s.noted(items, r.QueueOffset)
	}
	for _, it := range items {
		if it.done != nil {
			it.done(r.Err)
		}
	}
	if r.Err == nil {
		w.write()
	}
}

// noted forgets half messages whose end is stored, in the op queue's record at an
// offset.
func (s *Service) noted(items []opItem, opOffset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opEnd = max(s.opEnd, opOffset+1)
	for _, it := range items {
		if it.half != nil {
			s.forget(it.half)
		}
	}
}

// wait waits until nothing is on its way.
func (w *opWriter) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.inFlight {
		w.idle.Wait()
	}
}
