package store

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// load finds the consume queues on disk. entries is the sum of their maximum
// offsets; tidy is false when some have ends that only a checkpoint can judge.
// fromStart: the log has its first file still, and so must the queues.
func (t *queueTable) load(fromStart bool) (entries int64, tidy bool, err error) {
	tidy = true
	topics, err := t.files.fs.ReadDir(t.dir)
	if err != nil {
		return 0, false, err
	}
	for _, topic := range topics {
		if !topic.IsDir() {
			continue
		}
		ids, err := t.files.fs.ReadDir(filepath.Join(t.dir, topic.Name()))
		if err != nil {
			return 0, false, err
		}
		for _, id := range ids {
			n, ok := parseQueueID(id.Name())
			if !ok || !id.IsDir() {
				continue
			}
			q := t.newQueue(topic.Name(), n)
			whole, err := t.loadQueue(q, fromStart)
			if err != nil {
				return 0, false, err
			}
			tidy = tidy && whole
			if len(q.files) > 0 || len(q.stray) > 0 {
				t.queues[queueKey{q.topic, q.id}] = q
				entries += q.max
			}
		}
	}
	return entries, tidy, nil
}

// loadQueue finds a queue's files. Those behind a gap go into stray: they were
// written after the checkpoint, when what is missing was too.
func (t *queueTable) loadQueue(q *queue, fromStart bool) (whole bool, err error) {
	offsets, err := listOffsets(t.files.fs, q.dir)
	if err != nil {
		return false, err
	}
	end := int64(0)
	for i, off := range offsets {
		if off%entrySize != 0 || off != end && (i > 0 || fromStart) {
			q.stray = offsets[i:]
			break
		}
		info, err := t.files.fs.Stat(q.key(off / entrySize).path())
		if err != nil {
			return false, err
		}
		end = off + info.Size()
		q.files = append(q.files, off/entrySize)
	}
	if len(q.files) > 0 {
		q.min = q.files[0]
	}
	q.max = end / entrySize
	q.written = q.max
	return len(q.stray) == 0 && end%entrySize == 0, nil
}

// trimQueue cuts off the entries that the checkpoint does not vouch for: the
// scan brings them again. ok is false when the queue cannot be read.
func (r *recovery) trimQueue(q *queue) (ok bool, err error) {
	keep, ok, err := r.s.queues.vouchedEnd(q, r.from.phys)
	if err != nil || !ok {
		return false, err
	}
	if keep == q.min && len(q.files) > 0 && q.files[0] > 0 {
		// The queue is younger than the checkpoint, and its first file is lost.
		for _, first := range q.files {
			r.s.files.drop(q.key(first))
			q.stray = append(q.stray, first*entrySize)
		}
		q.files = nil
	}
	return true, r.cutQueue(q, keep)
}

// vouchedEnd is the offset behind a queue's last entry that a checkpoint at phys
// vouches for.
func (t *queueTable) vouchedEnd(q *queue, phys int64) (end int64, ok bool, err error) {
	const chunk = scratchEntries
	var buf [chunk * entrySize]byte
	for hi := q.max; hi > q.min; {
		lo := max(q.min, hi-chunk)
		// All of them are in files, and may cross from one into the next.
		n := 0
		for at := lo; at < hi; at = lo + int64(n/entrySize) {
			got, _, _, err := t.readRaw(q, buf[n:(hi-lo)*entrySize], at)
			if err != nil || got == 0 {
				return 0, false, err
			}
			n += got
		}
		for i := hi - 1; i >= lo; i-- {
			raw := buf[(i-lo)*entrySize:]
			e := decodeEntry(raw, i)
			if isEntry(raw) && e.Size >= 0 && e.PhysicalOffset >= 0 && e.PhysicalOffset+int64(e.Size) <= phys {
				return i + 1, true, nil
			}
		}
		hi = lo
	}
	return q.min, true, nil
}

// isRecordAt reports whether b, at least a record's head, is the record that an
// entry points to.
func isRecordAt(b []byte, e Entry) bool {
	size, magic, err := protocol.RecordSize(b)
	return err == nil && magic != protocol.MagicBlank && size == int(e.Size) &&
		int64(binary.BigEndian.Uint64(b[recordQueueOffset:])) == e.QueueOffset &&
		int64(binary.BigEndian.Uint64(b[recordPhysicalOffset:])) == e.PhysicalOffset
}

func recordSize(b []byte) int { return int(binary.BigEndian.Uint32(b)) }

// cutQueue drops the entries from keep on.
func (r *recovery) cutQueue(q *queue, keep int64) error {
	fsys := r.s.opt.FS
	for _, off := range q.stray {
		if err := fsys.Remove(filepath.Join(q.dir, offsetName(off))); err != nil {
			return err
		}
	}
	strays := len(q.stray)
	q.stray = nil
	if len(q.files) == 0 {
		q.max = 0
		delete(r.s.queues.queues, queueKey{q.topic, q.id})
		return nil
	}
	n := len(q.files)
	for n > 1 && q.files[n-1] >= keep {
		n--
		r.s.files.drop(q.key(q.files[n]))
		if err := fsys.Remove(q.path(q.files[n])); err != nil {
			return err
		}
	}
	last := q.files[n-1]
	path := q.path(last)
	info, err := fsys.Stat(path)
	if err != nil {
		return err
	}
	size := (keep - last) * entrySize
	if n == len(q.files) && strays == 0 && info.Size() == size {
		return nil
	}
	f, err := fsys.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return errors.Join(err, f.Close())
	}
	q.files = q.files[:n]
	q.max, q.written = keep, keep
	// The next checkpoint must not trust the old size to be gone.
	q.unsynced, q.newDir, q.dirty = append(q.unsynced, last), true, true
	r.dirty = append(r.dirty, q)
	return f.Close()
}
