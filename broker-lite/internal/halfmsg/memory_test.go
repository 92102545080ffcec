package halfmsg

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// Not parallel: it measures the process's memory.
func TestFewLargeMessagesAreCheckedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, vfs.NewMem())
		defer w.close()
		for range 20 {
			w.prepare(strings.Repeat("x", 1<<20))
		}
		living := func() int64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		before, first := living(), int64(0)
		w.mu.Lock()
		w.onCheck = func() { first = living() }
		w.mu.Unlock()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		// The log, which is in memory too, has grown by one turn.
		if took := first - before; first == 0 || took > 16<<20 {
			t.Errorf("a turn takes %d MiB", took>>20)
		}
		if n := len(w.asked); n != 20 {
			t.Errorf("asked about %d", n)
		}
	})
}
