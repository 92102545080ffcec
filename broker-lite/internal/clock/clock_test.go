package clock

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// diary notes when alarms ring.
type diary struct {
	mu    sync.Mutex // guards the following
	lines []string
	begun time.Time
}

func (d *diary) ring(name string, next func(now time.Time) time.Time) func(time.Time) time.Time {
	return func(now time.Time) time.Time {
		d.mu.Lock()
		d.lines = append(d.lines, name+" "+now.Sub(d.begun).String())
		d.mu.Unlock()
		if next == nil {
			return time.Time{}
		}
		return next(now)
	}
}

func (d *diary) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines
	d.lines = nil
	return lines
}

func TestAManualClockRingsInOrder(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m := NewManual(begun)
	d := &diary{begun: begun}
	left := 2
	a := m.Alarm(d.ring("a", func(now time.Time) time.Time {
		if left--; left >= 0 {
			return now.Add(10 * time.Second)
		}
		return time.Time{}
	}))
	defer a.Stop()
	b := m.Alarm(d.ring("b", nil))
	c := m.Alarm(d.ring("c", func(now time.Time) time.Time {
		b.Set(now.Add(time.Second))
		return time.Time{}
	}))
	defer b.Stop()
	a.Set(begun.Add(5 * time.Second))
	a.Set(begun.Add(9 * time.Second)) // the earlier one stands
	c.Set(begun.Add(15 * time.Second))
	m.Advance(4 * time.Second)
	if got := d.take(); got != nil {
		t.Errorf("rang early: %q", got)
	}
	m.Advance(20 * time.Second)
	if diff := cmp.Diff([]string{"a 5s", "a 15s", "c 15s", "b 16s"}, sortSame(d.take())); diff != "" {
		t.Error(diff)
	}
	if got := m.Now().Sub(begun); got != 24*time.Second {
		t.Errorf("it shows %v", got)
	}
	c.Set(begun.Add(time.Minute))
	c.Stop()
	c.Set(begun.Add(time.Minute))
	m.Advance(time.Hour)
	if diff := cmp.Diff([]string{"a 25s"}, d.take()); diff != "" {
		t.Error(diff)
	}
}

// sortSame puts lines of one moment into a fixed order.
func sortSame(lines []string) []string {
	if len(lines) > 2 && lines[1] > lines[2] {
		lines[1], lines[2] = lines[2], lines[1]
	}
	return lines
}

func TestAMomentThatHasPassedRingsWithoutAnAdvance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewManual(time.Now())
		d := &diary{begun: time.Now()}
		a := m.Alarm(d.ring("a", nil))
		a.Set(time.Now().Add(-time.Hour))
		synctest.Wait()
		if diff := cmp.Diff([]string{"a 0s"}, d.take()); diff != "" {
			t.Error(diff)
		}
		a.Stop()
	})
}

func TestAdvanceWaitsForTheRing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewManual(time.Now())
		done := false
		a := m.Alarm(func(time.Time) time.Time {
			time.Sleep(time.Minute) // another goroutine's work
			done = true
			return time.Time{}
		})
		defer a.Stop()
		a.Set(m.Now().Add(time.Second))
		m.Advance(time.Second)
		if !done {
			t.Error("Advance returned before the ring")
		}
	})
}

func TestManyAdvancesAndSetsAtOnce(t *testing.T) {
	t.Parallel()
	m := NewManual(time.Unix(0, 0))
	d := &diary{begun: time.Unix(0, 0)}
	var wg sync.WaitGroup
	for range 8 {
		a := m.Alarm(d.ring("x", nil))
		wg.Go(func() {
			for range 200 {
				a.Set(m.Now().Add(time.Second))
				m.Advance(time.Second)
			}
			a.Stop()
		})
	}
	wg.Wait()
	if n := len(d.take()); n < 8 {
		t.Errorf("%d rings", n)
	}
	if got := m.Now(); got != time.Unix(1600, 0) {
		t.Errorf("it shows %v", got)
	}
}

func TestTheSystemsClockIsTheBubbles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{begun: time.Now()}
		a := System().Alarm(d.ring("a", nil))
		a.Set(System().Now().Add(time.Hour))
		time.Sleep(2 * time.Hour)
		a.Stop()
		if got := d.take(); !slices.Equal(got, []string{"a 1h0m0s"}) {
			t.Errorf("%q", got)
		}
	})
}
