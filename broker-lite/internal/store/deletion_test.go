package store

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// deleting runs f, and returns the files after each call in it that changes something.
func deleting(t *testing.T, o Options, f func(*Store)) (images []*vfs.Mem) {
	t.Helper()
	mem := vfs.NewMem()
	var armed atomic.Bool
	var mu sync.Mutex
	o.FlushInterval, o.CheckpointInterval = time.Hour, time.Hour
	o.FS = vfs.NewFaulty(mem, vfs.Hooks{After: func(c vfs.Call, _ error) {
		if armed.Load() && changing(c.Op) {
			mu.Lock()
			defer mu.Unlock()
			images = append(images, mem.Clone(), mem.Crash(uint64(len(images))))
		}
	}})
	s := openStore(t, o)
	for i := range 12 {
		for _, topic := range []string{"first", "second", "kept"} {
			mustPut(t, s, topic, int32(i%2), "", fmt.Sprint(topic, i))
		}
	}
	if err := s.DeleteTopic(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	f(s)
	mustClose(t, s)
	return images
}

func TestATopicDeletedBeforeStaysDeletedThroughACutInTheNextDeletion(t *testing.T) {
	t.Parallel()
	o := Options{QueueFileEntries: 2, SegmentSize: 1000}
	images := deleting(t, o, func(s *Store) {
		if err := s.DeleteTopic(t.Context(), "second"); err != nil {
			t.Fatal(err)
		}
	})
	if len(images) < 20 {
		t.Fatalf("%d images", len(images))
	}
	for i, fs := range images {
		o.FS, o.Dir = fs, testDir
		r, err := Inspect(t.Context(), o, nil)
		if err != nil || r.ProblemsFound > 0 {
			t.Fatalf("image %d: %+v, %v", i, r, err)
		}
		s := openStore(t, o)
		if n := s.MaxOffset("first", 0) + s.MaxOffset("first", 1); n != 0 {
			t.Fatalf("image %d: %d records of the first topic are back", i, n)
		}
		if n := s.MaxOffset("second", 0) + s.MaxOffset("second", 1); n != 0 && n != 12 {
			t.Fatalf("image %d: the second topic has %d records, want all or none", i, n)
		}
		if n := s.MaxOffset("kept", 0) + s.MaxOffset("kept", 1); n != 12 {
			t.Fatalf("image %d: the third topic has %d records", i, n)
		}
		if err := checkConsistent(s); err != nil {
			t.Fatalf("image %d: %v", i, err)
		}
		mustClose(t, s)
	}
}

// The note is a record as any other: where it does not fit it goes to the next file.
func TestADeletionIsNotedWhereverTheFileEnds(t *testing.T) {
	t.Parallel()
	files := map[int]bool{}
	for n := range 420 {
		o := Options{SegmentSize: 700, FS: vfs.NewMem(), SyncFlush: n%2 == 0}
		s := openStore(t, o)
		mustPut(t, s, "orders", 0, "", "x")
		mustPut(t, s, "orders", 1, "", strings.Repeat("x", n))
		if err := s.DeleteTopic(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		files[len(s.log.segments())] = true
		if r := mustPut(t, s, "orders", 0, "", "new"); r.QueueOffset != 0 {
			t.Fatalf("body of %d bytes: the new topic begins with %d", n, r.QueueOffset)
		}
		mustClose(t, s)
		removeDerived(t, Options{FS: o.FS, Dir: testDir})
		s = openStore(t, o)
		if got := s.Queues(); len(got) != 1 || s.MaxOffset("orders", 0) != 1 {
			t.Fatalf("body of %d bytes: queues %v", n, got)
		}
		if err := checkConsistent(s); err != nil {
			t.Fatalf("body of %d bytes: %v", n, err)
		}
		mustClose(t, s)
	}
	if !files[1] || !files[2] {
		t.Errorf("files after the deletion: %v, want one and two", files)
	}
}

func TestADeletionThatCannotBeNotedDeletesNothing(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	fs := vfs.NewFaulty(vfs.NewMem(), vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
		if full.Load() && c.Op == vfs.OpWrite {
			return vfs.Fault{Err: syscall.ENOSPC}
		}
		return vfs.Fault{}
	}})
	s := openStore(t, Options{FS: fs, FlushInterval: time.Hour, CheckpointInterval: time.Hour})
	mustPut(t, s, "orders", 0, "", "x")
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	if err := s.DeleteTopic(t.Context(), "orders"); err == nil {
		t.Error("a deletion that was not written is acknowledged")
	}
	full.Store(false)
	if n := len(readAll(t, s, "orders", 0)); n != 1 {
		t.Errorf("%d records are left, want 1", n)
	}
	if r := mustPut(t, s, "orders", 0, "", "y"); r.QueueOffset != 1 {
		t.Errorf("the next record is at %d, want 1", r.QueueOffset)
	}
	if err := s.DeleteTopic(t.Context(), "orders"); err != nil || len(s.Queues()) != 0 {
		t.Errorf("the next deletion: %v, queues %v", err, s.Queues())
	}
}

// A topic may be made anew with fewer records than it had.
func TestCheckTellsDeletedRecordsFromMissingEntries(t *testing.T) {
	t.Parallel()
	o := Options{Dir: testDir}
	o.FS = closed(t, o, func(s *Store) {
		for i := range 10 {
			mustPut(t, s, "orders", 0, "", fmt.Sprint(i))
			mustPut(t, s, "gone", 0, "", fmt.Sprint(i))
		}
		for _, topic := range []string{"orders", "gone"} {
			if err := s.DeleteTopic(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
		}
		mustPut(t, s, "orders", 0, "", "a")
		mustPut(t, s, "orders", 0, "", "b")
	})
	r, err := Inspect(t.Context(), o, nil)
	if err != nil || r.ProblemsFound != 0 || r.Entries != 2 || r.Unreachable != 20 || r.Unindexed != 0 {
		t.Errorf("%+v, %v; want 2 entries, 20 records that are out of reach, and nothing wrong", r, err)
	}
}

// And none of those may be behind the last checkpoint.
func TestCheckTellsDeletedRecordsFromMissingEntriesBeforeTheNextCheckpoint(t *testing.T) {
	t.Parallel()
	o := Options{Dir: testDir, QueueFileEntries: 1, CheckpointInterval: time.Hour}
	o.FS = killed(t, o, func(s *Store) {
		for i := range 10 {
			mustPut(t, s, "orders", 0, "", fmt.Sprint(i))
		}
		if err := s.DeleteTopic(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		mustPut(t, s, "orders", 0, "", "a")
		mustPut(t, s, "orders", 0, "", "b")
		for s.queues.get("orders", 0).inFiles() == 0 { // the indexer writes them
			runtime.Gosched()
		}
	})
	r, err := Inspect(t.Context(), o, nil)
	if err != nil || r.ProblemsFound != 0 || r.Queues != 1 || r.Unreachable != 10 || r.Unindexed != 2 {
		t.Errorf("%+v, %v; want 2 records without entries, 10 that are out of reach, and nothing wrong", r, err)
	}
}

func (q *queue) inFiles() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.files)
}
