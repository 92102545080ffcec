package store

import (
	"log/slog"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// flusher syncs the commit log for the appender, one sync at a time, so that
// the appender can write the next batch, and answer those who have waited too
// long, while the disk works. Started by Open; ends when requests is closed.
type flusher struct {
	mark     *flushedMark
	log      *slog.Logger
	requests chan syncRequest // of capacity 1
	results  chan syncResult  // of capacity 1: the flusher never waits
	ended    chan struct{}
}

// syncRequest asks to sync the log's open file, which then is durable to upTo.
type syncRequest struct {
	file vfs.File
	path string
	upTo mark
}

type syncResult struct {
	upTo mark
	err  error
}

func newFlusher(m *flushedMark, log *slog.Logger) *flusher {
	return &flusher{
		mark: m, log: log,
		requests: make(chan syncRequest, 1),
		results:  make(chan syncResult, 1),
		ended:    make(chan struct{}),
	}
}

func (f *flusher) run() {
	defer close(f.ended)
	for r := range f.requests {
		err := r.file.Sync()
		if err != nil {
			err = &FailedError{File: r.path, Err: err}
		}
		f.results <- syncResult{upTo: r.upTo, err: err}
		if err != nil {
			continue
		}
		if err := f.mark.set(r.upTo.phys); err != nil {
			f.log.Warn("remembering how far the log is synced failed; recovery will be less strict", "file", f.mark.path(), "error", err)
		}
	}
}
