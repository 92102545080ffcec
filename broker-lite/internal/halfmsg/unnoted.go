package halfmsg

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// unnoted finds, while Open loads, what was done with half messages before a crash and
// not noted any more: their copies, and their commits.
type unnoted struct {
	s      *Service
	copies map[copyKey][]*half // open ones, that a later record may be a copy of
	places map[*half]int64     // physical offsets of the open ones
	byID   map[digest][]*half  // open ones, by identity
	items  []opItem            // to be noted
}

// copyKey is what a half message and its copies have in common, and how often it was
// checked.
type copyKey struct {
	sum   digest
	times int
}

type digest [sha256.Size]byte

// entered takes note of an open half message. A copy takes the place of the first one
// that it can be of.
func (u *unnoted) entered(h *half, r *protocol.Record, times int) {
	key := copyKey{sumOf(r, protocol.RemoveProperty(nil, r.Properties, protocol.PropCheckTimes)), times}
	if times > 0 {
		before := copyKey{key.sum, times - 1}
		if list := u.copies[before]; len(list) > 0 {
			old := list[0]
			u.copies[before] = slices.Delete(list, 0, 1)
			delete(u.s.open, old.offset)
			h.before = append(old.before, old.offset)
			for _, offset := range h.before {
				u.s.moved[offset] = h
			}
			u.items = append(u.items, opItem{offset: old.offset})
			old.ending = true
		}
	}
	u.copies[key] = append(u.copies[key], h)
	id := identity(r)
	u.byID[id] = append(u.byID[id], h)
	u.places[h] = r.PhysicalOffset
}

func sumOf(r *protocol.Record, text []byte) digest {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.BornTimestamp))
	b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
	return sha256.Sum256(append(append(b, text...), r.Body...))
}

// identity is the same for a half message, its copies, and what is delivered of it.
// The half message that a commit names may be one that was checked, and moved, since.
func identity(r *protocol.Record) digest {
	id, _ := protocol.Property(r.Properties, protocol.PropUniqueKey)
	return sumOf(r, []byte(id))
}

// opsBehind is behind how many records of the op queue a commit can be that none of
// them notes: one is written while the commit comes, and another had been asked for.
const opsBehind = 3

// commits looks in the end of the log for messages that were committed.
func (u *unnoted) commits() error {
	from, end := u.s.o.Store.LogBounds()
	oldest := end
	for _, h := range u.s.open {
		oldest = min(oldest, u.places[h])
	}
	from = max(from, oldest)
	if n := u.s.o.Store.MaxOffset(meta.OpHalfTopic, 0) - opsBehind; n >= u.s.o.Store.MinOffset(meta.OpHalfTopic, 0) {
		e, ok, err := u.s.o.Store.Entry(meta.OpHalfTopic, 0, n)
		if err != nil {
			return err
		}
		if ok {
			from = max(from, e.PhysicalOffset)
		}
	}
	buf := make([]byte, 0, 1<<20)
	for from < end {
		next, kept, err := u.s.o.Store.ReadLog(from, buf, u.record)
		if err != nil {
			u.s.o.Logger.Error("a part of the log cannot be read; what was committed there may be delivered again", "offset", from, "err", err)
		}
		if next <= from {
			break
		}
		from, buf = next, kept
	}
	return nil
}

// record looks at one record of the log.
func (u *unnoted) record(_ int64, rec []byte) {
	var r protocol.Record
	if _, err := protocol.DecodeRecord(rec, &r); err != nil || r.SysFlag&protocol.SysTransactionMask != protocol.SysCommit {
		return
	}
	for _, h := range u.byID[identity(&r)] {
		if !h.ending {
			h.ending = true
			u.items = append(u.items, opItem{offset: h.offset, half: h})
			return
		}
	}
}

// note writes down what was found.
func (u *unnoted) note() {
	for _, it := range u.items {
		u.s.ops.add(it)
	}
	if len(u.items) > 0 {
		u.s.o.Logger.Info("half messages had ended or moved when the server stopped, which is noted now", "records", len(u.items))
	}
}
