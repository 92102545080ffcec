package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// Options say what is indexed and where the index is kept. FS, Dir, Store and Logger
// are required.
type Options struct {
	FS     vfs.FS
	Dir    string // made with the first file
	Store  *store.Store
	Logger *slog.Logger

	// FileEntries is how many entries make a file: those in memory, which are as many
	// at most, but for what a read brings; 0 is 262,144.
	FileEntries int
	// ReadBytes is how much of the log is read at once; 0 is 1 MiB.
	ReadBytes int
	// SaveBytes is the stretch of the log after which a file is written though it is
	// not full: so much is read again after a crash; 0 is 256 MiB.
	SaveBytes int64
}

const (
	defaultFileEntries = 1 << 18
	defaultReadBytes   = 1 << 20
	defaultSaveBytes   = 256 << 20
)

// ErrClosed refuses queries after Close.
var ErrClosed = errors.New("the message index is closed")

// BuildingError says that the index has not reached the end of the log in the time
// that a query had.
type BuildingError struct {
	Done, Behind int64 // bytes of the log
}

func (e *BuildingError) Error() string {
	return fmt.Sprintf("the message index is being built: %d of %d bytes of the commit log are done; ask again later", e.Done, e.Done+e.Behind)
}

// Index finds messages by their keys. Open makes one. Its methods may be called from
// several goroutines.
type Index struct {
	opt Options

	// resting: the builder has done all there is, and waits for Arrived to wake it.
	resting atomic.Bool
	wake    chan struct{}   // of capacity 1: there are new records
	demand  chan struct{}   // of capacity 1: a query waits
	ended   chan struct{}   // closed when the builder ends
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc

	b builder // the builder goroutine's own

	mu sync.Mutex
	// mu guards the following.
	started  bool
	closed   bool
	files    []*file  // in the order of the log
	base     int64    // where the files end; 0 without any
	pending  []entry  // of records from base on, in the order of the log
	done     position // how far the builder has come
	progress chan struct{}
}

// position is a place in the log, and the record before it.
type position struct {
	phys       int64 // the index covers what is before it
	lastOffset int64 // physical offset of the last record; -1 without any
	lastTime   int64 // its store time
}

// Open finds the files of an earlier run, and goes on where they end. Without any it
// does nothing until the first Query.
func Open(o Options) (*Index, error) {
	if o.FileEntries == 0 {
		o.FileEntries = defaultFileEntries
	}
	if o.ReadBytes == 0 {
		o.ReadBytes = defaultReadBytes
	}
	if o.SaveBytes == 0 {
		o.SaveBytes = defaultSaveBytes
	}
	x := &Index{
		opt: o, wake: make(chan struct{}, 1), demand: make(chan struct{}, 1), ended: make(chan struct{}),
		progress: make(chan struct{}), done: position{lastOffset: -1},
	}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	x.b.x = x
	found, err := x.load()
	if err != nil {
		x.cancel()
		return nil, fmt.Errorf("open the message index %s: %w; it may be deleted while the broker is stopped", o.Dir, err)
	}
	if found {
		x.start()
	}
	return x, nil
}

// start starts the builder.
func (x *Index) start() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.started || x.closed {
		return
	}
	x.started = true
	go x.b.run()
}

// Arrived tells that the log has grown. It never blocks, and costs next to nothing
// while there is no index.
func (x *Index) Arrived() {
	if x.resting.Load() && x.resting.CompareAndSwap(true, false) {
		poke(x.wake)
	}
}

// poke fills a channel of capacity 1.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// advance adds entries, and tells the queries that wait.
func (x *Index) advance(entries []entry, done position) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.pending = append(x.pending, entries...)
	x.done = done
	close(x.progress)
	x.progress = make(chan struct{})
}

// await waits until the index covers the log up to a physical offset.
func (x *Index) await(ctx context.Context, phys int64) error {
	for {
		x.mu.Lock()
		done, progress := x.done.phys, x.progress
		x.mu.Unlock()
		if done >= phys {
			return nil
		}
		poke(x.demand)
		select {
		case <-progress:
		case <-x.ctx.Done():
			return ErrClosed
		case <-ctx.Done():
			first, _ := x.opt.Store.LogBounds()
			return &BuildingError{Done: max(done-first, 0), Behind: phys - max(done, first)}
		}
	}
}

// Close ends the builder and writes what is in memory to a file. Only the first Close
// returns an error.
func (x *Index) Close() error {
	x.mu.Lock()
	closed, started := x.closed, x.started
	x.closed = true
	x.mu.Unlock()
	if closed {
		return nil
	}
	x.cancel()
	if !started {
		return nil
	}
	<-x.ended
	return x.b.save(false)
}
