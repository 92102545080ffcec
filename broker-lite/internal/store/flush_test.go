package store

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// syncGate is a hook that holds up or fails the syncs of the commit log.
type syncGate struct {
	gate  chan struct{} // a sync takes one; nil lets all pass
	err   atomic.Pointer[error]
	path  string
	syncs atomic.Int64
}

func (g *syncGate) before(c vfs.Call) vfs.Fault {
	if c.Op != vfs.OpSync && c.Op != vfs.OpSyncDir || !vfs.MatchPath(g.path, c.Path) {
		return vfs.Fault{}
	}
	g.syncs.Add(1)
	if g.gate != nil {
		<-g.gate
	}
	if err := g.err.Load(); err != nil {
		return vfs.Fault{Err: *err}
	}
	return vfs.Fault{}
}

func (g *syncGate) fs(inner vfs.FS) vfs.FS { return vfs.NewFaulty(inner, vfs.Hooks{Before: g.before}) }

const logFiles = commitLogName + "/*"

func submit(tb testing.TB, s *Store, body string) *waiter {
	tb.Helper()
	w := newWaiter()
	s.Append(&Append{Topic: "orders", Records: record(tb, "orders", 0, "", []byte(body)), TagsCodes: []int64{0}, Done: w})
	return w
}

func TestUnderSyncFlushNothingIsAnsweredOrReadableBeforeItsSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &syncGate{gate: make(chan struct{}), path: logFiles}
		s := openStore(t, Options{FS: g.fs(vfs.NewMem()), SyncFlush: true})
		first := submit(t, s, "first")
		synctest.Wait()
		if g.syncs.Load() != 1 || len(first.c) != 0 || s.MaxOffset("orders", 0) != 0 {
			t.Fatalf("before the sync has ended: %d syncs, %d answers, max offset %d; want 1, 0, 0",
				g.syncs.Load(), len(first.c), s.MaxOffset("orders", 0))
		}
		if _, err := s.ReadRecord(0); !errors.Is(err, ErrNoRecord) {
			t.Fatalf("the record can be read by its physical offset: %v", err)
		}
		// These come while the sync runs; one more sync serves them both.
		second, third := submit(t, s, "second"), submit(t, s, "third")
		synctest.Wait()
		g.gate <- struct{}{}
		synctest.Wait()
		if r := <-first.c; r.Err != nil || r.Status != StatusOK {
			t.Fatalf("first: %+v", r)
		}
		if len(second.c) != 0 || s.MaxOffset("orders", 0) != 1 {
			t.Fatalf("after the first sync: %d answers for the second, max offset %d; want 0, 1", len(second.c), s.MaxOffset("orders", 0))
		}
		g.gate <- struct{}{}
		for _, w := range []*waiter{second, third} {
			if r := <-w.c; r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		if g.syncs.Load() != 2 || s.MaxOffset("orders", 0) != 3 {
			t.Fatalf("%d syncs, max offset %d; want 2, 3", g.syncs.Load(), s.MaxOffset("orders", 0))
		}
		close(g.gate)
		mustClose(t, s)
	})
}

func TestSlowSyncIsAnsweredFlushDiskTimeoutAndReadableLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &syncGate{gate: make(chan struct{}), path: logFiles}
		s := openStore(t, Options{FS: g.fs(vfs.NewMem()), SyncFlush: true, SyncFlushTimeout: 3 * time.Second})
		start := time.Now()
		first := submit(t, s, "first")
		<-time.After(time.Second)
		second := submit(t, s, "second") // written, but the sync that runs does not cover it
		for i, w := range []*waiter{first, second} {
			r := <-w.c
			if r.Err != nil || r.Status != StatusFlushDiskTimeout || r.QueueOffset != int64(i) {
				t.Fatalf("append %d: %+v, want the status of a timeout at offset %d", i, r, i)
			}
			if took, want := time.Since(start), time.Duration(3+i)*time.Second; took != want {
				t.Fatalf("append %d was answered after %v, want %v", i, took, want)
			}
		}
		if n := s.MaxOffset("orders", 0); n != 0 {
			t.Fatalf("max offset %d before the sync has ended", n)
		}
		g.gate <- struct{}{}
		g.gate <- struct{}{}
		synctest.Wait()
		if got := bodies(readAll(t, s, "orders", 0)); len(got) != 2 || got[0] != "first" || got[1] != "second" {
			t.Fatalf("readable after the syncs: %q", got)
		}
		third := submit(t, s, "third")
		g.gate <- struct{}{}
		if r := <-third.c; r.Err != nil || r.Status != StatusOK || r.QueueOffset != 2 {
			t.Fatalf("third: %+v", r)
		}
		close(g.gate)
		mustClose(t, s)
	})
}

func TestAppendAnsweredByTimeoutMayBeUsedAgainAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &syncGate{gate: make(chan struct{}), path: logFiles}
		s := openStore(t, Options{FS: g.fs(vfs.NewMem()), SyncFlush: true})
		w := newWaiter()
		a := &Append{Topic: "orders", Records: record(t, "orders", 0, "", []byte("first")), TagsCodes: []int64{7}, Done: w}
		s.Append(a)
		<-w.c
		clear(a.Records)
		a.TagsCodes[0], a.Topic = 99, "gone"
		close(g.gate)
		synctest.Wait()
		e, ok, err := s.Entry("orders", 0, 0)
		if err != nil || !ok || e.TagsCode != 7 {
			t.Fatalf("entry %+v, %v, %v; want tags code 7", e, ok, err)
		}
		mustClose(t, s)
	})
}

func TestAsyncFlushSyncsAfterItsIntervalAndOnlyWhatIsDirty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &syncGate{path: logFiles}
		s := openStore(t, Options{FS: g.fs(vfs.NewMem()), FlushInterval: 500 * time.Millisecond})
		for round := range int64(3) {
			mustPut(t, s, "orders", 0, "", "x")
			mustPut(t, s, "orders", 0, "", "y")
			<-time.After(499 * time.Millisecond)
			synctest.Wait()
			if n := g.syncs.Load(); n != round {
				t.Fatalf("round %d: %d syncs before the interval has passed", round, n)
			}
			<-time.After(time.Millisecond)
			synctest.Wait()
			if n := g.syncs.Load(); n != round+1 {
				t.Fatalf("round %d: %d syncs after the interval", round, n)
			}
			<-time.After(time.Hour)
		}
		if n := g.syncs.Load(); n != 3 {
			t.Fatalf("%d syncs, want 3: an idle store must not sync", n)
		}
		mustClose(t, s)
		if n := g.syncs.Load(); n != 3 {
			t.Fatalf("%d syncs after Close, want 3: nothing was dirty", n)
		}
	})
}

func TestFailedSyncStopsTheStoreForGood(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		sync bool
	}{{"sync flush", true}, {"async flush", false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := &syncGate{path: logFiles}
			s := openStore(t, Options{FS: g.fs(vfs.NewMem()), SyncFlush: c.sync})
			mustPut(t, s, "orders", 0, "", "before")
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			broken := errors.New("I/O error")
			g.err.Store(&broken)
			r := put(t, s, "orders", 0, "", "during")
			if !c.sync {
				if r.Err != nil {
					t.Fatalf("async append: %v", r.Err)
				}
				r.Err = s.Flush(t.Context())
			}
			wantFailed(t, r.Err, broken)
			g.err.Store(nil) // the disk says that all is well again: it is not to be believed
			wantFailed(t, put(t, s, "orders", 0, "", "after").Err, broken)
			wantFailed(t, s.Err(), broken)
			want := 1
			if !c.sync {
				want = 2
			}
			if got := readAll(t, s, "orders", 0); len(got) != want {
				t.Fatalf("%d records can be read, want %d", len(got), want)
			}
			wantFailed(t, s.Close(), broken)
		})
	}
}

func wantFailed(t *testing.T, err, cause error) {
	t.Helper()
	var failed *FailedError
	if !errors.As(err, &failed) || !errors.Is(err, cause) || !vfs.MatchPath(logFiles, failed.File) {
		t.Fatalf("err = %v, want a FailedError of a commit log file, because of %v", err, cause)
	}
}

func TestFailedSyncOfADerivedFileStopsTheStoreToo(t *testing.T) {
	t.Parallel()
	for _, path := range []string{consumeQueueDir + "/*/*/*", consumeQueueDir + "/*", flushedName, commitLogName} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			g := &syncGate{path: path}
			broken := errors.New("I/O error")
			g.err.Store(&broken)
			fs := vfs.NewMem()
			s := openStore(t, Options{FS: g.fs(fs)})
			put(t, s, "orders", 0, "", "x")
			err := s.Close()
			var failed *FailedError
			if !errors.As(err, &failed) || !vfs.MatchPath(path, failed.File) {
				t.Fatalf("close: %v, want a FailedError of %s", err, path)
			}
			s = openStore(t, Options{FS: fs.Crash(1)})
			if err := checkConsistent(s); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestFlushMakesDurable(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openStore(t, Options{FS: fs, FlushInterval: time.Hour})
	mustPut(t, s, "orders", 0, "", "x")
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(10) {
		after := openStore(t, Options{FS: fs.Crash(seed)})
		if n := after.MaxOffset("orders", 0); n != 1 {
			t.Fatalf("seed %d: max offset %d after a power cut, want 1", seed, n)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Flush(gone); !errors.Is(err, context.Canceled) && err != nil {
		t.Fatalf("flush with a context that has ended: %v", err)
	}
}

func TestFlushedFileNeverRunsAheadOfTheSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		g := &syncGate{gate: make(chan struct{}), path: logFiles}
		s := openStore(t, Options{FS: g.fs(mem), SyncFlush: true})
		says := func() int64 {
			m := flushedMark{fs: mem, dir: testDir}
			known, err := m.load()
			if err = errors.Join(err, m.close()); err != nil || !known {
				t.Fatalf("flushed is known: %v, %v", known, err)
			}
			return m.phys
		}
		w := submit(t, s, "x")
		synctest.Wait()
		if n := says(); n != 0 {
			t.Fatalf("before the sync has ended, %d bytes are said to be durable", n)
		}
		g.gate <- struct{}{}
		<-w.c
		synctest.Wait()
		if n, want := says(), int64(len(record(t, "orders", 0, "", []byte("x")))); n != want {
			t.Fatalf("after the sync, %d bytes are said to be durable, want %d", n, want)
		}
		close(g.gate)
		mustClose(t, s)
	})
}
