package store

import (
	"encoding/binary"
	"fmt"
)

// Boundary says which offset a time stands for when no record has exactly it,
// or several do (Apache's BoundaryType).
type Boundary uint8

const (
	// Lower: the first record stored at the time or later; behind the last
	// record when all are earlier.
	Lower Boundary = iota
	// Upper: the last record stored at the time or earlier; the last record
	// when all are earlier, the first when none is. (Apache answers 0 for none, and
	// for Lower the start of the queue's oldest file, though both may be deleted.)
	Upper
)

// OffsetByTime returns the offset of the first record of a queue that was
// stored at or after a time in ms since 1970: the maximum offset when all are
// older, 0 for a queue without records.
func (s *Store) OffsetByTime(topic string, queueID int32, ms int64) (int64, error) {
	return s.OffsetByBoundary(topic, queueID, ms, Lower)
}

// OffsetByBoundary searches a queue by store time, as Apache 5's
// ConsumeQueue.getOffsetInQueueByTime does. Records are taken to be in the
// order of their store times, which a clock that was set back can break.
func (s *Store) OffsetByBoundary(topic string, queueID int32, ms int64, boundary Boundary) (int64, error) {
	q := s.queues.get(topic, queueID)
	if q == nil {
		return 0, nil
	}
	lo, hi := q.bounds()
	first := lo
	// All before lo are too early; hi and all behind it are not.
	for lo < hi {
		mid := lo + (hi-lo)/2
		at, err := s.StoreTime(topic, queueID, mid)
		if low, _ := q.bounds(); low > first { // deleted meanwhile
			first, lo, hi = low, max(lo, low), max(hi, low)
			continue
		}
		if err != nil {
			return 0, err
		}
		if at < ms || boundary == Upper && at == ms {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if boundary == Upper {
		return max(lo-1, first), nil
	}
	return lo, nil
}

// StoreTime returns when a record was stored, in ms since 1970; -1 when the
// queue has no such offset.
func (s *Store) StoreTime(topic string, queueID int32, offset int64) (int64, error) {
	e, ok, err := s.Entry(topic, queueID, offset)
	if err != nil || !ok {
		return -1, err
	}
	if e.Size == 0 { // lost: the note that is there has the time
		head, err := s.recordHead(e.PhysicalOffset)
		if err != nil {
			return -1, err
		}
		return int64(binary.BigEndian.Uint64(head[storeTimestampAt(head[:]):])), nil
	}
	rec, err := s.ReadEntry(e, nil)
	if err != nil {
		return -1, fmt.Errorf("topic %s queue %d offset %d: %w", topic, queueID, offset, err)
	}
	return int64(binary.BigEndian.Uint64(rec[storeTimestampAt(rec):])), nil
}

// EarliestStoreTime returns when a queue's first record was stored, in ms since
// 1970; -1 for a queue without records.
func (s *Store) EarliestStoreTime(topic string, queueID int32) (int64, error) {
	for first := s.MinOffset(topic, queueID); ; {
		ms, err := s.StoreTime(topic, queueID, first)
		low := s.MinOffset(topic, queueID)
		if low == first {
			return ms, err
		}
		first = low // deleted meanwhile
	}
}
