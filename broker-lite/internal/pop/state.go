package pop

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

const (
	// settleDelay is how long a consumer offset may stay uncommitted.
	settleDelay = 500 * time.Millisecond
	// saveEvery is how long a small state may stay unwritten: what Open reads again.
	saveEvery = 10 * time.Second
	// flushPatience bounds the wait for the log's sync.
	flushPatience = 10 * time.Second
)

// settlement is a consumer offset that can be committed.
type settlement struct {
	q     *queue
	next  int64
	epoch int
}

// save commits consumer offsets, and writes the state when it is time. It is the
// saver's ring.
func (s *Service) save(now time.Time) (next time.Time) {
	s.write() // what failed before
	s.mu.Lock()
	due := s.changed && !now.Before(s.saveAt)
	s.mu.Unlock()
	var err error
	if due {
		err = s.checkpoint()
	} else {
		err = s.commit()
	}
	if err != nil {
		s.o.Logger.Error("POP's progress is not saved; it is tried again", "after", retryAfter, "err", err)
		return now.Add(retryAfter)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed {
		return s.saveAt
	}
	return time.Time{}
}

// commit commits the consumer offsets whose entries are stored, once the log is
// synced.
func (s *Service) commit() error {
	s.mu.Lock()
	var list []settlement
	for q := range s.dirty {
		list = append(list, settlement{q, q.settled, q.epoch})
	}
	s.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.free()
	for _, it := range list {
		s.commitOne(it)
	}
	return nil
}

// commitOne commits one offset, unless somebody else has moved it: the next claim
// finds that. mu is held.
func (s *Service) commitOne(it settlement) {
	q := it.q
	if _, dirty := s.dirty[q]; !dirty || q.epoch != it.epoch {
		return
	}
	if q.settled == it.next {
		delete(s.dirty, q)
	}
	offset, ok := s.o.Offsets.Query(q.key.Group, q.key.Topic, q.key.Queue)
	switch {
	case !ok: // the topic or the group is gone
		if len(q.messages) == 0 && !q.busy {
			s.move(q, 0)
			delete(s.dirty, q)
			delete(s.queues, q.key)
		}
		return
	case offset == q.committed && it.next != offset:
		if s.o.Offsets.Commit(q.key.Group, q.key.Topic, q.key.Queue, it.next) {
			q.committed = it.next
		}
	}
	s.drop(q)
}

func (s *Service) flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushPatience)
	defer cancel()
	if err := s.o.Store.Flush(ctx); err != nil {
		return fmt.Errorf("sync POP's journal: %w", err)
	}
	return nil
}

func (s *Service) saveOffsets() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushPatience)
	defer cancel()
	return s.o.Offsets.WaitSaved(ctx)
}

// checkpoint commits the offsets and writes the state, if anything has changed.
func (s *Service) checkpoint() error {
	if err := s.commit(); err != nil {
		return err
	}
	s.mu.Lock()
	if !s.changed {
		s.mu.Unlock()
		return nil
	}
	s.changed = false
	data := s.encode()
	s.mu.Unlock()
	err := s.flush() // revived messages before it is noted that they are
	if err == nil {
		err = s.saveOffsets() // of queues that the state leaves out
	}
	if err == nil {
		err = vfs.WriteFileAtomic(s.o.FS, s.statePath(), data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.changed = true
		return fmt.Errorf("write POP's state: %w", err)
	}
	s.saveGap = saveEvery * time.Duration(1+len(data)>>20) // large states are written less often
	return nil
}

// The state file: stateMagic, uint32 CRC-32 of the rest, varint offset in the
// journal, entries.
const stateMagic = "RKP1"

// encode renders the tables. mu is held.
func (s *Service) encode() []byte {
	b := append([]byte(stateMagic), 0, 0, 0, 0)
	b = binary.AppendVarint(b, s.journal.end)
	byKey := func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Queue, b.Queue))
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.queues), byKey) {
		b = s.queues[key].append(b)
	}
	binary.BigEndian.PutUint32(b[4:], crc32.ChecksumIEEE(b[8:]))
	return b
}

// append appends the entries that make a queue what it is.
func (q *queue) append(b []byte) []byte {
	list := slices.SortedFunc(maps.Values(q.messages), func(a, b *message) int {
		return cmp.Or(cmp.Compare(a.popTime, b.popTime), cmp.Compare(a.until, b.until), cmp.Compare(a.offset, b.offset))
	})
	for len(list) > 0 {
		e := entry{kind: kindPop, key: q.key, popTime: list[0].popTime, until: list[0].until, next: q.next}
		for len(list) > 0 && list[0].popTime == e.popTime && list[0].until == e.until {
			e.offsets = append(e.offsets, list[0].offset)
			list = list[1:]
		}
		b = e.append(b)
	}
	if o := q.order; o != nil {
		e := entry{kind: kindOrder, key: q.key, popTime: o.popTime, next: q.next, offsets: o.offsets, untils: o.untils, counts: o.counts, acked: o.acked, attempt: o.attempt}
		return e.append(b)
	}
	return (&entry{kind: kindPop, key: q.key, next: q.next}).append(b)
}

// load reads the state and the journal behind it.
func (s *Service) load() error {
	_, err := vfs.ReadFileValid(s.o.FS, s.statePath(), s.decode)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s and its backup cannot be read; move the directory away to read the whole journal again: %w", s.statePath(), err)
	}
	if high := s.o.Store.MaxOffset(s.o.Journal, 0); s.journal.end > high {
		s.o.Logger.Warn("POP's journal has lost its end", "from", high, "to", s.journal.end)
		s.journal.end = high
	}
	from := s.journal.end
	if err := s.replay(); err != nil {
		return err
	}
	if s.journal.end != from || len(s.queues) > 0 {
		s.change()
	}
	for _, q := range slices.Collect(maps.Values(s.queues)) {
		s.adopt(q)
	}
	return nil
}

func (s *Service) decode(data []byte) error {
	if len(data) < 8 || string(data[:4]) != stateMagic || binary.BigEndian.Uint32(data[4:]) != crc32.ChecksumIEEE(data[8:]) {
		return fmt.Errorf("%w: the file's checksum", errMalformed)
	}
	t := tables{queues: map[Key]*queue{}}
	d := decoder{b: data[8:]}
	end := d.int()
	for len(d.b) > 0 {
		e, err := d.entry()
		if err != nil {
			return err
		}
		t.apply(&e)
	}
	s.tables, s.journal.end = t, end
	return nil
}

// replay applies the journal from journal.end on.
func (s *Service) replay() error {
	var buf []byte
	var failed error
	err := s.o.Store.EachEntry(s.o.Journal, 0, s.journal.end, func(at store.Entry) bool {
		s.journal.end = at.QueueOffset + 1
		if buf, failed = s.o.Store.ReadEntry(at, buf[:0]); failed != nil {
			return false
		}
		var r protocol.Record
		if _, failed = protocol.DecodeRecord(buf, &r); failed != nil {
			return false
		}
		for d := (decoder{b: r.Body}); len(d.b) > 0; {
			e, err := d.entry()
			if err != nil { // Apache's, or another's
				s.o.Logger.Warn("a record of POP's journal is not understood and left out", "offset", at.QueueOffset, "err", err)
				break
			}
			s.apply(&e)
		}
		return true
	})
	return errors.Join(err, failed)
}

// adopt makes a queue that was loaded fit its log and its consumer offset. The
// process may have been killed before it had committed that.
func (s *Service) adopt(q *queue) {
	key := q.key
	if end := s.o.Store.MaxOffset(key.Topic, key.Queue); q.next > end {
		s.o.Logger.Warn("a topic has lost its end; POP goes back", "group", key.Group, "topic", key.Topic, "queue", key.Queue, "from", q.next, "to", end)
		s.move(q, end)
	}
	offset, ok := s.o.Offsets.Query(key.Group, key.Topic, key.Queue)
	switch {
	case !ok && q.next == 0: // the topic or the group is gone
		s.move(q, 0)
		delete(s.queues, key)
		return
	case !ok || offset < q.next:
		s.o.Offsets.Commit(key.Group, key.Topic, key.Queue, q.next)
	case offset > q.next: // somebody has moved it
		s.move(q, offset)
	}
	q.committed, q.settled = q.next, q.next
	s.drop(q)
}
