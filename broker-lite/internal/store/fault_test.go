package store

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

func wantNoSpace(t *testing.T, err error, path string) {
	t.Helper()
	var failed *WriteError
	if !errors.As(err, &failed) || !errors.Is(err, syscall.ENOSPC) || !vfs.MatchPath(path, failed.File) {
		t.Fatalf("err = %v, want a WriteError of %s for want of space", err, path)
	}
}

func TestFullDiskFailsExactlyTheAppendsThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, sync := range []bool{false, true} {
		t.Run(fmt.Sprintf("sync=%v", sync), func(t *testing.T) {
			t.Parallel()
			mem, volume := vfs.NewMem(), vfs.NewVolume(1<<20)
			s := openStore(t, Options{FS: vfs.NewFaulty(mem, vfs.Hooks{Before: volume.Before}), SyncFlush: sync})
			want := []string{"first"}
			mustPut(t, s, "orders", 0, "", "first")
			volume.Free(-(1 << 20) + 1000 - 600)
			for i := range 5 {
				r := put(t, s, "orders", 0, "", fmt.Sprint(i, strings.Repeat("x", 500)))
				wantNoSpace(t, r.Err, logFiles)
			}
			if diff := cmp.Diff(want, bodies(readAll(t, s, "orders", 0))); diff != "" {
				t.Fatal(diff)
			}
			killed := mem.Clone()
			volume.Free(1 << 20)
			for i := range 5 {
				body := fmt.Sprint("later ", i)
				if r := mustPut(t, s, "orders", 0, "", body); r.QueueOffset != int64(len(want)) {
					t.Fatalf("append %d after the disk was full: %+v", i, r)
				}
				want = append(want, body)
			}
			if diff := cmp.Diff(want, bodies(readAll(t, s, "orders", 0))); diff != "" {
				t.Fatal(diff)
			}
			mustClose(t, s)
			for name, fs := range map[string]*vfs.Mem{"closed": mem, "killed while full": killed} {
				s := openStore(t, Options{FS: fs})
				if err := checkConsistent(s); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if n := s.MaxOffset("orders", 0); name == "closed" && n != int64(len(want)) || name != "closed" && n != 1 {
					t.Fatalf("%s: max offset %d", name, n)
				}
			}
		})
	}
}

func TestFullDiskAtTheEndOfAFileIsTriedAgain(t *testing.T) {
	t.Parallel()
	// Each case lets another call of the way to the next file fail, twice.
	for _, c := range []struct {
		name string
		op   vfs.Op
		path string
		skip int64
	}{
		{"the blank record", vfs.OpWrite, logFiles, 1},
		{"the length of the full file", vfs.OpTruncate, logFiles, 0},
		{"the new file", vfs.OpOpen, commitLogName + "/00000000000000001000", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			calls.Store(-c.skip)
			mem := vfs.NewMem()
			s := openStore(t, Options{SegmentSize: 1000, FS: vfs.NewFaulty(mem, vfs.Hooks{Before: func(call vfs.Call) vfs.Fault {
				if call.Op == c.op && vfs.MatchPath(c.path, call.Path) {
					if n := calls.Add(1); n == 1 || n == 2 {
						return vfs.Fault{Err: syscall.ENOSPC}
					}
				}
				return vfs.Fault{}
			}})})
			mustPut(t, s, "orders", 0, "", strings.Repeat("x", 600))
			var got []string
			for i := range 6 {
				body := fmt.Sprint(i, strings.Repeat("y", 400))
				if r := put(t, s, "orders", 0, "", body); r.Err == nil {
					got = append(got, body)
				} else if !errors.Is(r.Err, syscall.ENOSPC) {
					t.Fatal(r.Err)
				}
			}
			if len(got) < 3 || len(got) == 6 && c.op != vfs.OpOpen {
				t.Fatalf("%d of 6 appends were stored: want failures, and then success", len(got))
			}
			if diff := cmp.Diff(got, bodies(readAll(t, s, "orders", 0))[1:]); diff != "" {
				t.Fatal(diff)
			}
			mustClose(t, s)
			s = openStore(t, Options{FS: mem, SegmentSize: 1000})
			if err := checkConsistent(s); err != nil {
				t.Fatal(err)
			}
			if n := s.MaxOffset("orders", 0); n != int64(len(got))+1 {
				t.Fatalf("max offset %d after reopening, want %d", n, len(got)+1)
			}
		})
	}
}

// A tail that a failed write has left must be cut off durably before anything is
// written there: records of the same sizes would bring its rest back to life.
func TestRestOfAFailedWriteNeverComesBack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		var fail atomic.Bool
		mem := vfs.NewMem()
		mem.WriteBack(seed)
		s := openStore(t, Options{FS: vfs.NewFaulty(mem, vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
			if c.Op == vfs.OpWrite && vfs.MatchPath(logFiles, c.Path) && fail.Load() {
				return vfs.Fault{Err: syscall.EIO, Partial: c.Len} // all of it is there, and yet it failed
			}
			return vfs.Fault{}
		}})})
		mustPut(t, s, "orders", 0, "", "kept")
		fail.Store(true)
		two := &Append{Topic: "orders", TagsCodes: []int64{0, 0}, Done: newWaiter()}
		two.Records = append(record(t, "orders", 0, "", []byte("lost")), record(t, "orders", 0, "", []byte("dead"))...)
		s.Append(two)
		if r := <-two.Done.(*waiter).c; r.Err == nil {
			t.Fatal("the append was stored")
		}
		fail.Store(false)
		mustPut(t, s, "orders", 0, "", "next") // where "lost" was, of the same size
		for _, fs := range []*vfs.Mem{mem.Clone(), mem.Crash(seed)} {
			for _, b := range bodies(readAll(t, openStore(t, Options{FS: fs}), "orders", 0)) {
				if b == "dead" || b == "lost" {
					t.Fatalf("seed %d: %q is back", seed, b)
				}
			}
		}
	}
}

func TestConsumeQueuesThatCannotBeWrittenStayInMemoryUntilTheyCan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		full.Store(true)
		mem := vfs.NewMem()
		s := openStore(t, Options{QueueFileEntries: 10, FS: vfs.NewFaulty(mem, vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
			if c.Op == vfs.OpWrite && vfs.MatchPath(consumeQueueDir+"/*/*/*", c.Path) && full.Load() {
				return vfs.Fault{Err: syscall.ENOSPC}
			}
			return vfs.Fault{}
		}})})
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint(i))
			mustPut(t, s, "orders", 0, "", want[i])
		}
		if diff := cmp.Diff(want, bodies(readAll(t, s, "orders", 0))); diff != "" {
			t.Fatal(diff)
		}
		q := s.queues.get("orders", 0)
		unwritten := func() int {
			q.mu.Lock()
			defer q.mu.Unlock()
			return len(q.tail) / entrySize
		}
		if n := unwritten(); n != 100 {
			t.Fatalf("%d entries in memory, want 100", n)
		}
		killed := mem.Clone()
		full.Store(false)
		<-time.After(retryInterval + time.Millisecond)
		synctest.Wait()
		if n := unwritten(); n != 0 {
			t.Fatalf("%d entries in memory after there was room again, want 0", n)
		}
		mustClose(t, s)
		for _, fs := range []*vfs.Mem{mem, killed} {
			s := openStore(t, Options{FS: fs, QueueFileEntries: 10})
			if diff := cmp.Diff(want, bodies(readAll(t, s, "orders", 0))); diff != "" {
				t.Fatal(diff)
			}
			mustClose(t, s)
		}
	})
}

func TestReadErrorsNameTheFileAndPass(t *testing.T) {
	t.Parallel()
	for _, path := range []string{logFiles, consumeQueueDir + "/*/*/*"} {
		var broken atomic.Bool
		mem := vfs.NewMem()
		s := openStore(t, Options{FS: mem})
		mustPut(t, s, "orders", 0, "", "x")
		mustClose(t, s)
		s = openStore(t, Options{FS: vfs.NewFaulty(mem, vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
			if c.Op == vfs.OpRead && vfs.MatchPath(path, c.Path) && broken.Load() {
				return vfs.Fault{Err: syscall.EIO}
			}
			return vfs.Fault{}
		}})})
		broken.Store(true)
		_, err := s.Read("orders", 0, 0, 1, 1<<20, nil, nil)
		if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "0000000000") {
			t.Fatalf("read: %v, want an I/O error that names the file", err)
		}
		broken.Store(false)
		if got := readAll(t, s, "orders", 0); len(got) != 1 {
			t.Fatalf("%d records after the fault has passed, want 1", len(got))
		}
	}
}

func TestOpenFailsCleanlyWhateverCallFails(t *testing.T) {
	t.Parallel()
	base := vfs.NewMem()
	s := openStore(t, Options{FS: base, SegmentSize: 1000, QueueFileEntries: 4})
	for i := range 20 {
		mustPut(t, s, "orders", int32(i%2), "", fmt.Sprint(i, strings.Repeat("x", 100)))
	}
	killed := base.Clone()
	mustClose(t, s)
	broken := errors.New("planted")
	for n := int64(1); ; n++ {
		mem := killed.Clone()
		var calls atomic.Int64
		o := Options{Dir: testDir, SegmentSize: 1000, QueueFileEntries: 4}
		o.FS = vfs.NewFaulty(mem, vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
			if calls.Add(1) == n {
				return vfs.Fault{Err: broken}
			}
			return vfs.Fault{}
		}})
		s, err := Open(t.Context(), o)
		if err == nil && calls.Load() < n {
			mustClose(t, s)
			if n < 50 {
				t.Fatalf("Open made %d calls, too few to believe", n)
			}
			return
		}
		if err == nil {
			// A failed probe, or a close: the store must be whole all the same.
			if err := checkConsistent(s); err != nil {
				t.Fatalf("call %d failed: %v", n, err)
			}
			_ = s.Close()
			continue
		}
		if !errors.Is(err, broken) {
			t.Fatalf("call %d failed: Open says %v", n, err)
		}
		o.FS = mem // and nothing is spoilt, nor locked
		s, err = Open(t.Context(), o)
		if err != nil {
			t.Fatalf("call %d failed: the next Open says %v", n, err)
		}
		if err := checkConsistent(s); err != nil {
			t.Fatalf("call %d failed: %v", n, err)
		}
		mustClose(t, s)
	}
}
