package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
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

const path = "store/delayOffset.json"

var levels = protocol.DelayLevels{time.Second, time.Minute, time.Hour}

// world is a store with a schedule on one disk, in a bubble.
type world struct {
	t        *testing.T
	fs       vfs.FS
	store    *store.Store
	schedule *Service
	ready    atomic.Bool // schedule is set
}

func open(t *testing.T, fs vfs.FS) *world {
	t.Helper()
	w := &world{t: t, fs: fs}
	var err error
	w.store, err = store.Open(t.Context(), store.Options{FS: fs, Dir: "store",
		OnArrive: func(topic string, queueID int32, _, tagsCode int64) {
			if topic == meta.ScheduleTopic && w.ready.Load() {
				w.schedule.Arrived(queueID, tagsCode)
			}
		},
		TagsCode: func(r *protocol.Record) int64 {
			if r.Topic == meta.ScheduleTopic {
				return r.StoreTimestamp + levels.Delay(int(r.QueueID)+1).Milliseconds()
			}
			return 0
		}})
	if err != nil {
		t.Fatal(err)
	}
	w.schedule, err = Open(w.options())
	if err != nil {
		t.Fatal(err)
	}
	w.ready.Store(true)
	return w
}

func (w *world) options() Options {
	return Options{Store: w.store, Clock: clock.System(), Levels: levels, TagsCode: func(*protocol.Record) int64 { return 0 }, FS: w.fs, Path: path}
}

func (w *world) close() {
	w.t.Helper()
	if err := errors.Join(w.schedule.Close(), w.store.Close()); err != nil {
		w.t.Error(err)
	}
}

// put stores a message at a level.
func (w *world) put(level int, body, realTopic string) {
	w.t.Helper()
	w.putFor(level, body, realTopic, time.Now().Add(levels.Delay(level)))
}

// putFor stores a message that is due at a moment.
func (w *world) putFor(level int, body, realTopic string, due time.Time) {
	w.t.Helper()
	g := redeliver.NewGroup(w.store)
	props := protocol.AppendProperty(nil, protocol.PropRealTopic, realTopic)
	props = protocol.AppendProperty(props, protocol.PropRealQueueID, "0")
	r := &protocol.Record{Topic: meta.ScheduleTopic, QueueID: int32(level - 1), Body: []byte(body), Properties: props}
	if err := g.Append(r, due.UnixMilli()); err != nil {
		w.t.Fatal(err)
	}
	if _, err := g.Wait(nil); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) delivered() []string {
	w.t.Helper()
	synctest.Wait()
	got := []string{}
	err := w.store.EachEntry("orders", 0, 0, func(e store.Entry) bool {
		raw, err := w.store.ReadEntry(e, nil)
		var r protocol.Record
		if err == nil {
			_, err = protocol.DecodeRecord(raw, &r)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		got = append(got, string(r.Body))
		return true
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func TestOffsetsAreKeptInApachesForm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		w := open(t, fs)
		for range 3 {
			w.put(1, "x", "orders")
		}
		w.put(3, "late", "orders")
		time.Sleep(3 * time.Second)
		data, err := vfs.ReadFile(fs, path)
		if err != nil || !strings.Contains(string(data), `"offsetTable":{1:3,2:0,3:0}`) {
			t.Errorf("%s, %v", data, err)
		}
		if diff := cmp.Diff([][2]int64{{3, 3}, {0, 0}, {0, 1}}, w.schedule.Offsets()); diff != "" {
			t.Error(diff)
		}
		w.close()
		apaches := "{\n\t\"dataVersion\":{\"counter\":7,\"stateVersion\":0,\"timestamp\":1700000000000},\n\t\"offsetTable\":{1:2,3:1,18:5\n\t}\n}"
		if err := vfs.WriteFileAtomic(fs, path, []byte(apaches)); err != nil {
			t.Fatal(err)
		}
		w = open(t, fs)
		defer w.close()
		time.Sleep(2 * time.Hour)
		if diff := cmp.Diff([]string{"x", "x", "x", "x"}, w.delivered()); diff != "" { // one again, and not the late one
			t.Error(diff)
		}
	})
}

func TestOffsetsThatCannotBe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		w := open(t, fs)
		defer w.close()
		w.put(1, "x", "orders")
		for _, text := range []string{"{", `{"offsetTable":{"x":1}}`, `{"offsetTable":{0:1}}`, `{"offsetTable":7}`} {
			if err := vfs.WriteFileAtomic(fs, "store/bad.json", []byte(text)); err != nil {
				t.Fatal(err)
			}
			if err := fs.Remove("store/bad.json.bak"); err != nil && !strings.Contains(err.Error(), "not exist") {
				t.Fatal(err)
			}
			o := w.options()
			o.Path = "store/bad.json"
			if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "bad.json") {
				t.Errorf("%s: %v", text, err)
			}
		}
		if err := vfs.WriteFileAtomic(fs, "store/far.json", []byte(`{"offsetTable":{1:99,2:-5}}`)); err != nil {
			t.Fatal(err)
		}
		o := w.options()
		o.Path = "store/far.json"
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		if diff := cmp.Diff([][2]int64{{1, 1}, {0, 0}, {0, 0}}, s.Offsets()); diff != "" {
			t.Error(diff)
		}
	})
}

// A turn goes by one look at the clock. On a busy machine messages come after it,
// whose moment must not look like that of a clock set back.
func TestAMessageThatComesDuringATurnIsNotEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := open(t, vfs.NewMem())
		defer w.close()
		looked := time.Now()
		time.Sleep(time.Millisecond)
		w.put(1, "x", "orders")
		stored := time.Now()
		turn, head, err := w.schedule.due(0, 0, looked.UnixMilli())
		if err != nil || len(turn) != 0 || head != stored.Add(levels[0]).UnixMilli() {
			t.Errorf("%d messages are due, the next at %d ms; %v", len(turn), head-stored.UnixMilli(), err)
		}
	})
}

func TestAMomentBeyondTheLevelsDelayIsNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		w := open(t, fs)
		// As of before the clock was set back, or the level's delay was made shorter.
		w.putFor(1, "x", "orders", time.Now().Add(time.Hour))
		w.close()
		w = open(t, fs)
		defer w.close()
		if diff := cmp.Diff([]string{"x"}, w.delivered()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAFullDiskDelaysDeliveriesInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		w := open(t, vfs.NewFaulty(vfs.NewMem(), vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
			if full.Load() && c.Op == vfs.OpWrite && vfs.MatchPath("commitlog/*", c.Path) {
				return vfs.Fault{Err: syscall.ENOSPC}
			}
			return vfs.Fault{}
		}}))
		defer w.close()
		want := []string{}
		for i := range 600 {
			want = append(want, fmt.Sprint(i))
			w.put(1, want[i], "orders")
		}
		full.Store(true)
		time.Sleep(5 * time.Second)
		if got := w.delivered(); len(got) > 0 {
			t.Errorf("%d are delivered", len(got))
		}
		full.Store(false)
		time.Sleep(2 * time.Second)
		if diff := cmp.Diff(want, w.delivered()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAMessageThatCannotBeDeliveredIsPassedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := open(t, vfs.NewMem())
		defer w.close()
		for _, topic := range []string{"orders", "", meta.HalfTopic, meta.ScheduleTopic, "../../etc", "orders"} {
			w.put(1, "to "+topic, topic)
		}
		time.Sleep(5 * time.Second)
		if diff := cmp.Diff([]string{"to orders", "to orders"}, w.delivered()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestNoDeliveryIsLostInAPowerCut cuts the power at any moment.
func TestNoDeliveryIsLostInAPowerCut(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				disk := vfs.NewMem()
				sent := 0
				for range 5 {
					w := open(t, disk)
					for range 50 {
						w.put(1+rnd.IntN(3), fmt.Sprint(sent), "orders")
						sent++
						time.Sleep(time.Duration(rnd.Int64N(int64(time.Minute))))
					}
					if err := w.store.Flush(context.Background()); err != nil {
						t.Fatal(err)
					}
					disk = disk.Crash(rnd.Uint64())
					w.close()
				}
				w := open(t, disk)
				defer w.close()
				time.Sleep(2 * time.Hour)
				got := map[string]int{}
				for _, body := range w.delivered() {
					got[body]++
				}
				twice := 0
				for i := range sent {
					switch n := got[fmt.Sprint(i)]; {
					case n == 0:
						t.Errorf("%d was lost", i)
					case n > 1:
						twice++
					}
				}
				if twice > 5*5 {
					t.Errorf("%d of %d came twice", twice, sent)
				}
			})
		})
	}
}
