package brokerlite

import (
	"flag"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// crashSeeds is how many workloads TestWhatIsAcknowledgedSurvivesEveryPowerCut plays.
var crashSeeds = flag.Uint64("crash-seeds", crashSeedsByDefault, "workloads after whose every file operation the power is cut")

// Two of three workloads run with synchronous flush and lose power; the third runs
// with asynchronous flush, and its process is killed. What is acknowledged must be
// there afterwards in both.
func TestWhatIsAcknowledgedSurvivesEveryPowerCut(t *testing.T) {
	t.Parallel()
	var cuts, calls atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for seed := range *crashSeeds {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newCrashWorld(t, seed, vfs.NewMem())
					if w.sync = seed%3 != 2; w.sync {
						w.opts = append(w.opts, SyncFlush())
						w.cut = (*vfs.Mem).Crash
					}
					w.play()
					for i, im := range w.images {
						if err := w.check(im); err != nil {
							t.Errorf("seed %d, cut %d of %d, after %s %s: %v", seed, i, len(w.images), im.after.Op, im.after.Path, err)
							break
						}
						w.images[i] = crashImage{}
					}
					cuts.Add(int64(len(w.images)))
					calls.Add(w.calls.Load())
				})
			})
		}
	})
	t.Logf("%d workloads of %d operations: %d calls of the file system, %d of which change something; recovered after each of those", *crashSeeds, crashOps, calls.Load(), cuts.Load())
}

// The check must notice a broker that answers before its sync: one that flushes
// asynchronously, and loses power.
func TestPowerCutsShowABrokerThatAnswersBeforeItsSync(t *testing.T) {
	mustShow(t, func(w *crashWorld) { w.cut = (*vfs.Mem).Crash })
}

// And a disk whose syncs do nothing.
func TestPowerCutsShowADiskThatDoesNotSync(t *testing.T) {
	mustShow(t, func(w *crashWorld) {
		w.cut = (*vfs.Mem).Crash
		w.opts = append(w.opts, SyncFlush())
		w.disk = deafFS{w.mem}
	})
}

// deafFS does not sync what is in the commit log.
type deafFS struct{ *vfs.Mem }

// deafFile is a file of it.
type deafFile struct{ vfs.File }

func (deafFile) Sync() error { return nil }

func mustShow(t *testing.T, change func(w *crashWorld)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newCrashWorld(t, 0, vfs.NewMem())
		w.sync = true
		change(w)
		w.play()
		for _, im := range slices.Backward(w.images) { // the last have the most to lose
			if err := w.check(im); err != nil && strings.Contains(err.Error(), ", and is lost") {
				t.Logf("shown: %v", err)
				return
			}
		}
		t.Errorf("%d power cuts show nothing", len(w.images))
	})
}

func (d deafFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.Mem.OpenFile(name, flag, perm)
	if err == nil && strings.Contains(name, "commitlog") {
		f = deafFile{f}
	}
	return f, err
}
