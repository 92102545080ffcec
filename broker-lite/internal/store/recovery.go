package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// recovery brings a store to the state in which it can be written: see doc.go
// for the rules. It runs in Open, before any goroutine.
type recovery struct {
	ctx context.Context
	s   *Store

	firsts  []int64 // the commit log's files
	fileEnd int64   // physical offset at which the last one ends
	known   bool    // flushed is known
	flushed int64   // the log was durable up to here

	from   mark // where the scan begins, and what the queues hold there
	end    int64
	sealed bool // the last file is full
	cut    bool // a repair has cut damaged log out, and queues have gaps
	cutAt  int64
	kept   map[*queue]bool // their records are all gone
	dirty  []*queue
}

func (r *recovery) run() error {
	if err := r.makeDirs(); err != nil {
		return err
	}
	if err := r.listSegments(); err != nil {
		return err
	}
	check, err := r.readMarks()
	if err != nil {
		return err
	}
	ok := false
	if check != nil && check.phys >= r.s.log.min() && check.phys <= r.fileEnd {
		r.from = *check
		if ok, err = r.loadQueues(); err != nil {
			return err
		}
	}
	if !ok {
		if err := r.startOver(); err != nil {
			return err
		}
	}
	if err := r.scan(); err != nil {
		return err
	}
	if first := r.s.log.min(); first > 0 {
		r.s.raiseMinimums(first)
	}
	if err := r.secure(); err != nil {
		return err
	}
	return r.handOver()
}

func (r *recovery) makeDirs() error {
	for _, d := range []string{r.s.log.dir, r.s.queues.dir} {
		if err := vfs.MkdirAllSync(r.s.opt.FS, d, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// listSegments finds the commit log's files. All but the last must be whole.
func (r *recovery) listSegments() error {
	firsts, err := listOffsets(r.s.opt.FS, r.s.log.dir)
	if err != nil {
		return err
	}
	for i, first := range firsts {
		path := r.s.log.path(first)
		info, err := r.s.opt.FS.Stat(path)
		if err != nil {
			return err
		}
		r.fileEnd = first + info.Size()
		if i+1 < len(firsts) && r.fileEnd != firsts[i+1] {
			return &CorruptionError{Segment: path, Offset: min(r.fileEnd, firsts[i+1]),
				Reason: fmt.Sprintf("the file ends at %d but the next begins at %d", r.fileEnd, firsts[i+1])}
		}
	}
	r.firsts, r.s.log.firsts = firsts, firsts
	return nil
}

// readMarks reads what the files beside the log remember of it.
func (r *recovery) readMarks() (check *mark, err error) {
	if r.known, err = r.s.mark.load(); err != nil {
		return nil, err
	}
	if check, err = readCheckpoint(r.s.opt.FS, r.s.opt.Dir); err != nil {
		return nil, err
	}
	r.flushed = r.s.mark.phys
	if check != nil {
		r.known, r.flushed = true, max(r.flushed, check.phys)
	}
	if len(r.firsts) == 0 && r.flushed > 0 {
		return nil, &CorruptionError{Segment: r.s.log.path(0), Offset: 0,
			Reason: fmt.Sprintf("no commit log file is left, but %d bytes had been stored", r.flushed)}
	}
	return check, nil
}

// loadQueues takes the consume queues as the checkpoint knows them. ok is false
// when they do not agree with it, and must be built anew.
func (r *recovery) loadQueues() (ok bool, err error) {
	table := r.s.queues
	entries, tidy, err := table.load(r.s.log.min() == 0)
	if err != nil {
		return false, err
	}
	if tidy && r.from.phys == r.fileEnd && entries == r.from.entries {
		return true, nil // closed in order: nothing was appended since
	}
	entries = 0
	for _, q := range table.all() {
		ok, err := r.trimQueue(q)
		if err != nil || !ok {
			return false, err
		}
		entries += q.max
	}
	return entries == r.from.entries, nil
}

// startOver removes the consume queues, to build them from the whole log.
func (r *recovery) startOver() error {
	fsys := r.s.opt.FS
	r.from = mark{phys: r.s.log.min()}
	// Without the checkpoint first: a crash in the middle must start over too.
	if err := removeCheckpoint(fsys, r.s.opt.Dir); err != nil {
		return err
	}
	dir := r.s.queues.dir
	r.s.queues.queues = map[queueKey]*queue{}
	if _, _, err := r.s.queues.load(false); err != nil {
		return err
	}
	found := r.s.queues.queues
	r.s.queues.queues, r.kept, r.dirty = map[queueKey]*queue{}, map[*queue]bool{}, nil
	for key, q := range found {
		keep, err := r.outlived(q)
		if err != nil {
			return err
		}
		if keep {
			r.s.queues.queues[key], r.kept[q] = q, true
			continue
		}
		for _, first := range q.files {
			r.s.files.drop(q.key(first))
		}
		if err := vfs.RemoveTree(fsys, q.dir); err != nil {
			return err
		}
	}
	if len(found) > 0 {
		r.s.opt.Logger.Info("building the consume queues anew from the commit log", "store", r.s.opt.Dir)
	}
	return r.removeUnknown(dir)
}

// outlived reports whether a queue's records are all gone with old log: only its
// files say where it goes on.
func (r *recovery) outlived(q *queue) (bool, error) {
	if q.max <= q.min || len(q.stray) > 0 {
		return false, nil
	}
	var last [entrySize]byte
	n, _, _, err := r.s.queues.readRaw(q, last[:], q.max-1)
	if err != nil || n < entrySize || !isEntry(last[:]) || decodeEntry(last[:], 0).PhysicalOffset >= r.s.log.min() {
		return false, err
	}
	return true, r.cutQueue(q, q.max)
}

// removeUnknown removes what is no queue's, or is empty.
func (r *recovery) removeUnknown(dir string) error {
	fsys := r.s.opt.FS
	topics, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, topic := range topics {
		path := filepath.Join(dir, topic.Name())
		known := false
		for q := range r.kept {
			known = known || q.topic == topic.Name()
		}
		if !known {
			if err := vfs.RemoveTree(fsys, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// scan reads the log from the checkpoint on, and adds what the queues lack.
func (r *recovery) scan() error {
	r.end = r.from.phys
	for i, first := range r.firsts {
		last := i == len(r.firsts)-1
		if !last && r.firsts[i+1] <= r.from.phys {
			continue
		}
		r.sealed = false
		from := max(first, r.from.phys)
		if last && from == r.fileEnd {
			// No blank can end the file here: no checkpoint is made behind one
			// until the next file exists.
			r.end = from
			break
		}
		if err := r.scanSegment(first, from, last); err != nil {
			return err
		}
	}
	if r.sealed && r.flushed > r.end {
		return &CorruptionError{Segment: r.s.log.path(r.end), Offset: r.end,
			Reason: fmt.Sprintf("the file is missing, but the log had been stored up to %d", r.flushed)}
	}
	return nil
}

func (r *recovery) scanSegment(first, from int64, last bool) (err error) {
	path := r.s.log.path(first)
	f, err := r.s.opt.FS.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sc := scanner{ctx: r.ctx, file: f, path: path, first: first}
	if sc.size, err = f.Size(); err != nil {
		return err
	}
	end, sealed, damage, err := sc.scan(from, r.dispatch)
	if err != nil {
		return err
	}
	r.end, r.sealed = end, sealed
	if damage == nil && last && !sealed && end < r.flushed {
		r.s.opt.Logger.Error("the commit log has lost its end, which had been synced", "file", path, "offset", end, "synced", r.flushed)
	}
	switch {
	case damage == nil && (sealed || last):
		return nil
	case damage == nil:
		return &CorruptionError{Segment: path, Offset: end, Reason: "the file does not end with a blank record, but another follows"}
	case !last:
		return damage
	}
	return r.cutTail(&sc, damage)
}

// cutTail cuts a torn end off the last file, or returns damage when it is none.
func (r *recovery) cutTail(sc *scanner, damage *CorruptionError) error {
	log := r.s.opt.Logger.With("file", sc.path, "offset", damage.Offset, "reason", damage.Reason,
		"bytes", sc.first+sc.size-damage.Offset)
	if !r.known || damage.Offset < r.flushed {
		later, err := sc.findRecord(damage.Offset + 1)
		if err != nil {
			return err
		}
		if later >= 0 {
			damage.Reason += fmt.Sprintf("; a whole record follows at %d", later)
			return damage
		}
	}
	if damage.Offset < r.flushed {
		log.Error("the commit log has lost its end, which had been synced: cutting it there", "synced", r.flushed)
	} else {
		log.Warn("cutting the torn end off the commit log")
	}
	return sc.file.Truncate(damage.Offset - sc.first) // secure syncs it
}

// dispatch adds a record's consume queue entry.
func (r *recovery) dispatch(sc *scanner, rec *protocol.Record) error {
	if topic, ok := deletedTopic(rec); ok {
		return r.dispatchDeletion(topic)
	}
	if rec.Topic == noteTopic {
		return r.dispatchCut(sc, rec)
	}
	table := r.s.queues
	q := table.get(rec.Topic, rec.QueueID)
	if r.kept[q] {
		delete(r.kept, q)
		if rec.QueueOffset != q.max {
			if err := r.removeQueue(q); err != nil {
				return err
			}
			q = nil
		}
	}
	next := int64(0)
	if q != nil {
		next = q.max
	}
	switch {
	case rec.QueueOffset == next:
	case next == 0 && r.s.log.min() > 0 && rec.QueueOffset > 0:
		// Its first records went with the log's first files.
		q = table.getOrAdd(rec.Topic, rec.QueueID)
		q.min, q.max, q.written = rec.QueueOffset, rec.QueueOffset, rec.QueueOffset
	case rec.QueueOffset == 0:
		// The topic was deleted and made anew.
		if err := r.removeQueue(q); err != nil {
			return err
		}
	case r.cut && rec.QueueOffset > next:
		if err := r.fillLost(sc, table.getOrAdd(rec.Topic, rec.QueueID), rec.QueueOffset); err != nil {
			return err
		}
	default:
		return sc.damage(rec.PhysicalOffset, "queue offset %d of topic %s queue %d, where %d is next",
			rec.QueueOffset, rec.Topic, rec.QueueID, next)
	}
	q = table.getOrAdd(rec.Topic, rec.QueueID)
	return r.enter(q, appendEntry(nil, rec.PhysicalOffset, rec.Size, r.s.opt.TagsCode(rec), checksum(sc.raw)))
}

// enter adds an entry.
func (r *recovery) enter(q *queue, entry []byte) error {
	dirty, full := q.publish(entry)
	if dirty {
		r.dirty = append(r.dirty, q)
	}
	if full {
		if err := r.s.queues.writeOut(q); err != nil {
			return err
		}
		q.full = false
	}
	return nil
}

func (r *recovery) removeQueue(q *queue) error {
	for _, first := range q.files {
		r.s.files.drop(q.key(first))
	}
	q.deleted = true
	delete(r.s.queues.queues, queueKey{q.topic, q.id})
	return vfs.RemoveTree(r.s.opt.FS, q.dir)
}

// secure makes durable what a killed process had only written, and the cut of a
// torn end: from now on the one can be read and must not go away, and the other
// must not come back.
func (r *recovery) secure() (err error) {
	if len(r.firsts) == 0 || r.from.phys == r.end && r.flushed == r.end && r.known {
		return nil
	}
	path := r.s.log.path(r.firsts[len(r.firsts)-1])
	f, err := r.s.opt.FS.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Sync(); err != nil {
		return &FailedError{File: path, Err: err}
	}
	if err := r.s.mark.create(); err != nil {
		return err
	}
	if err := r.s.mark.set(r.end); err != nil {
		return err
	}
	if r.flushed <= r.end {
		return nil
	}
	return r.s.mark.file.Sync() // it must not say more than there is
}

// handOver gives the state to those who own it from now on.
func (r *recovery) handOver() error {
	p, x := r.s.appender, r.s.indexer
	p.w.end = r.end
	if r.sealed {
		if err := p.w.openNext(); err != nil {
			return err
		}
	} else if n := len(r.firsts); n > 0 {
		first := r.firsts[n-1]
		path := r.s.log.path(first)
		file, err := r.s.opt.FS.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		p.w.file, p.w.path, p.w.first = file, path, first
		p.w.limit = max(first+r.s.opt.SegmentSize, r.end+blankHeader)
	}
	for _, q := range r.s.queues.all() {
		q.next = q.max
		p.total += q.max
	}
	r.s.log.visible.Store(r.end)
	p.durable = mark{phys: r.end, entries: p.total}
	x.last, x.dirty = r.from, r.dirty
	x.note(p.durable)
	return nil
}
