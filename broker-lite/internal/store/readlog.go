package store

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// LogBounds returns the physical offset of the log's first byte, and the one behind
// its last readable record: the same when all records have been deleted.
func (s *Store) LogBounds() (first, end int64) {
	end = s.log.visible.Load()
	first = s.log.min()
	return first, max(first, end)
}

// ReadLog calls f for the records of the log from a physical offset on: as many as
// fit into buf, and at least one. It returns where to go on, which is behind from
// unless there is nothing to read yet, and buf, which may have grown. Where the log
// does not go back to from it begins with its first record. rec belongs to buf.
//
// Where no record is, the error is a *CorruptionError, and next is the file behind
// it, or the damage while there is no such file.
func (s *Store) ReadLog(from int64, buf []byte, f func(phys int64, rec []byte)) (next int64, kept []byte, err error) {
	from = max(from, s.log.min())
	left := s.log.visible.Load() - from
	if left <= 0 {
		return from, buf, nil
	}
	buf = slices.Grow(buf[:0], recordHead)
	buf = buf[:min(left, int64(cap(buf)))]
	// The tail in memory is passed by: it has no blank records.
	n, err := s.log.readFile(buf, from)
	if first := s.log.min(); first > from {
		return first, buf, nil // the file has been deleted meanwhile
	}
	if n < blankHeader {
		return from, buf, errors.Join(fmt.Errorf("read %d bytes of a record at %d", n, from), err)
	}
	at := from
	for b := buf[:n]; len(b) >= blankHeader; {
		size, blank, err := s.logRecord(b, at)
		if blank || err != nil {
			if next, ok := s.log.after(at); ok {
				at = next
			}
			return at, buf, err
		}
		if size > len(b) {
			if at > from {
				break
			}
			if b, err = s.log.read(buf[:0], at, size); err != nil {
				return at, buf, err
			}
			buf = b
		}
		f(at, b[:size])
		at, b = at+int64(size), b[size:]
	}
	return at, buf, nil
}

// logRecord returns the size of the record that b, the log at phys, begins with.
// blank: the file ends there.
func (s *Store) logRecord(b []byte, phys int64) (size int, blank bool, err error) {
	size, magic, err := protocol.RecordSize(b)
	switch {
	case err != nil:
	case magic == protocol.MagicBlank:
		return size, true, nil
	case size < recordHead || int64(size) > s.log.visible.Load()-phys:
		err = fmt.Errorf("%w: size %d", protocol.ErrMalformedRecord, size)
	default:
		return size, false, nil
	}
	first, _ := s.log.segment(phys)
	return 0, false, &CorruptionError{Segment: s.log.path(first), Offset: phys, Reason: err.Error()}
}

// after returns the first offset of the file behind the one that holds phys.
func (l *commitLog) after(phys int64) (first int64, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i := sort.Search(len(l.firsts), func(i int) bool { return l.firsts[i] > phys })
	if i == len(l.firsts) {
		return 0, false
	}
	return l.firsts[i], true
}
