package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// scanChunk is how much of a file is read at once.
const scanChunk = 1 << 20

// scanner reads the records of one commit log file. No length in the file makes
// it hold more than the file has.
type scanner struct {
	ctx   context.Context
	file  vfs.File
	path  string
	first int64 // physical offset of the file
	size  int64 // of the file

	base int64 // file offset of buf
	buf  []byte
	raw  []byte // the record that was read last
}

func (s *scanner) damage(phys int64, format string, args ...any) *CorruptionError {
	return &CorruptionError{Segment: s.path, Offset: phys, Reason: fmt.Sprintf(format, args...)}
}

// at returns the bytes from a file offset on, at least n, which the file has.
func (s *scanner) at(off int64, n int) ([]byte, error) {
	if off >= s.base && off+int64(n) <= s.base+int64(len(s.buf)) {
		return s.buf[off-s.base:], nil
	}
	if err := s.ctx.Err(); err != nil {
		return nil, fmt.Errorf("recovery stopped at %s offset %d: %w", s.path, off, err)
	}
	want := int(min(int64(max(n, scanChunk)), s.size-off))
	if cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	s.base, s.buf = off, s.buf[:want]
	if got, err := s.file.ReadAt(s.buf, off); got < want {
		return nil, fmt.Errorf("read %s at %d: %w", s.path, off, err)
	}
	return s.buf, nil
}

// scan calls f for each record from a physical offset on. It ends behind the
// last good record: at the file's end, behind a blank record (sealed), or at
// damage, which f may find too. err is for everything else.
func (s *scanner) scan(from int64, f func(*scanner, *protocol.Record) error) (end int64, sealed bool, damage *CorruptionError, err error) {
	var rec protocol.Record
	pos := from - s.first
	for pos < s.size {
		n, blank, reason, err := s.record(pos, &rec)
		if err != nil {
			return 0, false, nil, err
		}
		if reason != nil {
			return s.first + pos, false, s.damage(s.first+pos, "%v", reason), nil
		}
		if blank {
			return s.first + s.size, true, nil, nil
		}
		if err := f(s, &rec); errors.As(err, &damage) {
			return s.first + pos, false, damage, nil
		} else if err != nil {
			return 0, false, nil, err
		}
		pos += int64(n)
	}
	return s.first + pos, false, nil, nil
}

// record reads and verifies one record. reason says why it is none.
func (s *scanner) record(pos int64, rec *protocol.Record) (n int, blank bool, reason, err error) {
	left := s.size - pos
	if left < blankHeader {
		return 0, false, fmt.Errorf("the file ends after %d bytes of a record", left), nil
	}
	b, err := s.at(pos, blankHeader)
	if err != nil {
		return 0, false, nil, err
	}
	n, magic, reason := protocol.RecordSize(b)
	switch {
	case reason != nil:
		return 0, false, reason, nil
	case int64(n) > left:
		return 0, false, fmt.Errorf("a record of %d bytes where the file has %d left", n, left), nil
	case magic == protocol.MagicBlank && int64(n) < left:
		return 0, false, fmt.Errorf("%d bytes follow the blank record at the file's end", left-int64(n)), nil
	case magic == protocol.MagicBlank:
		return n, true, nil, nil
	}
	if b, err = s.at(pos, n); err != nil {
		return 0, false, nil, err
	}
	s.raw = b[:n]
	if _, reason = protocol.DecodeRecord(s.raw, rec); reason != nil {
		return 0, false, reason, nil
	}
	if reason = rec.VerifyBody(); reason != nil {
		return 0, false, reason, nil
	}
	if rec.PhysicalOffset != s.first+pos {
		return 0, false, fmt.Errorf("a record that says it is at %d", rec.PhysicalOffset), nil
	}
	if reason = checkTopic(rec.Topic); reason == nil && rec.QueueID < 0 {
		reason = fmt.Errorf("%w: queue %d", protocol.ErrMalformedRecord, rec.QueueID)
	}
	if reason == nil && torn(s.raw, len(rec.Properties), pos) {
		reason = fmt.Errorf("%w: zeros where its properties were", protocol.ErrMalformedRecord)
	}
	return n, false, reason, nil
}

// findRecord looks for a whole record from a physical offset on, whatever lies
// before it, and returns its place or -1. A record carries its own place, so
// that bytes of a message's body do not pass for one.
func (s *scanner) findRecord(from int64) (int64, error) {
	magic := []byte{0xDA, 0xA3, 0x20}
	var rec protocol.Record
	for pos := from - s.first; pos+blankHeader <= s.size; {
		b, err := s.at(pos, blankHeader)
		if err != nil {
			return 0, err
		}
		i := bytes.Index(b[4:], magic)
		if i < 0 {
			pos += int64(len(b)) - 4 - int64(len(magic)) + 1
			continue
		}
		pos += int64(i)
		if s.size-pos >= blankHeader {
			_, blank, reason, err := s.record(pos, &rec)
			if err != nil {
				return 0, err
			}
			if reason == nil && !blank {
				return s.first + pos, nil
			}
		}
		pos++
	}
	return -1, nil
}
