package store

import "encoding/binary"

// maxFilterBytes bounds the records that one ReadMatching looks at, in bytes: with
// large messages maxFilterEntries alone would be gigabytes.
const maxFilterBytes = 8 << 20

// matchChunk is how many records ReadMatching looks at together, unless more are
// wanted.
const matchChunk = 32

// ReadMatching is Read for filters that look at records: match is asked for each
// one, with its bytes, which it must not keep. A record is copied from the log to
// where the result has it; what does not match is overwritten by what comes next.
func (s *Store) ReadMatching(topic string, queueID int32, offset int64, maxMessages, maxBytes int,
	match func(record []byte) bool, dst []byte) (ReadResult, error) {
	m := matching{match: match, want: max(maxMessages, 1), maxBytes: maxBytes, base: len(dst)}
	res, err := s.Read(topic, queueID, offset, max(matchChunk, m.want), maxBytes, nil, dst)
	if res.Status != Found {
		return res, err
	}
	m.res = res
	m.res.Body, m.res.Count = dst, 0
	for m.keep(&res, len(m.res.Body)); err == nil && !m.full && m.looked < max(maxFilterEntries, m.want) && m.bytes < maxFilterBytes; {
		at := len(m.res.Body)
		if res, err = s.Read(topic, queueID, m.res.NextOffset, max(matchChunk, m.want-m.res.Count), maxBytes, nil, m.res.Body); res.Status != Found {
			break // the end, or the queue is gone
		}
		m.keep(&res, at)
	}
	if m.res.Count > 0 {
		return m.res, nil // the next read tells of err
	}
	m.res.Status = NoMatched
	return m.res, err
}

// matching is one ReadMatching.
type matching struct {
	match    func([]byte) bool
	want     int
	maxBytes int
	base     int // where the result begins in its body

	res    ReadResult
	looked int
	bytes  int // of the records looked at
	full   bool
}

// keep takes what matches of a read, whose records begin at a place in its body.
func (m *matching) keep(read *ReadResult, at int) {
	body := read.Body
	to := at
	for at < len(body) {
		record := body[at : at+recordSize(body[at:])]
		at += len(record)
		if m.full {
			break
		}
		m.looked++
		m.bytes += len(record)
		if m.match(record) {
			if m.res.Count > 0 && to-m.base+len(record) > m.maxBytes {
				m.stop(record)
				break
			}
			to += copy(body[to:], record)
			m.res.Count++
		}
		if m.full = m.res.Count >= m.want; m.full && at < len(body) {
			m.stop(body[at:])
			break
		}
	}
	m.res.Body = body[:to]
	if !m.full {
		m.res.NextOffset = read.NextOffset
	}
}

// stop lets the next read begin with a record.
func (m *matching) stop(record []byte) {
	m.full = true
	m.res.NextOffset = int64(binary.BigEndian.Uint64(record[recordQueueOffset:]))
}
