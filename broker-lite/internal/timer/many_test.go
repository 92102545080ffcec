package timer

import (
	"fmt"
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
