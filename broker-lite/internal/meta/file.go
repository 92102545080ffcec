package meta

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// A table that changes all the time is written no more than a fifth of the time, so
// that making many topics is not writing all of them as often. A write is late by
// maxRest at most.
const (
	restFactor = 4
	maxRest    = time.Second
)

// file keeps one table's file. The alarm's goroutine is its only writer while
// it runs; before and after, it is who opens and closes.
type file struct {
	fs     vfs.FS
	path   string
	logger *slog.Logger
	delay  time.Duration // from the first change to the write
	encode func() ([]byte, error)
	alarm  *alarm.Alarm

	mu      sync.Mutex // guards the following
	changes uint64     // made so far
	saved   uint64     // of these, on disk
	err     error      // of the last write
	rest    time.Time  // no write that nobody waits for begins before
	ended   chan struct{}
}

func newFile(o Options, path string, delay time.Duration, encode func() ([]byte, error)) *file {
	return &file{fs: o.FS, path: path, logger: o.Logger, delay: delay, encode: encode, ended: make(chan struct{})}
}

// load hands the file's content to decode, which leaves its table alone when it
// fails. A file that does not exist is not handed over.
func (f *file) load(decode func([]byte) error) error {
	_, err := vfs.ReadFileValid(f.fs, f.path, decode)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s and its backup cannot be read; repair them, or move them away to start without: %w", f.path, err)
	}
	return nil
}

// start begins to write changes.
func (f *file) start() {
	f.alarm = alarm.Start(0, f.save)
	f.mu.Lock()
	dirty := f.changes != f.saved
	f.mu.Unlock()
	if dirty {
		f.alarm.Set(time.Now().Add(f.delay))
	}
}

// touch notes that the table has changed. It does not block.
func (f *file) touch() {
	f.mu.Lock()
	clean := f.changes == f.saved
	f.changes++
	at := f.next(time.Now())
	f.mu.Unlock()
	if clean && f.alarm != nil {
		f.alarm.Set(at)
	}
}

// next is when a change made now is written. mu is held.
func (f *file) next(now time.Time) time.Time {
	if at := now.Add(f.delay); at.After(f.rest) {
		return at
	}
	return f.rest
}

// save writes the table if it has changed and returns when to come again.
func (f *file) save(now time.Time) time.Time {
	f.mu.Lock()
	changes, dirty := f.changes, f.changes != f.saved
	f.mu.Unlock()
	if !dirty {
		return time.Time{}
	}
	data, err := f.encode()
	if err == nil {
		err = vfs.WriteFileAtomic(f.fs, f.path, data)
	}
	next, before := f.written(now, changes, err)
	switch {
	case err != nil && before == nil:
		f.logger.Error("broker state is not saved; it is tried again until it works", "file", f.path, "every", retryAfter, "err", err)
	case err == nil && before != nil:
		f.logger.Info("broker state is saved again", "file", f.path)
	}
	return next
}

// written notes how a write of so many changes went, and returns when to come again
// and the error of the write before.
func (f *file) written(began time.Time, changes uint64, err error) (next time.Time, before error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ended := time.Now()
	f.rest = ended.Add(min(restFactor*ended.Sub(began), maxRest))
	before, f.err = f.err, err
	if err == nil {
		f.saved = changes
	}
	close(f.ended)
	f.ended = make(chan struct{})
	switch {
	case err != nil:
		return began.Add(retryAfter), before
	case f.changes != f.saved:
		return f.next(began), before
	}
	return time.Time{}, before
}

// waitSaved waits until what has changed so far is on disk. It does not wait
// for the delay.
func (f *file) waitSaved(ctx context.Context) error {
	f.mu.Lock()
	target := f.changes
	f.mu.Unlock()
	for first := true; ; first = false {
		f.mu.Lock()
		saved, err, ended := f.saved >= target, f.err, f.ended
		f.mu.Unlock()
		switch {
		case saved:
			return nil
		case err != nil && !first:
			return fmt.Errorf("save %s: %w", f.path, err)
		case first:
			f.alarm.Set(time.Now())
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return fmt.Errorf("save %s: %w", f.path, context.Cause(ctx))
		}
	}
}

func (f *file) close() error {
	f.alarm.Stop()
	f.save(time.Now())
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changes != f.saved {
		return fmt.Errorf("save %s: %w", f.path, f.err)
	}
	return nil
}
