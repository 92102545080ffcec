package store

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// Not parallel: it measures the heap.
func TestTenThousandQueuesAreCheap(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 10,000 files")
	}
	const queues = 10_000
	var open, most atomic.Int64
	dir := t.TempDir()
	counted := vfs.NewFaulty(vfs.OS(), vfs.Hooks{After: func(c vfs.Call, err error) {
		switch {
		case c.Op == vfs.OpOpen && err == nil:
			n := open.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
		case c.Op == vfs.OpClose:
			open.Add(-1)
		}
	}})
	// No sync of 10,000 files: the test is not about the disk's speed.
	o := Options{FS: unsyncedFS{counted}, Dir: dir, MaxOpenFiles: 64, TailBytes: minTailBytes}
	s := openStore(t, o)
	before := heap()
	goroutines := runtime.NumGoroutine()
	for range 3 {
		fill(t, s, queues, queues, 10)
	}
	mustCheckpoint(t, s)
	if n := runtime.NumGoroutine(); n > goroutines+5 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	if perQueue := (heap() - before) / queues; perQueue > 1000 {
		t.Errorf("%d bytes of memory an idle queue", perQueue)
	}
	if n := most.Load(); n > 80 {
		t.Errorf("%d files were open at once, want at most 64 and a few", n)
	}
	mustClose(t, s)
	s = openStore(t, o)
	for _, q := range []int32{0, 1, queues / 2, queues - 1} {
		if got := readAll(t, s, "bench", q); len(got) != 3 {
			t.Fatalf("queue %d has %d records after reopening, want 3", q, len(got))
		}
	}
	mustClose(t, s)
	if n := open.Load(); n != 0 {
		t.Errorf("%d files are open after Close", n)
	}
}

// mustCheckpoint makes all queues' entries go to their files.
func mustCheckpoint(tb testing.TB, s *Store) {
	tb.Helper()
	if err := s.Flush(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	// Deleting a topic that exists ends with a checkpoint.
	mustPut(tb, s, "to be deleted", 0, "", "x")
	if err := s.DeleteTopic(tb.Context(), "to be deleted"); err != nil {
		tb.Fatal(err)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// unsyncedFS passes everything on but syncs.
type unsyncedFS struct{ vfs.FS }

func (u unsyncedFS) SyncDir(string) error { return nil }

func (u unsyncedFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := u.FS.OpenFile(name, flag, perm)
	return unsyncedFile{f}, err
}

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) Sync() error { return nil }

func TestFilesOverTheLimitAreClosedTheLeastUsedFirst(t *testing.T) {
	t.Parallel()
	open := map[string]int{}
	fs := vfs.NewFaulty(vfs.NewMem(), vfs.Hooks{After: func(c vfs.Call, _ error) {
		switch c.Op {
		case vfs.OpOpen:
			open[c.Path]++
		case vfs.OpClose:
			open[c.Path]--
		}
	}})
	c := newFileCache(fs, 2, nil)
	for i := range int64(4) {
		f, err := c.create(fileKey{"/", i})
		if err != nil {
			t.Fatal(err)
		}
		c.release(f)
	}
	use := func(i int64) *cachedFile {
		f, err := c.acquire(fileKey{"/", i})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	opened := func() (list string) {
		for i := range int64(4) {
			list += strings.Repeat(fmt.Sprint(i), open[fileKey{"/", i}.path()])
		}
		return list
	}
	if got := opened(); got != "23" {
		t.Fatalf("open: %s, want 23", got)
	}
	c.release(use(2))
	c.release(use(1))
	if got := opened(); got != "12" {
		t.Fatalf("open: %s, want 12", got)
	}
	a, b, d := use(0), use(3), use(0) // in use: the limit gives way
	if got := opened(); got != "03" {
		t.Fatalf("open: %s, want 03", got)
	}
	e := use(1)
	if got := opened(); got != "013" {
		t.Fatalf("open: %s, want 013", got)
	}
	c.drop(fileKey{"/", 0})
	c.release(a)
	if got := opened(); got != "013" {
		t.Fatalf("open: %s, want 013: one still uses 0", got)
	}
	c.release(d)
	if got := opened(); got != "13" {
		t.Fatalf("open: %s, want 13", got)
	}
	c.release(b)
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	c.release(e)
	if got := opened(); got != "" {
		t.Fatalf("open: %s, want none", got)
	}
	if _, err := c.acquire(fileKey{"/", 1}); !errors.Is(err, ErrClosed) {
		t.Fatalf("after close: %v", err)
	}
}

func TestDeletedTopicIsGoneAndStartsAnew(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	o := Options{FS: fs, QueueFileEntries: 3, SegmentSize: 1000}
	s := openStore(t, o)
	for i := range 20 {
		mustPut(t, s, "old", int32(i%2), "", fmt.Sprint(i))
		mustPut(t, s, "kept", 0, "", fmt.Sprint(i))
	}
	if err := s.DeleteTopic(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteTopic(t.Context(), "never was"); err != nil {
		t.Fatal(err)
	}
	gone := func(s *Store) {
		t.Helper()
		if diff := cmp.Diff([]Queue{{"kept", 0}}, s.Queues()); diff != "" {
			t.Fatal(diff)
		}
		if r, err := s.Read("old", 0, 0, 1, 1, nil, nil); err != nil || r.Status != NoQueue {
			t.Fatalf("read of the deleted topic: %v, %v", r.Status, err)
		}
	}
	gone(s)
	for _, fs := range []*vfs.Mem{fs.Clone(), fs.Crash(1), fs.Crash(2)} {
		o := o
		o.FS = fs
		old := openStore(t, o)
		gone(old)
		mustClose(t, old)
		removeDerived(t, Options{FS: fs, Dir: testDir})
		gone(openStore(t, o))
	}
	for i := range 5 {
		if r := mustPut(t, s, "old", 1, "", fmt.Sprint("new ", i)); r.QueueOffset != int64(i) {
			t.Fatalf("append %d to the new topic is at %d", i, r.QueueOffset)
		}
	}
	fresh := func(s *Store) {
		t.Helper()
		if got := bodies(readAll(t, s, "old", 1)); len(got) != 5 || got[0] != "new 0" {
			t.Fatalf("the new topic has %q", got)
		}
		if n := len(readAll(t, s, "kept", 0)); n != 20 {
			t.Fatalf("the other topic has %d records", n)
		}
	}
	fresh(s)
	killed := fs.Clone()
	mustClose(t, s)
	for name, fs := range map[string]*vfs.Mem{"closed": fs, "killed": killed} {
		o := o
		o.FS = fs
		s := openStore(t, o)
		fresh(s)
		if n := s.MaxOffset("old", 0); n != 0 {
			t.Fatalf("%s: queue 0 of the new topic has %d records", name, n)
		}
		mustClose(t, s)
		removeDerived(t, Options{FS: fs, Dir: testDir})
		s = openStore(t, o)
		fresh(s)
		if n := s.MaxOffset("old", 0); n != 0 {
			t.Fatalf("%s: queue 0 of the new topic has %d records after all queues were built anew", name, n)
		}
	}
}

func TestQueuesAreListedInOrder(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{})
	for _, q := range []Queue{{"b", 2}, {"a", 10}, {"b", 0}, {"a", 9}} {
		mustPut(t, s, q.Topic, q.ID, "", "x")
	}
	if diff := cmp.Diff([]Queue{{"a", 9}, {"a", 10}, {"b", 0}, {"b", 2}}, s.Queues()); diff != "" {
		t.Fatal(diff)
	}
}

func TestStatsTellWhatIsStored(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{})
	mustPut(t, s, "a", 0, "", "x")
	mustPut(t, s, "b", 0, "", "x")
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	st, err := s.Stats()
	size := int64(2 * len(record(t, "a", 0, "", []byte("x"))))
	if err != nil || st.MaxPhysicalOffset != size || st.DurablePhysicalOffset != size || st.Queues != 2 || st.PendingBytes != 0 || st.Space.Total == 0 {
		t.Fatalf("%+v, %v; want %d bytes, durable, of 2 queues", st, err, size)
	}
}
