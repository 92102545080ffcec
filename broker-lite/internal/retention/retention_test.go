package retention

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/clock"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// disk is a file system in memory whose fullness a test sets.
type disk struct {
	vfs.FS
	used  atomic.Int64 // percent; 1,000 for an error
	looks atomic.Int64
	less  atomic.Int64 // percent that each look frees
}

func (d *disk) Space(string) (vfs.Space, error) {
	d.looks.Add(1)
	used := d.used.Load()
	d.used.Add(-d.less.Load())
	if used == 1000 {
		return vfs.Space{}, errors.New("no such volume")
	}
	return vfs.Space{Total: 110_000, Free: 110_000 - used*1000, Available: 100_000 - used*1000}, nil
}

// rig is a store with a Cleaner, on the bubble's clock.
type rig struct {
	t       *testing.T
	disk    *disk
	store   *store.Store
	cleaner *Cleaner
	log     *lines
	needed  atomic.Int64
}

// lines is a log that a test reads while others write.
type lines struct {
	mu sync.Mutex // guards the following
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// bubble begins at 2000-01-01 00:00 UTC, as all do. Each record fills a file.
func bubble(t *testing.T, s Settings, used int64, f func(*rig)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, disk: &disk{FS: vfs.NewMem()}, log: &lines{}}
		r.disk.used.Store(used)
		var err error
		if r.store, err = store.Open(t.Context(), store.Options{FS: r.disk, Dir: "/store", SegmentSize: 1000}); err != nil {
			t.Fatal(err)
		}
		r.cleaner = Start(Options{
			Settings: s, Store: r.store, Clock: clock.System(), FS: r.disk, Dirs: []string{"/store"}, Needed: r.needed.Load,
			Logger: slog.New(slog.NewTextHandler(r.log, nil)),
		})
		f(r)
		r.cleaner.Stop()
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

type answer chan store.AppendResult

func (a answer) Appended(r store.AppendResult) { a <- r }

func (r *rig) put() error {
	rec, err := protocol.AppendRecord(nil, &protocol.Record{Topic: "a", Body: make([]byte, 800)})
	if err != nil {
		r.t.Fatal(err)
	}
	done := make(answer, 1)
	r.store.Append(&store.Append{Topic: "a", Records: rec, TagsCodes: []int64{0}, Done: done})
	return (<-done).Err
}

func (r *rig) fill(n int, every time.Duration) {
	r.t.Helper()
	for range n {
		if err := r.put(); err != nil {
			r.t.Fatal(err)
		}
		time.Sleep(every)
		synctest.Wait()
	}
}

func (r *rig) first() int64 { return r.store.MinOffset("a", 0) }

func (r *rig) wantFirst(want int64, when string) {
	r.t.Helper()
	synctest.Wait()
	if got := r.first(); got != want {
		r.t.Errorf("%s the queue begins with %d, want %d", when, got, want)
	}
}

func settings() Settings {
	return Settings{DeleteWhen: localHour(4), Reserved: 72 * time.Hour, MaxUsed: 90, CleanAbove: 85, Forcibly: true, LookInterval: 10 * time.Second}
}

// localHour is an hour of UTC in this machine's time zone.
func localHour(utc int) string {
	return time.Date(2000, 1, 1, utc, 30, 0, 0, time.UTC).Local().Format("15")
}

func TestOldFilesGoInTheHourOfDeleteWhen(t *testing.T) {
	bubble(t, settings(), 10, func(r *rig) {
		r.fill(10, time.Hour) // to 10:00
		time.Sleep(60 * time.Hour)
		r.wantFirst(0, "after 70 hours, past 4:00 twice,")
		time.Sleep(18 * time.Hour) // 88 hours: 16:00; at 4:00 to 4:59 what was written up to then three days ago had expired
		r.wantFirst(4, "out of the hour")
		time.Sleep(12*time.Hour + time.Second) // 4:00 of the fifth day
		r.wantFirst(9, "in the hour, with the last file kept,")
	})
}

func TestWhatExpiresWithinTheHourGoesSoon(t *testing.T) {
	bubble(t, settings(), 10, func(r *rig) {
		time.Sleep(4*time.Hour + 20*time.Minute)
		r.fill(2, 10*time.Minute) // the second ends the first's file, at 4:30
		time.Sleep(72*time.Hour - 20*time.Minute)
		r.wantFirst(0, "at 4:20")
		time.Sleep(12 * time.Minute)
		r.wantFirst(1, "at 4:32")
	})
}

func TestDeleteExpiredDoesNotWaitForTheHour(t *testing.T) {
	bubble(t, settings(), 10, func(r *rig) {
		r.fill(60, time.Second)
		if n, err := r.cleaner.DeleteExpired(r.t.Context()); n != 0 || err != nil {
			t.Errorf("%d files went (%v), none had expired", n, err)
		}
		time.Sleep(74 * time.Hour) // 2:00
		n, err := r.cleaner.DeleteExpired(r.t.Context())
		if n != 59 || err != nil {
			t.Errorf("%d files went (%v), want 59", n, err)
		}
		if err := r.cleaner.CleanQueues(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestChangedSettingsCountAtOnce(t *testing.T) {
	bubble(t, settings(), 10, func(r *rig) {
		r.fill(3, 2*time.Hour) // 6:00
		s := settings()
		s.DeleteWhen, s.Reserved = localHour(2)+";"+localHour(6), time.Hour
		r.cleaner.Change(s)
		time.Sleep(time.Second)
		r.wantFirst(2, "after the change")
	})
}

func TestLogThatDelayedMessagesNeedDoesNotExpire(t *testing.T) {
	bubble(t, settings(), 10, func(r *rig) {
		r.needed.Store(2500)
		r.fill(6, time.Hour)
		time.Sleep(100 * time.Hour)
		r.wantFirst(2, "while 2500 is needed")
	})
}

func TestMessagesAreRefusedWhileTheDiskIsTooFull(t *testing.T) {
	s := settings()
	s.Forcibly = false
	bubble(t, s, 90, func(r *rig) {
		r.fill(2, 0)
		r.disk.used.Store(91)
		time.Sleep(11 * time.Second)
		var full *store.FullError
		err := r.put()
		if !errors.As(err, &full) {
			t.Fatalf("an append on a full disk gives %v", err)
		}
		if diff := cmp.Diff(store.FullError{Dir: "/store", Used: 91, Allowed: 90}, *full); diff != "" {
			t.Error(diff)
		}
		if got, err := r.store.Read("a", 0, 0, 32, 1<<20, nil, nil); err != nil || got.Count != 2 {
			t.Errorf("reading gives %d records, %v", got.Count, err)
		}
		looks := r.disk.looks.Load()
		for range 1000 {
			_ = r.put()
		}
		if r.disk.looks.Load() != looks {
			t.Error("appends look at the disk")
		}
		time.Sleep(time.Hour)
		r.disk.used.Store(90)
		time.Sleep(11 * time.Second)
		if err := r.put(); err != nil {
			t.Errorf("an append after the disk has space again: %v", err)
		}
		for text, want := range map[string]int{"messages are refused": 1, "has space again": 1, "no old log to delete": 1} {
			if got := r.log.count(text); got != want {
				t.Errorf("the log says %q %d times, want %d", text, got, want)
			}
		}
	})
}

func TestAFullDiskIsNoticedAtTheStart(t *testing.T) {
	bubble(t, settings(), 95, func(r *rig) {
		if err := r.put(); err == nil {
			t.Error("the first append is taken")
		}
	})
}

func TestAbove85PercentTheOldestFilesGoOneByOne(t *testing.T) {
	bubble(t, settings(), 10, func(r *rig) {
		r.fill(30, 0)
		r.disk.used.Store(88)
		r.disk.less.Store(1) // each look shows that a deletion has helped
		time.Sleep(10 * time.Second)
		r.wantFirst(3, "after going from 88 to 85 percent")
		r.disk.less.Store(0)
		r.disk.used.Store(86)
		time.Sleep(10 * time.Second)
		r.wantFirst(13, "after ten deletions that did not help")
	})
}

func TestWithoutForceOnlyExpiredFilesGoFromAFullDisk(t *testing.T) {
	s := settings()
	s.Forcibly = false
	bubble(t, s, 10, func(r *rig) {
		r.fill(5, 0)
		time.Sleep(71 * time.Hour)
		r.fill(2, 0)
		time.Sleep(2 * time.Hour) // 1:00
		r.wantFirst(0, "out of the hour")
		r.disk.used.Store(99)
		time.Sleep(10 * time.Second)
		r.wantFirst(4, "on a full disk")
	})
}

func TestADiskThatCannotBeLookedAtIsNotFull(t *testing.T) {
	bubble(t, settings(), 1000, func(r *rig) {
		r.fill(3, time.Minute)
		if got := r.log.count("free space of the disk is not known"); got != 1 {
			t.Errorf("the log says so %d times", got)
		}
	})
}
