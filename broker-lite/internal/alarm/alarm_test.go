package alarm

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestItRingsAtTheEarliestMomentAndThenOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var rang []time.Duration
		again := map[int]time.Duration{1: 5 * time.Second} // after the first call
		a := Start(0, func(now time.Time) time.Time {
			rang = append(rang, now.Sub(start))
			if d, ok := again[len(rang)]; ok {
				return now.Add(d)
			}
			return time.Time{}
		})
		defer a.Stop()
		a.Set(start.Add(time.Minute))
		a.Set(start.Add(10 * time.Second))
		a.Set(start.Add(20 * time.Second)) // later than what is set
		time.Sleep(time.Hour)
		synctest.Wait()
		if diff := cmp.Diff([]time.Duration{10 * time.Second, 15 * time.Second}, rang); diff != "" {
			t.Errorf("rang (-want +got):\n%s", diff)
		}
		a.Set(time.Now().Add(-time.Second))
		synctest.Wait()
		if len(rang) != 3 {
			t.Errorf("a moment that has passed did not ring: %v", rang)
		}
	})
}

func TestCallsKeepTheirDistance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var rang []time.Duration
		a := Start(500*time.Millisecond, func(now time.Time) time.Time {
			rang = append(rang, now.Sub(start))
			if len(rang) == 4 {
				return time.Time{}
			}
			return now.Add(time.Millisecond)
		})
		defer a.Stop()
		time.Sleep(time.Millisecond)
		a.Set(time.Now())
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []time.Duration{time.Millisecond, 501 * time.Millisecond, 1001 * time.Millisecond, 1501 * time.Millisecond}
		if diff := cmp.Diff(want, rang); diff != "" {
			t.Errorf("rang (-want +got):\n%s", diff)
		}
	})
}

// The machine was suspended, or its clock was set.
func TestItRingsSoonAfterTheClockHasJumped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var jump atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
		begun := time.Now()
		var rang []time.Duration
		a := start(now, 0, func(time.Time) time.Time {
			rang = append(rang, time.Since(begun))
			return time.Time{}
		})
		defer a.Stop()
		a.Set(time.UnixMilli(begun.Add(3 * time.Hour).UnixMilli()))
		time.Sleep(90 * time.Second)
		jump.Store(int64(3 * time.Hour))
		time.Sleep(time.Hour)
		synctest.Wait()
		if diff := cmp.Diff([]time.Duration{2 * time.Minute}, rang); diff != "" {
			t.Errorf("rang (-want +got):\n%s", diff)
		}
	})
}

func TestStopWaitsForACallThatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		finished := false
		a := Start(0, func(time.Time) time.Time {
			<-release
			finished = true
			return time.Now()
		})
		a.Set(time.Now())
		synctest.Wait()
		time.AfterFunc(time.Second, func() { close(release) })
		a.Stop()
		if !finished {
			t.Error("Stop returned before the call did")
		}
		a.Stop()
		a.Set(time.Now()) // no effect, no panic
	})
}
