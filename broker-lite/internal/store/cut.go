package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// noteTopic is the topic of the store's own records, which note what was deleted, and
// what a repair has cut out: the body of these says what was lost, as JSON. No client's
// topic has this name.
const noteTopic = "*"

// note makes a record of the store's own.
func note(stamp int64, body []byte) protocol.Record {
	nobody := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	return protocol.Record{Topic: noteTopic, Body: body, BornTimestamp: stamp, BornHost: nobody, StoreHost: nobody}
}

// lostIn returns what the note of a repair says was lost; nothing when there was no
// room for it.
func lostIn(rec *protocol.Record) (lost []LostRange) {
	if json.Unmarshal(rec.Body, &lost) != nil {
		return nil
	}
	return lost
}

// maxCutRecord is how long one of them gets.
const maxCutRecord = 4 << 20

// minCutRecord is how long the shortest is, and more: a rest is at least so long.
const minCutRecord = 128

// maxLostEntries bounds how many offsets recovery takes for lost at one place.
const maxLostEntries = 16 << 20

// cutOut replaces damaged log by records that say what was lost. Physical offsets
// stay what they were.
func (s *Store) cutOut(p *Problem) (err error) {
	firsts, err := listOffsets(s.opt.FS, s.log.dir)
	if err != nil {
		return err
	}
	i, isFirst := slices.BinarySearch(firsts, p.Offset)
	if isFirst && i > 0 && p.File != s.log.path(p.Offset) {
		return errors.New("two files overlap: restore them from a copy")
	}
	if p.End-p.Offset > 1<<31-1 {
		return errors.New("more than 2 GiB are missing: restore the files from a copy")
	}
	path := p.File
	if p.gap {
		path = s.log.path(p.Offset)
	}
	f, err := s.opt.FS.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	first := p.Offset
	if !p.gap {
		first, _ = parseOffsetName(path[len(path)-nameDigits:])
	}
	_, toEnd := slices.BinarySearch(firsts, p.End) // another file follows
	b, err := cutRecords(p, s.stampAt(p.End), toEnd)
	if err != nil {
		return err
	}
	if toEnd {
		if err := f.Truncate(p.End - first); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt(b, p.Offset-first); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return s.opt.FS.SyncDir(s.log.dir)
}

// cutRecords fills damaged log: at a file's end the last is a blank record.
func cutRecords(p *Problem, stamp int64, toEnd bool) (b []byte, err error) {
	phys, left, lost := p.Offset, p.End-p.Offset, p.Lost
	if toEnd {
		left -= blankHeader
	}
	blank := left + blankHeader
	for first := true; left >= minCutRecord || first && !toEnd; first = false {
		n := min(left, maxCutRecord)
		if rest := left - n; rest > 0 && rest < minCutRecord {
			n -= minCutRecord
		}
		rec, err := cutRecord(phys, n, stamp, lost)
		if err != nil {
			return nil, err
		}
		b, phys, left, blank, lost = append(b, rec...), phys+n, left-n, blank-n, nil
	}
	if toEnd {
		b = binary.BigEndian.AppendUint32(b, uint32(blank))
		b = binary.BigEndian.AppendUint32(b, protocol.MagicBlank)
	}
	return b, nil
}

// cutRecord is a record of exactly size bytes.
func cutRecord(phys, size, stamp int64, lost []LostRange) ([]byte, error) {
	r := note(stamp, nil)
	empty, err := protocol.AppendRecord(nil, &r)
	if err != nil {
		return nil, err
	}
	room := size - int64(len(empty))
	if room < 0 {
		return nil, fmt.Errorf("%d bytes are too few for a note", size)
	}
	for {
		if r.Body, err = json.Marshal(lost); err != nil {
			return nil, err
		}
		if int64(len(r.Body)) <= room || len(lost) == 0 {
			break
		}
		lost = lost[:len(lost)-1] // a gap in the queue tells of it too
	}
	if int64(len(r.Body)) > room {
		r.Body = nil
	}
	r.Body = append(r.Body, bytes.Repeat([]byte{' '}, int(room)-len(r.Body))...)
	b, err := protocol.AppendRecord(nil, &r)
	if err != nil {
		return nil, err
	}
	protocol.PlaceRecord(b, 0, phys, stamp)
	return b, nil
}

// dispatchCut takes a note of what was lost into the queues.
func (r *recovery) dispatchCut(sc *scanner, rec *protocol.Record) error {
	r.cut, r.cutAt = true, rec.PhysicalOffset
	for _, l := range lostIn(rec) {
		if checkTopic(l.Topic) != nil || l.QueueID < 0 || l.From < 0 {
			continue
		}
		q := r.s.queues.get(l.Topic, l.QueueID)
		if q == nil {
			q = r.s.queues.getOrAdd(l.Topic, l.QueueID)
			if r.s.log.min() > 0 {
				q.min, q.max, q.written = l.From, l.From, l.From
			}
		}
		if err := r.fillLost(sc, q, l.To); err != nil {
			return err
		}
	}
	return nil
}

// fillLost adds entries for records that were lost, up to an offset.
func (r *recovery) fillLost(sc *scanner, q *queue, to int64) error {
	if to-q.max > maxLostEntries {
		return sc.damage(r.cutAt, "%d records of topic %s queue %d are lost, more than can be", to-q.max, q.topic, q.id)
	}
	for q.max < to {
		if err := r.enter(q, appendEntry(nil, r.cutAt, 0, 0, 0)); err != nil {
			return err
		}
	}
	return nil
}
