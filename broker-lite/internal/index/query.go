package index

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Query says which messages are wanted.
type Query struct {
	Topic, Key string
	Kind       Kind
	Begin, End int64 // store time in ms since 1970, both included
	Max        int   // messages, the newest
	MaxBytes   int   // of their records; the first is always given
	// Any: what is found will do though the index has not reached the log's end. For
	// keys that only one message has.
	Any bool
}

// Result is what a query found.
type Result struct {
	Records []byte // side by side as they are stored, in the order of the log
	Count   int
	// LastOffset and LastTime are the physical offset and the store time of the last
	// record that is in the index.
	LastOffset, LastTime int64
}

// maxCandidates is how many records a query looks at, besides those that it gives
// out: keys with the hash of the one that is wanted, and records that are gone.
const maxCandidates = 1 << 10

// Query waits until all messages are indexed that were there when it began, and finds
// the newest. When ctx ends before that, the error is a *BuildingError; the index goes
// on.
func (x *Index) Query(ctx context.Context, q Query) (Result, error) {
	x.start()
	_, end := x.opt.Store.LogBounds()
	late := x.await(ctx, end)
	var building *BuildingError
	if late != nil && !(q.Any && errors.As(late, &building)) {
		return Result{}, late
	}
	s := search{x: x, q: q, hash: hashName(hashTopic(q.Topic), q.Kind, q.Key), last: -1}
	s.first, _ = x.opt.Store.LogBounds()
	s.begin, s.end = seconds(q.Begin), seconds(q.End)
	if late == nil {
		s.ctx = ctx
	} else { // a look at what there is; it is bounded
		s.ctx = x.ctx
	}
	done, err := s.run()
	if err != nil {
		return Result{}, err
	}
	if late != nil && len(s.found) == 0 {
		return Result{}, late
	}
	slices.Reverse(s.found)
	return Result{Records: slices.Concat(s.found...), Count: len(s.found), LastOffset: done.lastOffset, LastTime: done.lastTime}, nil
}

// search is one query, from the newest entry to the oldest.
type search struct {
	ctx        context.Context
	x          *Index
	q          Query
	hash       uint64
	begin, end uint32
	first      int64 // of the log

	last   int64 // the offset looked at last
	looked int
	found  [][]byte
	bytes  int
	err    error
}

func (s *search) run() (done position, err error) {
	if s.q.Max <= 0 || s.q.Begin > s.q.End {
		return position{lastOffset: -1}, nil
	}
	offsets, files, done := s.snapshot()
	for _, phys := range offsets {
		if !s.candidate(phys) {
			return done, s.err
		}
	}
	for _, f := range slices.Backward(files) {
		if !f.overlaps(s.q.Begin, s.q.End) {
			continue
		}
		if err := s.ctx.Err(); err != nil {
			return done, fmt.Errorf("the query took too long: %w", err)
		}
		more, err := s.file(f)
		if err != nil || !more {
			return done, errors.Join(err, s.err)
		}
	}
	return done, s.err
}

// snapshot takes what the entries in memory have, the newest first, and the files.
func (s *search) snapshot() (offsets []int64, files []*file, done position) {
	x := s.x
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range slices.Backward(x.pending) {
		if s.wants(e) {
			if offsets = append(offsets, e.phys); len(offsets) >= s.q.Max+maxCandidates {
				break
			}
		}
	}
	return offsets, x.files, x.done
}

func (s *search) wants(e entry) bool {
	return e.hash == s.hash && e.sec >= s.begin && e.sec <= s.end && e.phys >= s.first
}

// file looks at the entries of a file. more: the query is not done.
func (s *search) file(f *file) (more bool, err error) {
	// Entries of the hash begin in the block before the first fence that is not below
	// it, and end before the first fence that is above.
	low := sort.Search(len(f.fences), func(i int) bool { return f.fences[i] >= s.hash })
	high := sort.Search(len(f.fences), func(i int) bool { return f.fences[i] > s.hash })
	more = true
	err = f.blocks(s.x.opt.FS, int64(high)-1, int64(max(low-1, 0)), func(block []byte) bool {
		n := len(block) / entrySize
		n = sort.Search(n, func(i int) bool { return decodeEntry(block[i*entrySize:]).hash > s.hash })
		for n--; n >= 0 && more; n-- {
			e := decodeEntry(block[n*entrySize:])
			if e.hash != s.hash || e.phys < s.first {
				break
			}
			if s.wants(e) {
				more = s.candidate(e.phys)
			}
		}
		return more && s.ctx.Err() == nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // deleted with its records
	}
	return more, err
}

// blocks calls f for the blocks of a file from high down to low, until it returns
// false.
func (f *file) blocks(fsys vfs.FS, high, low int64, do func(block []byte) bool) (err error) {
	if high < low {
		return nil
	}
	r, err := fsys.OpenFile(f.path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	buf := make([]byte, blockSize*entrySize)
	for i := high; i >= low; i-- {
		b := buf[:min(blockSize, f.count-i*blockSize)*entrySize]
		if n, err := r.ReadAt(b, f.entriesAt()+i*blockSize*entrySize); n < len(b) {
			return fmt.Errorf("read block %d of %s: %w", i, f.path, err)
		}
		if !do(b) {
			return nil
		}
	}
	return nil
}

// candidate looks at a record that may have the key. more: the query is not done.
func (s *search) candidate(phys int64) (more bool) {
	if phys == s.last {
		return true
	}
	s.last = phys
	if s.looked++; s.looked > s.q.Max+maxCandidates {
		return false
	}
	raw, err := s.x.opt.Store.ReadRecord(phys)
	var r protocol.Record
	if err == nil {
		_, err = protocol.DecodeRecord(raw, &r)
	}
	switch {
	case errors.Is(err, store.ErrNoRecord) || errors.Is(err, fs.ErrNotExist):
		return true // it has been deleted meanwhile
	case errors.Is(err, store.ErrClosed):
		s.err = err
		return false
	case err != nil:
		s.x.opt.Logger.Error("a message that was asked for by key cannot be read; it is left out", "offset", phys, "err", err)
		return true
	case r.Topic != s.q.Topic || r.StoreTimestamp < s.q.Begin || r.StoreTimestamp > s.q.End || !readNames(r.Properties).has(s.q.Kind, s.q.Key):
		return true
	case len(s.found) > 0 && s.bytes+len(raw) > s.q.MaxBytes:
		return false
	}
	s.found, s.bytes = append(s.found, raw), s.bytes+len(raw)
	return len(s.found) < s.q.Max
}
