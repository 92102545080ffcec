package timer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/clock"
	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/redeliver"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// world is a store with a timer on one disk, in a bubble.
type world struct {
	t     *testing.T
	disk  *vfs.Mem
	fs    vfs.FS
	store *store.Store
	timer *Service
	ready atomic.Bool // timer is set
}

func tagsCode(*protocol.Record) int64 { return 0 }

func open(t *testing.T, disk *vfs.Mem, hooks vfs.Hooks) *world {
	t.Helper()
	w := &world{t: t, disk: disk, fs: vfs.NewFaulty(disk, hooks)}
	var err error
	w.store, err = store.Open(t.Context(), store.Options{FS: w.fs, Dir: "store", OnArrive: func(topic string, _ int32, _, _ int64) {
		if topic == meta.TimerTopic && w.ready.Load() {
			w.timer.Arrived()
		}
	}, TagsCode: func(r *protocol.Record) int64 {
		var due int64
		if v, ok := protocol.Property(r.Properties, protocol.PropTimerDeliverMs); ok {
			if _, err := fmt.Sscan(v, &due); err != nil {
				panic(err)
			}
		}
		return due
	}})
	if err != nil {
		t.Fatal(err)
	}
	timer, err := Open(Options{Store: w.store, Clock: clock.System(), TagsCode: tagsCode, FS: w.fs, Dir: "store/timer"})
	if err != nil {
		t.Fatal(err)
	}
	w.timer = timer
	w.ready.Store(true)
	timer.Arrived()
	return w
}

func (w *world) close() {
	w.t.Helper()
	if err := w.timer.Close(); err != nil {
		w.t.Error(err)
	}
	if err := w.store.Close(); err != nil {
		w.t.Error(err)
	}
}

// put stores a message that is due at a moment.
func (w *world) put(body string, due int64) {
	w.t.Helper()
	g := redeliver.NewGroup(w.store)
	props := protocol.AppendProperty(nil, protocol.PropRealTopic, "orders")
	props = protocol.AppendProperty(props, protocol.PropRealQueueID, "0")
	props = protocol.AppendProperty(props, protocol.PropTimerDeliverMs, fmt.Sprint(due))
	if err := g.Append(&protocol.Record{Topic: meta.TimerTopic, Body: []byte(body), Properties: props}, due); err != nil {
		w.t.Fatal(err)
	}
	if _, err := g.Wait(nil); err != nil {
		w.t.Fatal(err)
	}
}

// delivered is each delivery's moment, by body.
func (w *world) delivered() map[string][]int64 {
	w.t.Helper()
	got := map[string][]int64{}
	err := w.store.EachEntry("orders", 0, 0, func(e store.Entry) bool {
		raw, err := w.store.ReadEntry(e, nil)
		var r protocol.Record
		if err == nil {
			_, err = protocol.DecodeRecord(raw, &r)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		got[string(r.Body)] = append(got[string(r.Body)], r.StoreTimestamp)
		return true
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func ms(d time.Duration) int64 { return time.Now().Add(d).UnixMilli() }

func TestMemoryHoldsOnlyTheMinuteThatHasBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := open(t, vfs.NewMem(), vfs.Hooks{})
		defer w.close()
		time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour + 30*time.Second)))
		for i := range 1000 {
			w.put(fmt.Sprint(i), ms(time.Duration(i)*10*time.Minute))
		}
		synctest.Wait()
		if n := w.timer.InMemory(); n > 10 {
			t.Errorf("%d entries are in memory", n)
		}
		time.Sleep(500*10*time.Minute + time.Second)
		synctest.Wait()
		if n := w.timer.InMemory(); n > 10 {
			t.Errorf("%d entries are in memory later", n)
		}
		if n := len(w.delivered()); n != 501 {
			t.Errorf("%d are delivered", n)
		}
		if list, err := w.fs.ReadDir("store/timer"); err != nil || len(list) > 100 {
			t.Errorf("%d files, %v", len(list), err)
		}
	})
}

func TestFilesGoWhenTheirMinuteIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := open(t, vfs.NewMem(), vfs.Hooks{})
		defer w.close()
		for i := range 100 {
			w.put(fmt.Sprint(i), ms(time.Duration(i)*time.Minute))
		}
		time.Sleep(100 * time.Minute)
		w.put("last", ms(time.Second)) // has progress saved
		time.Sleep(3 * time.Minute)
		list, err := w.fs.ReadDir("store/timer")
		if err != nil {
			t.Fatal(err)
		}
		var slots []string
		for _, e := range list {
			if _, ok := parseSlot(e.Name()); ok {
				slots = append(slots, e.Name())
			}
		}
		if len(slots) > 1 {
			t.Errorf("%d slot files are left: %q", len(slots), slots)
		}
	})
}

// TestNoMessageIsLostInAPowerCut cuts the power at any moment, with whatever the
// disk has kept, and wants every message that the store has kept delivered, none
// before its time, and those of before the last second once.
func TestNoMessageIsLostInAPowerCut(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				disk := vfs.NewMem()
				sent := map[string]int64{}
				for round := range 6 {
					w := open(t, disk, vfs.Hooks{})
					for i := range 40 {
						body := fmt.Sprint(round, " ", i)
						sent[body] = ms(time.Duration(rnd.Int64N(int64(4 * time.Hour))))
						w.put(body, sent[body])
						time.Sleep(time.Duration(rnd.Int64N(int64(2 * time.Minute))))
					}
					if err := w.store.Flush(context.Background()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Duration(rnd.Int64N(int64(time.Minute))))
					disk = disk.Crash(rnd.Uint64())
					w.close()
				}
				w := open(t, disk, vfs.Hooks{})
				defer w.close()
				time.Sleep(5 * time.Hour)
				got := w.delivered()
				twice := 0
				for body, due := range sent {
					switch moments := got[body]; {
					case len(moments) == 0:
						t.Errorf("%q, due at %d, was lost", body, due)
					case moments[0] < due:
						t.Errorf("%q came %d ms early", body, due-moments[0])
					case len(moments) > 1:
						twice++
					}
				}
				if twice > 6*5 {
					t.Errorf("%d of %d came twice", twice, len(sent))
				}
			})
		})
	}
}

func TestADiskThatFailsDelaysDeliveries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		broken.Store(true)
		w := open(t, vfs.NewMem(), vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
			if _, slot := parseSlot(filepath.Base(c.Path)); slot && c.Op == vfs.OpWrite && broken.Load() {
				return vfs.Fault{Err: os.ErrInvalid, Partial: c.Len / 2}
			}
			return vfs.Fault{}
		}})
		defer w.close()
		due := ms(1500 * time.Millisecond)
		w.put("x", due)
		time.Sleep(5 * time.Second)
		if got := w.delivered(); len(got) > 0 {
			t.Errorf("delivered %v without being filed", got)
		}
		broken.Store(false)
		time.Sleep(2 * time.Second)
		if got := w.delivered()["x"]; len(got) != 1 {
			t.Errorf("delivered %v", got)
		}
	})
}

func TestSlots(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 10, 59, 59, 999e6, time.UTC).UnixMilli()
	at := func(h, m, s int) int64 { return time.Date(2026, 3, 1, h, m, s, 0, time.UTC).UnixMilli() }
	for _, test := range []struct {
		due  int64
		want slotKey
	}{
		{at(10, 59, 59), slotKey{at(10, 59, 0), minute}},
		{at(11, 59, 59), slotKey{at(11, 59, 0), minute}},
		{at(12, 0, 0), slotKey{at(12, 0, 0), hour}},
		{at(9, 0, 1), slotKey{at(9, 0, 0), minute}},
		{-1, slotKey{-minute, minute}},
	} {
		if got := slotFor(test.due, now); got != test.want {
			t.Errorf("%d: %+v, want %+v", test.due, got, test.want)
		}
		if got, ok := parseSlot(test.want.name()); !ok || got != test.want {
			t.Errorf("%s is read as %+v", test.want.name(), got)
		}
	}
	for _, name := range []string{"checkpoint", "m-", "x-5", "m-5.bak", "h"} {
		if _, ok := parseSlot(name); ok {
			t.Errorf("%s is taken for a slot", name)
		}
	}
}

func TestASlotFileIsReadWithoutWhatIsTorn(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	if err := fs.MkdirAll("t", 0o755); err != nil {
		t.Fatal(err)
	}
	s := slots{fs: fs, dir: "t", files: map[slotKey]*slot{}}
	key := minuteOf(0)
	add := func(list ...entry) {
		t.Helper()
		if err := s.add(list, func(int64) slotKey { return key }); err != nil {
			t.Fatal(err)
		}
	}
	add(entry{3, 30}, entry{1, 10})
	f, err := fs.OpenFile("t/"+key.name(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("torn"), 2*entrySize); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s = slots{fs: fs, dir: "t", files: map[slotKey]*slot{}}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	add(entry{2, 20}, entry{1, 10}, entry{1, 11})
	got, err := s.read(key)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]entry{{1, 10}, {1, 11}, {2, 20}, {3, 30}}, got, cmp.AllowUnexported(entry{})); diff != "" {
		t.Error(diff)
	}
}

func FuzzSlotFile(f *testing.F) {
	f.Add(appendEntry(appendEntry(nil, entry{1, 2}), entry{3, 4}))
	f.Add([]byte("no entries"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fs := vfs.NewMem()
		key := minuteOf(0)
		file, err := fs.OpenFile(key.name(), os.O_RDWR|os.O_CREATE, 0o644)
		if err == nil {
			_, err = file.WriteAt(data, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		s := slots{fs: fs, dir: ".", files: map[slotKey]*slot{}}
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		list, err := s.read(key)
		if err != nil || len(list) > len(data)/entrySize {
			t.Fatalf("%d entries of %d bytes, %v", len(list), len(data), err)
		}
		var again []byte
		for _, e := range list {
			again = appendEntry(again, e)
		}
		for i, e := range list {
			if got, ok := decodeEntry(again[i*entrySize:]); !ok || got != e {
				t.Fatalf("%v became %v", e, got)
			}
		}
	})
}
