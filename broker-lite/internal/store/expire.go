package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"time"
)

// Expiry says which commit log files DeleteExpired may delete. It always begins
// with the oldest, and never takes the last.
type Expiry struct {
	// Before bounds the files' ages: those that were last written before it go.
	Before time.Time
	// Keep is a physical offset that is still needed: Before does not reach its
	// file. Zero needs nothing, for what is at 0 is not needed either.
	Keep int64
	// Force lets the oldest files go whatever their age and Keep, because the disk
	// is nearly full.
	Force bool
	// MaxFiles bounds how many go at once; 0 means 10 (deleteFileBatchMax).
	MaxFiles int
}

// defaultExpiryFiles is Apache's deleteFileBatchMax.
const defaultExpiryFiles = 10

// Expired is what DeleteExpired did.
type Expired struct {
	Files             int   // commit log files that were deleted
	QueueFiles        int   // consume queue files that were deleted
	MinPhysicalOffset int64 // the first that the log holds
}

// DeleteExpired deletes whole commit log files from the front, and the consume
// queue files that point to them only; the queues' minimum offsets move. A crash
// in the middle leaves a shorter log. Reads of what goes end well, or say
// OffsetTooSmall. A file's last write is the store time of the record that
// follows in the next file.
func (s *Store) DeleteExpired(ctx context.Context, e Expiry) (Expired, error) {
	var done Expired
	ended := make(chan error, 1)
	s.indexer.do(job{run: func() (err error) {
		if done, err = s.expire(e); isFailure(err) {
			s.indexer.try(err)
		}
		return err
	}, done: ended})
	select {
	case err := <-ended:
		return done, err
	case <-s.indexer.ended:
		return Expired{}, ErrClosed
	case <-ctx.Done():
		return Expired{}, ctx.Err()
	}
}

// Young reports whether the log is its first file still, so that nothing can
// expire. It costs next to nothing.
func (s *Store) Young() bool {
	firsts := s.log.segments()
	return len(firsts) == 0 || len(firsts) == 1 && firsts[0] == 0
}

// expire runs on the indexer, which alone removes files of the log and of queues.
func (s *Store) expire(e Expiry) (done Expired, err error) {
	firsts := s.log.segments()
	n, err := s.countExpired(firsts, e)
	if n > 0 && err == nil {
		n, err = s.vouched(firsts, n)
	}
	if err != nil || len(firsts) == 0 {
		done.MinPhysicalOffset = s.log.min()
		return done, err
	}
	if firsts[n] == s.cleaned {
		done.MinPhysicalOffset = s.cleaned
		return done, nil
	}
	s.raiseMinimums(firsts[n])
	for _, first := range firsts[:n] {
		if err = s.removeSegment(first); err != nil {
			break
		}
		done.Files++
	}
	done.MinPhysicalOffset = s.log.min()
	files, queueErr := s.removeQueueFiles()
	done.QueueFiles = files
	if done.Files > 0 {
		s.opt.Logger.Info("old commit log files were deleted", "files", done.Files, "consume queue files", files, "first physical offset", done.MinPhysicalOffset)
		s.opt.OnDelete(done.MinPhysicalOffset)
	}
	if err = errors.Join(err, queueErr); err == nil {
		s.cleaned = firsts[n]
	}
	return done, err
}

// countExpired is how many of the oldest files may go.
func (s *Store) countExpired(firsts []int64, e Expiry) (n int, err error) {
	orDefault(&e.MaxFiles, defaultExpiryFiles)
	for n < len(firsts)-1 && n < e.MaxFiles {
		if e.Force {
			n++
			continue
		}
		if e.Keep > 0 && e.Keep < firsts[n+1] {
			return n, nil
		}
		last, ok, err := s.lastWrite(firsts[n+1])
		if err != nil || !ok || !last.Before(e.Before) {
			return n, err
		}
		n++
	}
	return n, nil
}

// lastWrite is when the file before the one that begins at next was last written:
// when the first record of that came. ok is false while there is none.
func (s *Store) lastWrite(next int64) (at time.Time, ok bool, err error) {
	head, err := s.recordHead(next)
	if errors.Is(err, ErrNoRecord) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(head[storeTimestampAt(head[:]):]))), true, nil
}

// vouched sees to it that a checkpoint is behind all that goes: a queue that
// loses all its records must not lose its offsets. When none can be made, for
// want of space, less may go.
func (s *Store) vouched(firsts []int64, n int) (int, error) {
	if s.indexer.checkpointed() >= firsts[n] {
		return n, nil
	}
	err := s.indexer.checkpoint()
	if isFailure(err) {
		return 0, err
	}
	at := s.indexer.checkpointed()
	for n > 0 && firsts[n] > at {
		n--
	}
	if n > 0 {
		err = nil
	}
	return n, err
}

// raiseMinimums moves all queues' minimum offsets behind the records before phys.
func (s *Store) raiseMinimums(phys int64) {
	for _, q := range s.queues.all() {
		if err := s.queues.raiseMinimum(q, phys); err != nil {
			s.opt.Logger.Error("the first offset of a consume queue was not found; it stays as it was", "topic", q.topic, "queue", q.id, "error", err)
		}
	}
}

// raiseMinimum finds a queue's first entry at or behind a physical offset.
func (t *queueTable) raiseMinimum(q *queue, phys int64) error {
	lo, hi := q.bounds()
	var one [entrySize]byte
	var failed error
	before := func(offset int64) bool {
		n, err := t.read(q, one[:], offset)
		if err != nil && failed == nil {
			failed = err
		}
		return failed == nil && n == entrySize && decodeEntry(one[:], offset).PhysicalOffset < phys
	}
	if lo == hi || !before(lo) {
		return failed
	}
	first := lo + 1 + int64(sort.Search(int(hi-lo-1), func(i int) bool { return !before(lo + 1 + int64(i)) }))
	if failed != nil {
		return failed
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.min = max(q.min, first)
	return nil
}

// removeSegment deletes the oldest commit log file, durably: a later one must not
// be gone while it is there.
func (s *Store) removeSegment(first int64) error {
	key := s.log.key(first)
	s.log.dropSegment(first)
	s.files.drop(key)
	err := s.opt.FS.Remove(key.path())
	s.files.drop(key) // a reader may have been in between
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.restoreSegment(first)
		return fmt.Errorf("delete an old commit log file: %w", err)
	}
	if err := s.opt.FS.SyncDir(s.log.dir); err != nil {
		return &FailedError{File: s.log.dir, Err: err}
	}
	return nil
}

// removeQueueFiles deletes the consume queue files that are before the minimum
// offsets, but for the last such: the first file that a queue keeps has entries
// that the checkpoint vouches for, and says where the queue ends.
func (s *Store) removeQueueFiles() (n int, err error) {
	for _, q := range s.queues.all() {
		for first, ok := q.spentFile(); ok; first, ok = q.spentFile() {
			if err := s.removeQueueFile(q, first); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

func (s *Store) removeQueueFile(q *queue, first int64) error {
	key := q.key(first)
	s.files.drop(key)
	err := s.opt.FS.Remove(key.path())
	s.files.drop(key) // a reader may have been in between
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete an old consume queue file: %w", err)
	}
	q.mu.Lock()
	q.files = slices.Delete(slices.Clone(q.files), 0, 1)
	q.mu.Unlock()
	if err := s.opt.FS.SyncDir(q.dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a deleted topic
		return &FailedError{File: q.dir, Err: err}
	}
	return nil
}

// spentFile is a queue's first file when its entries are all before the minimum,
// and so is the next one's first.
func (q *queue) spentFile() (first int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.deleted || len(q.files) < 2 || q.files[1] >= q.min {
		return 0, false
	}
	return q.files[0], true
}

// segments lists the files' first offsets.
func (l *commitLog) segments() []int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.firsts)
}

func (l *commitLog) dropSegment(first int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.firsts = slices.DeleteFunc(slices.Clone(l.firsts), func(f int64) bool { return f == first })
}

func (l *commitLog) restoreSegment(first int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.firsts = append([]int64{first}, l.firsts...)
}

// checkpointed is the physical offset of the last checkpoint.
func (x *indexer) checkpointed() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last.phys
}
