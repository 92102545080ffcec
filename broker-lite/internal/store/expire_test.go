package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// agingStore has a clock that the test moves.
func agingStore(tb testing.TB, o Options) (*Store, Options, *atomic.Int64) {
	tb.Helper()
	now := new(atomic.Int64)
	now.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	o.Now = func() time.Time { return time.UnixMilli(now.Load()) }
	if o.FS == nil {
		o.FS = vfs.NewMem()
	}
	if o.Dir == "" {
		o.Dir = testDir
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = 1000
	}
	if o.QueueFileEntries == 0 {
		o.QueueFileEntries = 4
	}
	return openStore(tb, o), o, now
}

func mustExpire(tb testing.TB, s *Store, e Expiry) Expired {
	tb.Helper()
	done, err := s.DeleteExpired(context.Background(), e)
	if err != nil {
		tb.Fatal(err)
	}
	return done
}

// putHours appends a record of 400 bytes of body, two a file, each hour.
func putHours(tb testing.TB, s *Store, now *atomic.Int64, topic string, n int) {
	tb.Helper()
	for i := range n {
		mustPut(tb, s, topic, 0, "t", fmt.Sprintf("%03d %s", i, strings.Repeat("x", 330)))
		now.Add(time.Hour.Milliseconds())
	}
}

func TestFilesGoWhenTheirLastWriteIsOldEnough(t *testing.T) {
	t.Parallel()
	var deleted []int64
	s, _, now := agingStore(t, Options{OnDelete: func(first int64) { deleted = append(deleted, first) }})
	begin := time.UnixMilli(now.Load())
	putHours(t, s, now, "a", 8) // hours 0 to 7 in files of two
	for _, c := range []struct {
		before time.Duration
		files  int
		first  int64 // queue offset
	}{
		{2 * time.Hour, 0, 0},                  // the first file was full at 2:00, not before
		{2*time.Hour + time.Millisecond, 1, 2}, // now it was before
		{5 * time.Hour, 1, 4},
		{100 * time.Hour, 1, 6}, // never the last
		{100 * time.Hour, 0, 6},
	} {
		done := mustExpire(t, s, Expiry{Before: begin.Add(c.before)})
		if done.Files != c.files || s.MinOffset("a", 0) != c.first {
			t.Errorf("before %v: %d files went and the queue begins with %d, want %d and %d", c.before, done.Files, s.MinOffset("a", 0), c.files, c.first)
		}
	}
	if diff := cmp.Diff([]int64{1000, 2000, 3000}, deleted); diff != "" {
		t.Error("OnDelete:", diff)
	}
	if err := checkConsistent(s); err != nil {
		t.Error(err)
	}
}

func TestNoMoreFilesGoAtOnceThanAsked(t *testing.T) {
	t.Parallel()
	s, _, now := agingStore(t, Options{})
	putHours(t, s, now, "a", 30)
	for _, c := range []struct{ max, want int }{{3, 3}, {0, defaultExpiryFiles}, {0, 1}, {0, 0}} {
		if done := mustExpire(t, s, Expiry{Before: time.UnixMilli(now.Load()), MaxFiles: c.max}); done.Files != c.want {
			t.Errorf("with MaxFiles %d %d files went, want %d", c.max, done.Files, c.want)
		}
	}
}

func TestLogThatIsStillNeededGoesOnlyByForce(t *testing.T) {
	t.Parallel()
	s, _, now := agingStore(t, Options{})
	putHours(t, s, now, "a", 8)
	later := time.UnixMilli(now.Load())
	for _, c := range []struct {
		keep int64
		want int64
	}{{999, 0}, {1000, 1000}, {1999, 1000}, {2500, 2000}} {
		if done := mustExpire(t, s, Expiry{Before: later, Keep: c.keep}); done.MinPhysicalOffset != c.want {
			t.Errorf("with %d needed the log begins at %d, want %d", c.keep, done.MinPhysicalOffset, c.want)
		}
	}
	if done := mustExpire(t, s, Expiry{Force: true, Keep: 2500}); done.MinPhysicalOffset != 3000 {
		t.Errorf("the log begins at %d, want 3000", done.MinPhysicalOffset)
	}
}

func TestWhatIsDeletedStaysDeleted(t *testing.T) {
	t.Parallel()
	s, o, now := agingStore(t, Options{})
	putHours(t, s, now, "gone", 4) // all of it goes
	putHours(t, s, now, "a", 20)
	mustExpire(t, s, Expiry{Force: true, MaxFiles: 6})
	check := func(s *Store) {
		t.Helper()
		r, err := s.Read("a", 0, 3, 32, 1<<20, nil, nil)
		if err != nil || r.Status != OffsetTooSmall || r.NextOffset != 8 || r.MinOffset != 8 || r.MaxOffset != 20 {
			t.Errorf("a read below the minimum gives %v, next %d of %d to %d (%v)", r.Status, r.NextOffset, r.MinOffset, r.MaxOffset, err)
		}
		if got := readAll(t, s, "a", 0); len(got) != 12 || got[0].QueueOffset != 8 {
			t.Errorf("%d records are left, want 8 to 19", len(got))
		}
		if lo, hi := s.MinOffset("gone", 0), s.MaxOffset("gone", 0); lo != 4 || hi != 4 {
			t.Errorf("the empty queue has offsets %d to %d, want 4 and 4", lo, hi)
		}
		r, err = s.Read("gone", 0, 4, 32, 1<<20, nil, nil)
		if err != nil || r.Status != OffsetOverflowOne {
			t.Errorf("a read at the end of the empty queue gives %v (%v)", r.Status, err)
		}
		if _, err := s.ReadRecord(400); !errors.Is(err, ErrNoRecord) {
			t.Errorf("a record of deleted log: %v", err)
		}
		if at, err := s.OffsetByTime("a", 0, 0); at != 8 || err != nil {
			t.Errorf("the first offset by time is %d (%v)", at, err)
		}
		if err := checkConsistent(s); err != nil {
			t.Error(err)
		}
	}
	check(s)
	mustClose(t, s)
	s = openStore(t, o)
	check(s)
	if r := mustPut(t, s, "gone", 0, "t", "again"); r.QueueOffset != 4 {
		t.Errorf("the next message of the empty queue gets offset %d, want 4", r.QueueOffset)
	}
	names := func() (list []string) {
		entries, err := o.FS.ReadDir(testDir + "/consumequeue/a/0")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			list = append(list, strings.TrimLeft(e.Name(), "0"))
		}
		return list
	}
	size := int64(4 * entrySize)
	if diff := cmp.Diff([]string{fmt.Sprint(size), fmt.Sprint(2 * size), fmt.Sprint(3 * size), fmt.Sprint(4 * size)}, names()); diff != "" {
		t.Error("queue files (the one before the minimum's stays):", diff)
	}
}

func TestAFileThatCannotBeDeletedStaysReadable(t *testing.T) {
	t.Parallel()
	mem, broken := vfs.NewMem(), &atomic.Bool{}
	s, o, now := agingStore(t, Options{FS: vfs.NewFaulty(mem, vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
		if broken.Load() && c.Op == vfs.OpRemove {
			return vfs.Fault{Err: fs.ErrPermission}
		}
		return vfs.Fault{}
	}})})
	putHours(t, s, now, "a", 8)
	broken.Store(true)
	if _, err := s.DeleteExpired(context.Background(), Expiry{Force: true}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("error %v, want a permission error", err)
	}
	if s.Err() != nil {
		t.Error("the store has failed:", s.Err())
	}
	if first := s.log.min(); first != 0 {
		t.Errorf("the log begins at %d, but nothing was deleted", first)
	}
	broken.Store(false)
	if done := mustExpire(t, s, Expiry{Force: true}); done.Files != 3 {
		t.Errorf("%d files went the second time, want 3", done.Files)
	}
	mustClose(t, s)
	openStore(t, o)
}

func TestReadersOfDeletedLogFinishOrHearThatItIsGone(t *testing.T) {
	t.Parallel()
	s, _, now := agingStore(t, Options{TailBytes: minTailBytes, FS: vfs.OS(), MaxOpenFiles: 2, Dir: t.TempDir()})
	putHours(t, s, now, "a", 400)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for at := int64(0); at < 390; {
				r, err := s.Read("a", 0, at, 8, 1<<20, nil, nil)
				if err != nil || r.Status != Found && r.Status != OffsetTooSmall {
					t.Errorf("a read at %d gives %v, %v", at, r.Status, err)
					return
				}
				if r.NextOffset <= at {
					t.Errorf("a read at %d goes on at %d", at, r.NextOffset)
					return
				}
				at = r.NextOffset
				if _, err := s.OffsetByTime("a", 0, now.Load()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 190 {
		mustExpire(t, s, Expiry{Force: true, MaxFiles: 1})
	}
	wg.Wait()
}

func TestTheEarliestStoreTimeIsOfWhatIsLeft(t *testing.T) {
	t.Parallel()
	var s *Store
	var armed atomic.Bool
	s, _, now := agingStore(t, Options{TailBytes: minTailBytes, FS: vfs.NewFaulty(vfs.NewMem(), vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
		if c.Op == vfs.OpRead && armed.CompareAndSwap(true, false) { // the first record is being looked for
			mustExpire(t, s, Expiry{Force: true, MaxFiles: 1})
		}
		return vfs.Fault{}
	}})})
	begun := now.Load()
	putHours(t, s, now, "a", 400)
	second := int64(-1)
	for range 3 {
		armed.Store(true)
		ms, err := s.EarliestStoreTime("a", 0)
		want, err2 := s.StoreTime("a", 0, s.MinOffset("a", 0))
		if err := errors.Join(err, err2); armed.Load() || err != nil || ms != want || ms <= second || ms <= begun {
			t.Errorf("%d, want %d, the first of what is left (%v)", ms, want, err)
		}
		second = ms
	}
}
