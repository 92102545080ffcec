package timer

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/redeliver"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Ten days of deliveries, of which the minute that has begun is in memory.
func TestMemoryDoesNotGrowWithWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := open(t, vfs.NewMem(), vfs.Hooks{})
		defer w.close()
		const pending, days = 100_000, 10
		first := time.Now().Add(5 * time.Minute)
		step := days * 24 * time.Hour / pending
		for i := 0; i < pending; {
			g := redeliver.NewGroup(w.store)
			for range 500 {
				due := first.Add(time.Duration(i) * step).UnixMilli()
				props := protocol.AppendProperty(nil, protocol.PropRealTopic, "orders")
				props = protocol.AppendProperty(props, protocol.PropRealQueueID, "0")
				props = protocol.AppendProperty(props, protocol.PropTimerDeliverMs, fmt.Sprint(due))
				if err := g.Append(&protocol.Record{Topic: meta.TimerTopic, Body: []byte("x"), Properties: props}, due); err != nil {
					t.Fatal(err)
				}
				i++
			}
			if _, err := g.Wait(nil); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := w.timer.InMemory(); n != 0 {
			t.Errorf("%d entries are in memory before the first minute has begun", n)
		}
		if n := len(w.timer.slots.files); n > days*24+200 {
			t.Errorf("%d slot files are known", n)
		}
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if n, most := w.timer.InMemory(), int(2*time.Minute/step); n > most {
			t.Errorf("%d entries are in memory, want %d at most", n, most)
		}
	})
}

// Nobody reads an hour's messages at once, and a disk that is full is not filled with
// what is tried again.
func TestAnHourIsSplitPieceByPiece(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	var largest, wrote, allowed int
	allowed = 1 << 30
	disk := vfs.NewFaulty(mem, vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
		switch c.Op {
		case vfs.OpRead:
			largest = max(largest, c.Len)
		case vfs.OpWrite:
			if wrote += c.Len; wrote > allowed {
				return vfs.Fault{Err: syscall.ENOSPC}
			}
		}
		return vfs.Fault{}
	}})
	if err := disk.MkdirAll("timer", 0o755); err != nil {
		t.Fatal(err)
	}
	s := Service{slots: slots{fs: disk, dir: "timer", files: map[slotKey]*slot{}}}
	const n = 100_000
	var list []entry
	for i := range int64(n) {
		list = append(list, entry{i, 10*hour + i*7%hour})
	}
	if err := s.slots.add(list, func(int64) slotKey { return slotKey{10 * hour, hour} }); err != nil {
		t.Fatal(err)
	}
	wrote, allowed = 0, n*entrySize/2
	for range 5 {
		if err := s.split(slotKey{10 * hour, hour}); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%v", err)
		}
		wrote = allowed // full
	}
	allowed = 1 << 30
	if err := s.split(slotKey{10 * hour, hour}); err != nil {
		t.Fatal(err)
	}
	if largest > 1<<20 {
		t.Errorf("%d bytes are read at once", largest)
	}
	found, bytes := 0, int64(0)
	for key, f := range s.slots.files {
		got, err := s.slots.read(key)
		if err != nil || key.width != minute {
			t.Fatal(key, err)
		}
		for _, e := range got {
			if minuteOf(e.due) != key || e.due != 10*hour+e.offset*7%hour {
				t.Fatalf("%+v in %+v", e, key)
			}
		}
		found += len(got)
		bytes += f.size
	}
	if found != n || bytes != n*entrySize {
		t.Errorf("%d entries in %d bytes, want %d in %d", found, bytes, n, n*entrySize)
	}
}

// Close does not wait for all that is due, and notes exactly how far deliveries came.
func TestAStopLeavesWhatIsDueToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var current atomic.Pointer[Service]
		var armed atomic.Bool
		var writes atomic.Int64
		late := make(chan struct{})
		mem := vfs.NewMem()
		w := open(t, mem, vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
			if armed.Load() && c.Op == vfs.OpWrite && vfs.MatchPath("commitlog/*", c.Path) {
				switch writes.Add(1) {
				case 1:
					<-late
				case 2:
					current.Load().stop.Store(true)
				}
			}
			return vfs.Fault{}
		}})
		current.Store(w.timer)
		begun := time.Now().UnixMilli()
		const n = 1000
		for i := range int64(n) {
			w.put(fmt.Sprint(i), begun+60_000+i/3*100)
		}
		armed.Store(true)
		time.Sleep(10 * time.Minute)
		close(late)
		synctest.Wait()
		before := len(w.delivered())
		w.close()
		if before == n {
			t.Error("all are delivered")
		}
		w = open(t, mem, vfs.Hooks{})
		defer w.close()
		time.Sleep(time.Second)
		got := w.delivered()
		for body, at := range got {
			if len(at) != 1 {
				t.Errorf("%s is delivered %d times", body, len(at))
			}
		}
		if len(got) != n {
			t.Errorf("%d are delivered, %d of them before the stop, want %d", len(got), before, n)
		}
	})
}
