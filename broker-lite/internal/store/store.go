package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// Store is a commit log with its consume queues. Open makes one. Its methods
// may be called from several goroutines.
type Store struct {
	opt  Options
	lock io.Closer

	in       *intake
	files    *fileCache
	log      *commitLog
	queues   *queueTable
	mark     *flushedMark
	appender *appender
	flusher  *flusher
	indexer  *indexer
	cleaned  int64     // all before it is deleted; owned by the indexer
	scratch  sync.Pool // of *scratch

	closeOnce sync.Once
	closeErr  error
}

// Names in the store's directory, besides checkpointName and flushedName.
const (
	lockName        = "lock"
	commitLogName   = "commitlog"
	consumeQueueDir = "consumequeue"
)

// Open opens the store in o.Dir, which it makes when it is missing, and
// recovers what an interrupted run has left: see the package's text. Damage
// that is no torn end is a *CorruptionError; a directory that another store has
// open gives vfs.ErrLocked. ctx ends a long recovery.
func Open(ctx context.Context, o Options) (*Store, error) {
	o.setDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := vfs.MkdirAllSync(o.FS, o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	lock, err := takeLocks(o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Dir, err)
	}
	return start(ctx, o, lock)
}

// start recovers a store whose locks are held, and begins to work.
func start(ctx context.Context, o Options, lock io.Closer) (*Store, error) {
	s := newStore(o, lock)
	r := recovery{ctx: ctx, s: s}
	if err := r.run(); err != nil {
		var damaged *CorruptionError
		if errors.As(err, &damaged) {
			damaged.Dir = o.Dir
		}
		return nil, errors.Join(fmt.Errorf("open store %s: %w", o.Dir, err), s.release())
	}
	go s.flusher.run()
	go s.indexer.run()
	go s.appender.run()
	return s, nil
}

// locks are held while the store is open.
type locks []io.Closer

// Close gives them back.
func (l locks) Close() error {
	var errs []error
	for _, one := range l {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// takeLocks locks the store's directory, and its commit log: another store's
// configuration may name the same log by mistake.
func takeLocks(o Options) (locks, error) {
	if err := vfs.MkdirAllSync(o.FS, filepath.Dir(o.CommitLogDir), 0o755); err != nil {
		return nil, err
	}
	var held locks
	for _, file := range []string{filepath.Join(o.Dir, lockName), o.CommitLogDir + "." + lockName} {
		lock, err := o.FS.Lock(file)
		if err != nil {
			return nil, errors.Join(err, held.Close())
		}
		held = append(held, lock)
	}
	return held, nil
}

func newStore(o Options, lock io.Closer) *Store {
	s := &Store{opt: o, lock: lock}
	s.scratch.New = func() any { return new(scratch) }
	s.in = newIntake(o.MaxPendingBytes)
	s.files = newFileCache(o.FS, o.MaxOpenFiles, o.Logger)
	s.log = &commitLog{dir: o.CommitLogDir, files: s.files, tail: newTail(o.TailBytes)}
	s.queues = &queueTable{
		dir: filepath.Join(o.Dir, consumeQueueDir), files: s.files,
		fileEntries: int64(o.QueueFileEntries), queues: map[queueKey]*queue{},
	}
	s.mark = &flushedMark{fs: o.FS, dir: o.Dir}
	s.flusher = newFlusher(s.mark, o.Logger)
	s.indexer = &indexer{
		fs: o.FS, dir: o.Dir, table: s.queues, log: o.Logger, in: s.in, dirs: map[string]bool{},
		every: o.CheckpointBytes, interval: o.CheckpointInterval,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	start := time.Now()
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	s.appender = &appender{
		s: s, now: func() time.Duration { return time.Since(start) }, timer: timer,
		ctl: make(chan control), ended: make(chan struct{}),
		w: logWriter{fs: o.FS, log: s.log, mark: s.mark, segmentSize: o.SegmentSize},
	}
	return s
}

// Append queues an append; a.Done gets the answer. It never waits for the disk.
func (s *Store) Append(a *Append) {
	err := a.check(s.MaxAppendBytes())
	if err == nil {
		err = s.in.put(a)
	}
	if err != nil {
		a.answer(AppendResult{Err: err})
	}
}

// MaxAppendBytes is the most that the records of one Append may have together.
func (s *Store) MaxAppendBytes() int64 { return s.opt.SegmentSize - blankHeader }

// Err is nil while the store takes appends; a *FailedError after a failed sync.
func (s *Store) Err() error { return s.in.failure() }

// Refuse makes every append from now on fail with err, until it is called with
// nil: the disk is nearly full. What was appended before is stored.
func (s *Store) Refuse(err error) { s.in.fill(err) }

// control runs f on the appender when all that was written is published and
// durable.
func (s *Store) control(ctx context.Context, f func() error) error {
	c := control{run: f, done: make(chan error, 1)}
	select {
	case s.appender.ctl <- c:
	case <-s.appender.ended:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Flush returns when all appends that were answered before it are durable.
func (s *Store) Flush(ctx context.Context) error {
	return s.control(ctx, func() error { return nil })
}

// DeleteTopic removes a topic's consume queues, and notes that in the log, durably;
// the topic's records stay in the log, out of reach. A later append starts the topic
// anew at offset 0. Appends of the topic that are on their way may come before or
// after the removal.
func (s *Store) DeleteTopic(ctx context.Context, topic string) error {
	note, err := deletionNote(topic, s.opt.Now().UnixMilli())
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	if n := int64(len(note)); n > s.MaxAppendBytes() {
		return fmt.Errorf("delete topic %s: %w: a note of %d bytes, at most %d", topic, ErrTooLarge, n, s.MaxAppendBytes())
	}
	removed := make(chan error, 1)
	if err := s.control(ctx, func() error { return s.appender.deleteTopic(topic, note, removed) }); err != nil {
		return err
	}
	select {
	case err := <-removed:
		return err
	case <-s.indexer.ended:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close takes no more appends, answers those that are queued, makes everything
// durable and gives the directory back. It waits for the disk. A read that needs
// a file fails with ErrClosed from then on. A second Close returns what the
// first did.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.in.close()
		<-s.appender.ended
		close(s.flusher.requests)
		<-s.flusher.ended
		close(s.indexer.stop)
		<-s.indexer.ended
		s.closeErr = errors.Join(s.in.failure(), s.release())
	})
	return s.closeErr
}

// release closes all files and the lock.
func (s *Store) release() error {
	return errors.Join(s.appender.w.close(), s.mark.close(), s.files.close(), s.lock.Close())
}

// MinOffset is the offset of a queue's first record; 0 for a queue that does
// not exist.
func (s *Store) MinOffset(topic string, queueID int32) int64 {
	lo, _ := s.bounds(topic, queueID)
	return lo
}

// MaxOffset is the offset behind a queue's last readable record; 0 for a queue
// that does not exist.
func (s *Store) MaxOffset(topic string, queueID int32) int64 {
	_, hi := s.bounds(topic, queueID)
	return hi
}

func (s *Store) bounds(topic string, queueID int32) (lo, hi int64) {
	if q := s.queues.get(topic, queueID); q != nil {
		return q.bounds()
	}
	return 0, 0
}

// Queue names a consume queue.
type Queue struct {
	Topic string
	ID    int32
}

// Queues lists the consume queues that exist, by topic and id: those that ever
// had a record.
func (s *Store) Queues() []Queue {
	all := s.queues.all()
	list := make([]Queue, len(all))
	for i, q := range all {
		list[i] = Queue{q.topic, q.id}
	}
	slices.SortFunc(list, func(a, b Queue) int {
		if a.Topic != b.Topic {
			if a.Topic < b.Topic {
				return -1
			}
			return 1
		}
		return int(a.ID) - int(b.ID)
	})
	return list
}

// Stats are figures about the store at one moment.
type Stats struct {
	MinPhysicalOffset     int64 // of the first record
	MaxPhysicalOffset     int64 // behind the last readable record
	DurablePhysicalOffset int64 // behind the last record known to be durable
	Queues                int
	PendingBytes          int64     // of appends that are not answered
	Space                 vfs.Space // of the commit log's volume; zero where the system does not tell
}

// Stats returns the store's figures.
func (s *Store) Stats() (Stats, error) {
	space, err := s.opt.FS.Space(s.opt.CommitLogDir)
	if errors.Is(err, errors.ErrUnsupported) {
		err = nil // the size is not known here
	}
	st := Stats{MinPhysicalOffset: s.log.min(), MaxPhysicalOffset: s.log.visible.Load(), Space: space}
	s.in.mu.Lock()
	st.PendingBytes = s.in.bytes
	s.in.mu.Unlock()
	s.queues.mu.RLock()
	st.Queues = len(s.queues.queues)
	s.queues.mu.RUnlock()
	s.indexer.mu.Lock()
	st.DurablePhysicalOffset = s.indexer.mark.phys
	s.indexer.mu.Unlock()
	return st, err
}
