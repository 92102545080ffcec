package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// ReadStatus says how a read ended (Apache's GetMessageStatus).
type ReadStatus uint8

const (
	// Found: at least one record.
	Found ReadStatus = iota
	// NoMatched: entries were looked at and none matched; NextOffset goes on.
	NoMatched
	// NoMessageInQueue: the queue has never had a record.
	NoMessageInQueue
	// NoQueue: the queue does not exist (NO_MATCHED_LOGIC_QUEUE).
	NoQueue
	// OffsetOverflowOne: the offset is that of the next record to come.
	OffsetOverflowOne
	// OffsetOverflowBadly: the offset is beyond that; NextOffset is the maximum.
	OffsetOverflowBadly
	// OffsetTooSmall: the record is gone; NextOffset is the minimum.
	OffsetTooSmall
)

// String returns Apache's name of the status.
func (s ReadStatus) String() string {
	switch s {
	case Found:
		return "FOUND"
	case NoMatched:
		return "NO_MATCHED_MESSAGE"
	case NoMessageInQueue:
		return "NO_MESSAGE_IN_QUEUE"
	case NoQueue:
		return "NO_MATCHED_LOGIC_QUEUE"
	case OffsetOverflowOne:
		return "OFFSET_OVERFLOW_ONE"
	case OffsetOverflowBadly:
		return "OFFSET_OVERFLOW_BADLY"
	case OffsetTooSmall:
		return "OFFSET_TOO_SMALL"
	}
	return fmt.Sprintf("ReadStatus(%d)", s)
}

// ReadResult is the answer to a Read.
type ReadResult struct {
	Status     ReadStatus
	Body       []byte // dst with the records appended, as a pull returns them
	Count      int    // records appended
	NextOffset int64  // where to read next
	MinOffset  int64
	MaxOffset  int64
}

// maxFilterEntries is how many consume queue entries one read looks at
// (maxFilterMessageSize, 16,000 bytes of 20 each), unless it asks for more
// messages.
const maxFilterEntries = 16000 / 20

// scratchEntries is how many entries are read at once.
const scratchEntries = 64

// scratch is what a Read needs besides its result.
type scratch struct {
	entries [scratchEntries * entrySize]byte
	sums    [scratchEntries]uint32
}

// Read appends to dst up to maxMessages records of a queue, from offset on,
// whose tags code match accepts; nil accepts all. It stops before maxBytes are
// passed, but not before the first record. The rules are those of Apache's
// DefaultMessageStore.getMessage; it never waits for records to come.
func (s *Store) Read(topic string, queueID int32, offset int64, maxMessages, maxBytes int,
	match func(tagsCode int64) bool, dst []byte) (ReadResult, error) {
	res := ReadResult{Body: dst, Status: NoQueue}
	q := s.queues.get(topic, queueID)
	if q == nil {
		return res, nil
	}
	res.MinOffset, res.MaxOffset = q.bounds()
	switch {
	case res.MaxOffset == 0:
		res.Status = NoMessageInQueue
	case offset < res.MinOffset:
		res.Status, res.NextOffset = OffsetTooSmall, res.MinOffset
	case offset == res.MaxOffset:
		res.Status, res.NextOffset = OffsetOverflowOne, offset
	case offset > res.MaxOffset:
		res.Status, res.NextOffset = OffsetOverflowBadly, res.MaxOffset
	default:
		r := reader{s: s, q: q, match: match, maxMessages: max(maxMessages, 1), maxBytes: maxBytes, res: res}
		r.res.Status, r.res.NextOffset = NoMatched, offset
		err := r.run()
		return r.overtaken(offset, err)
	}
	return res, nil
}

// overtaken corrects the result of a read during which the queue was deleted, or
// its first records were.
func (r *reader) overtaken(offset int64, err error) (ReadResult, error) {
	lo, _ := r.q.bounds()
	switch {
	case r.res.Count > 0 && r.res.NextOffset < lo:
		return r.res, nil
	case r.res.Count > 0 || err == nil && r.res.NextOffset > offset:
	case r.q.isDeleted():
		return ReadResult{Body: r.res.Body, Status: NoQueue}, nil
	case offset < lo:
		r.res.Status, r.res.NextOffset, r.res.MinOffset = OffsetTooSmall, lo, lo
		return r.res, nil
	}
	return r.res, err
}

// reader is one Read.
type reader struct {
	s           *Store
	q           *queue
	match       func(int64) bool
	maxMessages int
	maxBytes    int
	res         ReadResult

	// Records that lie side by side in the log are copied together. These are
	// chosen and not yet copied: the entry of the first, and how many.
	first Entry
	count int
	size  int
	sums  *[scratchEntries]uint32 // their checksums
}

func (r *reader) run() error {
	scratch := r.s.scratch.Get().(*scratch)
	defer r.s.scratch.Put(scratch)
	r.sums = &scratch.sums
	base := len(r.res.Body)
	for budget := max(maxFilterEntries, r.maxMessages); budget > 0; {
		want := min(scratchEntries, budget)
		if r.match == nil {
			want = min(want, r.maxMessages-r.res.Count-r.count)
		}
		n, err := r.s.queues.read(r.q, scratch.entries[:want*entrySize], r.res.NextOffset)
		if err != nil {
			return errors.Join(r.copy(), err)
		}
		if n == 0 {
			break
		}
		budget -= n / entrySize
		if full, err := r.take(scratch.entries[:n], base); full || err != nil {
			return errors.Join(err, r.copy())
		}
	}
	return r.copy()
}

// take chooses from entries that begin at NextOffset. full says that no more
// fit.
func (r *reader) take(entries []byte, base int) (full bool, err error) {
	for ; len(entries) > 0; entries = entries[entrySize:] {
		e := decodeEntry(entries, r.res.NextOffset)
		n := r.res.Count + r.count
		if e.Size == 0 { // lost, and cut out of the log by a repair
			r.res.NextOffset++
			continue
		}
		if !r.s.inLog(e) {
			if n == 0 {
				err = r.s.damaged(e, "the log ends before the record that the consume queue has there")
			}
			return true, err
		}
		if n > 0 {
			bytes := len(r.res.Body) - base + r.size
			if n >= r.maxMessages || bytes+int(e.Size) > r.maxBytes {
				return true, nil
			}
		}
		r.res.NextOffset++
		if r.match != nil && !r.match(e.TagsCode) {
			continue
		}
		if r.count == len(r.sums) || r.count > 0 && e.PhysicalOffset != r.first.PhysicalOffset+int64(r.size) {
			if err := r.copy(); err != nil {
				return true, err
			}
		}
		if r.count == 0 {
			r.first, r.size = e, 0
		}
		r.sums[r.count] = e.Checksum
		r.count++
		r.size += int(e.Size)
	}
	return r.match == nil && r.res.Count+r.count >= r.maxMessages, nil
}

// copy appends the chosen records to the result. When one cannot be read, the
// result ends before it.
func (r *reader) copy() error {
	if r.count == 0 {
		return nil
	}
	count := r.count
	r.count = 0
	body, good, err := r.s.readRun(r.res.Body, r.first, r.size, r.sums[:count])
	if err != nil {
		r.res.NextOffset = r.first.QueueOffset + int64(good)
	}
	if r.res.Body = body; good > 0 {
		r.res.Count, r.res.Status = r.res.Count+good, Found
	}
	return err
}

// inLog reports whether an entry points into the log.
func (s *Store) inLog(e Entry) bool {
	return e.Size >= recordHead && e.PhysicalOffset >= 0 && int64(e.Size) <= s.log.visible.Load()-e.PhysicalOffset
}

// readRun appends records that lie side by side to dst, one for each checksum. On
// error dst has those before the one that is damaged.
func (s *Store) readRun(dst []byte, first Entry, size int, sums []uint32) (out []byte, good int, err error) {
	out, err = s.log.read(dst, first.PhysicalOffset, size)
	if err != nil {
		return dst, 0, err
	}
	good, end, err := s.verify(out[len(dst):], first, sums)
	return out[:len(dst)+end], good, err
}

// verify sees to it that b holds the records that consecutive entries point to,
// from e on, byte for byte: damage must not reach a consumer. It counts those that
// are good, and their bytes.
func (s *Store) verify(b []byte, e Entry, sums []uint32) (good, end int, err error) {
	for i, sum := range sums {
		left := b[end:]
		if len(left) < recordHead {
			return i, end, s.damaged(e, "the record is cut short")
		}
		if i > 0 {
			e.Size = int32(recordSize(left))
		}
		if !isRecordAt(left, e) || int(e.Size) > len(left) {
			return i, end, s.damaged(e, "there is another record, or none")
		}
		if got := checksum(left[:e.Size]); got != sum {
			return i, end, s.damaged(e, fmt.Sprintf("the record has checksum %08x and was stored with %08x", got, sum))
		}
		end += int(e.Size)
		e.QueueOffset, e.PhysicalOffset = e.QueueOffset+1, e.PhysicalOffset+int64(e.Size)
	}
	return len(sums), end, nil
}

// damaged reports that the log does not hold what an entry points to.
func (s *Store) damaged(e Entry, reason string) error {
	first, _ := s.log.segment(e.PhysicalOffset)
	return &CorruptionError{Segment: s.log.path(first), Offset: e.PhysicalOffset, Dir: s.opt.Dir,
		Reason: fmt.Sprintf("%s (queue offset %d)", reason, e.QueueOffset)}
}

// Entry returns a queue's entry at an offset; ok is false when there is none.
func (s *Store) Entry(topic string, queueID int32, offset int64) (e Entry, ok bool, err error) {
	err = s.EachEntry(topic, queueID, offset, func(got Entry) bool {
		e, ok = got, got.QueueOffset == offset
		return false
	})
	return e, ok, err
}

// EachEntry calls f for the entries of a queue from an offset on, up to what is
// readable, until f returns false. An offset below the minimum begins there.
func (s *Store) EachEntry(topic string, queueID int32, from int64, f func(Entry) bool) error {
	q := s.queues.get(topic, queueID)
	if q == nil {
		return nil
	}
	lo, _ := q.bounds()
	var scratch [scratchEntries * entrySize]byte
	for from = max(from, lo); ; {
		n, err := s.queues.read(q, scratch[:], from)
		if lo, _ := q.bounds(); from < lo { // deleted meanwhile
			from = lo
			continue
		}
		if err != nil && q.isDeleted() {
			return nil
		}
		if err != nil || n == 0 {
			return err
		}
		for at := 0; at < n; at += entrySize {
			if !f(decodeEntry(scratch[at:], from)) {
				return nil
			}
			from++
		}
	}
}

// ReadEntry appends the record that an entry points to, to dst.
func (s *Store) ReadEntry(e Entry, dst []byte) ([]byte, error) {
	if !s.inLog(e) {
		return dst, fmt.Errorf("%w: %d", ErrNoRecord, e.PhysicalOffset)
	}
	out, _, err := s.readRun(dst, e, int(e.Size), []uint32{e.Checksum})
	return out, err
}

// maxRecordSize bounds what a damaged size makes ReadRecord allocate; a frame has
// at most 16 MiB.
const maxRecordSize = 64 << 20

// ReadRecord returns the record that begins at a physical offset, and
// ErrNoRecord for an offset at which none does, or one that no consume queue
// vouches for: ids come from clients.
func (s *Store) ReadRecord(phys int64) ([]byte, error) {
	head, err := s.recordHead(phys)
	if err != nil {
		return nil, err
	}
	size := recordSize(head[:])
	if int64(size) > s.log.visible.Load()-phys || size > maxRecordSize {
		return nil, fmt.Errorf("%w: %d", ErrNoRecord, phys)
	}
	raw, err := s.log.read(nil, phys, size)
	if err != nil {
		return nil, err
	}
	var rec protocol.Record
	if _, err := protocol.DecodeRecord(raw, &rec); err != nil {
		return nil, fmt.Errorf("%w: %d: %w", ErrNoRecord, phys, err)
	}
	e, ok, err := s.Entry(rec.Topic, rec.QueueID, rec.QueueOffset)
	if err != nil {
		return nil, err
	}
	if !ok || e.PhysicalOffset != phys {
		return nil, fmt.Errorf("%w: %d has one of topic %s queue %d offset %d, which has none there", ErrNoRecord, phys, rec.Topic, rec.QueueID, rec.QueueOffset)
	}
	if _, _, err := s.verify(raw, e, []uint32{e.Checksum}); err != nil {
		return nil, err
	}
	return raw, nil
}

// recordHead reads the first bytes of the record at phys.
func (s *Store) recordHead(phys int64) (head [recordHead]byte, err error) {
	if phys < s.log.min() || phys >= s.log.visible.Load() {
		return head, fmt.Errorf("%w: %d", ErrNoRecord, phys)
	}
	b := make([]byte, recordHead)
	n, err := s.log.readSome(b, phys)
	if err != nil {
		return head, err
	}
	copy(head[:], b[:n])
	size, magic, err := protocol.RecordSize(b)
	if n < recordHead || err != nil || magic == protocol.MagicBlank || size < recordHead ||
		int64(binary.BigEndian.Uint64(b[recordPhysicalOffset:])) != phys {
		return head, fmt.Errorf("%w: %d", ErrNoRecord, phys)
	}
	return head, nil
}
