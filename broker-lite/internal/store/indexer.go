package store

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// retryInterval is the time after which queues that could not be written are
// tried again.
const retryInterval = time.Second

// maxUnwrittenBytes is how many consume queue bytes may gather in memory
// because their files cannot be written, before appends are refused.
const maxUnwrittenBytes = 64 << 20

// indexer writes the consume queues' files and the checkpoints, apart from the
// appender, whom thousands of small files would hold up. Started by Open; ends
// after stop is closed, with a last checkpoint.
type indexer struct {
	fs       vfs.FS
	dir      string
	table    *queueTable
	log      *slog.Logger
	in       *intake
	every    int64
	interval time.Duration

	wake  chan struct{} // of capacity 1
	stop  chan struct{}
	ended chan struct{}

	mu sync.Mutex
	// mu guards the following.
	dirty  []*queue // have entries that the last checkpoint does not vouch for
	full   []*queue // have enough in memory for a write
	jobs   []job
	mark   mark // the log is synced up to here
	last   mark // of the last checkpoint
	armed  bool // the timer runs
	unsure error

	// The following belong to run.
	stuck   []*queue        // could not be written
	dirs    map[string]bool // have entries that are not synced
	failing bool            // the last attempt failed, and was logged
}

// job is something to do on the indexer's goroutine.
type job struct {
	run  func() error
	done chan error // of capacity 1
}

// note tells how far the log is durable.
func (x *indexer) note(m mark) {
	x.mu.Lock()
	x.mark = m
	wake := !x.armed && m != x.last || m.phys-x.last.phys >= x.every
	x.mu.Unlock()
	if wake {
		x.signal()
	}
}

// add lists a queue that has new entries.
func (x *indexer) add(q *queue, dirty, full bool) {
	x.mu.Lock()
	if dirty {
		x.dirty = append(x.dirty, q)
	}
	if full {
		x.full = append(x.full, q)
	}
	x.mu.Unlock()
	if full {
		x.signal()
	}
}

func (x *indexer) do(j job) {
	x.mu.Lock()
	x.jobs = append(x.jobs, j)
	x.mu.Unlock()
	x.signal()
}

func (x *indexer) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

func (x *indexer) run() {
	defer close(x.ended)
	timer := time.NewTimer(x.interval)
	timer.Stop()
	defer timer.Stop()
	for {
		due, stopping := false, false
		select {
		case <-x.wake:
		case <-timer.C:
			due = true
		case <-x.stop:
			stopping = true
		}
		x.runJobs()
		x.writeFull()
		x.mu.Lock()
		if due {
			x.armed = false
		}
		pending := x.mark != x.last
		far := x.mark.phys-x.last.phys >= x.every
		x.mu.Unlock()
		if pending && (due || far || stopping) {
			x.try(x.checkpoint())
		}
		if stopping {
			return
		}
		x.arm(timer)
	}
}

// arm starts the timer when there is something to make a checkpoint of.
func (x *indexer) arm(timer *time.Timer) {
	d := x.interval
	if len(x.stuck) > 0 {
		d = min(d, retryInterval)
	}
	x.mu.Lock()
	start := !x.armed && (x.mark != x.last || len(x.stuck) > 0)
	x.armed = x.armed || start
	x.mu.Unlock()
	if start {
		timer.Reset(d)
	}
}

// try logs the first error of a row, and stops the store when a sync failed.
func (x *indexer) try(err error) {
	if err == nil {
		return
	}
	if isFailure(err) {
		x.mu.Lock()
		x.unsure = err
		x.mu.Unlock()
		x.in.fail(err)
	}
	if !x.failing {
		x.failing = true
		x.log.Error("keeping the consume queues on disk failed; they stay in memory, and are rebuilt from the commit log after a restart", "error", err)
	}
}

// writeFull writes out the queues that have gathered enough.
func (x *indexer) writeFull() {
	x.mu.Lock()
	list := x.full
	x.full = nil
	x.mu.Unlock()
	list = append(x.stuck, list...)
	x.stuck = nil
	var failed error
	waiting := 0
	for _, q := range list {
		if q.isDeleted() {
			continue
		}
		if err := x.table.writeOut(q); err != nil {
			failed = err
			x.stuck = append(x.stuck, q)
			_, data, _ := q.unwritten()
			waiting += len(data)
			continue
		}
		q.mu.Lock()
		q.full = false
		q.mu.Unlock()
	}
	x.try(failed)
	if waiting < maxUnwrittenBytes {
		failed = nil
	}
	x.in.block(failed)
}

// checkpoint makes the consume queues durable, and says so.
func (x *indexer) checkpoint() error {
	x.mu.Lock()
	list, m := x.dirty, x.mark
	x.dirty = nil
	unsure := x.unsure
	x.mu.Unlock()
	if unsure != nil {
		return unsure
	}
	for i, q := range list {
		if err := x.settle(q); err != nil {
			x.mu.Lock()
			x.dirty = append(x.dirty, list[i+1:]...)
			x.mu.Unlock()
			q.mu.Lock()
			again := !q.dirty
			q.dirty = true
			q.mu.Unlock()
			x.add(q, again, false)
			return err
		}
		x.writeFull() // the appender does not wait for a long checkpoint
	}
	for dir := range x.dirs {
		if err := x.fs.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a deleted topic
			return &FailedError{File: dir, Err: err}
		}
	}
	clear(x.dirs)
	if err := writeCheckpoint(x.fs, x.dir, m); err != nil {
		return &WriteError{File: filepath.Join(x.dir, checkpointName), Err: err}
	}
	x.mu.Lock()
	x.last = m
	x.mu.Unlock()
	x.failing = false
	return nil
}

// settle writes out one queue and syncs its files. The directories that have
// new entries are left to the end of the checkpoint.
func (x *indexer) settle(q *queue) error {
	q.mu.Lock()
	q.dirty = false
	q.mu.Unlock()
	if q.isDeleted() {
		return nil
	}
	if err := x.table.writeOut(q); err != nil {
		return err
	}
	q.shrink()
	for _, first := range q.unsynced {
		if err := x.syncFile(q.key(first)); err != nil {
			return err
		}
	}
	if len(q.unsynced) > 0 {
		x.dirs[q.dir] = true
	}
	if q.newDir {
		x.dirs[filepath.Dir(q.dir)], x.dirs[x.table.dir] = true, true
	}
	q.unsynced, q.newDir = nil, false
	return nil
}

func (x *indexer) syncFile(key fileKey) error {
	f, err := x.table.files.acquire(key)
	if err != nil {
		return &WriteError{File: key.path(), Err: err}
	}
	defer x.table.files.release(f)
	if err := f.Sync(); err != nil {
		return &FailedError{File: key.path(), Err: err}
	}
	return nil
}

func (x *indexer) runJobs() {
	x.mu.Lock()
	jobs := x.jobs
	x.jobs = nil
	x.mu.Unlock()
	for _, j := range jobs {
		j.done <- j.run()
	}
}

// removeTopic removes a deleted topic's queues from the disk, and makes a
// checkpoint that does not count them, so that recovery does not find them again
// in the log.
func (x *indexer) removeTopic(topic string, queues []*queue) error {
	err := x.removeFiles(topic, queues)
	if err == nil {
		err = x.checkpoint()
	}
	x.try(err)
	return err
}

func (x *indexer) removeFiles(topic string, queues []*queue) error {
	for _, q := range queues {
		q.mu.Lock()
		files := q.files
		q.mu.Unlock()
		for _, first := range files {
			x.table.files.drop(q.key(first))
		}
	}
	for _, q := range queues {
		if err := x.removeQueue(q); err != nil {
			return err
		}
	}
	topicDir := filepath.Join(x.table.dir, topic)
	entries, err := x.fs.ReadDir(topicDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) == 0:
		if err := x.fs.Remove(topicDir); err != nil {
			return err
		}
		topicDir = x.table.dir
	}
	if err := x.fs.SyncDir(topicDir); err != nil {
		return &FailedError{File: topicDir, Err: err}
	}
	return nil
}

// removeQueue removes a queue from its end on: one that lacks its beginning would
// pass for one whose old log was deleted.
func (x *indexer) removeQueue(q *queue) error {
	q.mu.Lock()
	files := q.files
	q.mu.Unlock()
	for i := len(files) - 1; i > 0; i-- {
		if err := x.fs.Remove(q.path(files[i])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := x.fs.SyncDir(q.dir); err != nil {
			return &FailedError{File: q.dir, Err: err}
		}
	}
	return vfs.RemoveTree(x.fs, q.dir)
}

// parseQueueID reads a queue's directory name.
func parseQueueID(name string) (int32, bool) {
	id, err := strconv.ParseInt(name, 10, 32)
	return int32(id), err == nil && id >= 0 && strconv.FormatInt(id, 10) == name
}
