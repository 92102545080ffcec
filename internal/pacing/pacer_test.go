package pacing_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/internal/pacing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMessagesPassAtTheRate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rate  float64
		takes []int
		want  time.Duration
	}{
		"without one":               {0, []int{1, 1000}, 0},
		"one by one":                {10, []int{1, 1, 1, 1}, 300 * time.Millisecond},
		"after a burst":             {100, []int{10, 1}, 10 * time.Millisecond},
		"a batch beyond the burst":  {10, []int{5}, 400 * time.Millisecond},
		"less than one in a second": {0.5, []int{1, 1}, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var p pacing.Pacer
				p.Set(tc.rate)
				begun := time.Now()
				for _, n := range tc.takes {
					if err := p.Pass(t.Context(), n, nil, nil); err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(begun).Round(time.Millisecond); took != tc.want {
					t.Errorf("took %s, want %s", took, tc.want)
				}
			})
		})
	}
}

func TestWhatWaitsBeginsAnewWhenTheRateChanges(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]float64{"faster": 10, "without one": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var p pacing.Pacer
				p.Set(0.001)
				begun := time.Now()
				time.AfterFunc(time.Second, func() { p.Set(0.001) }) // as it was
				time.AfterFunc(2*time.Second, func() { p.Set(next) })
				if err := p.Pass(t.Context(), 3, nil, nil); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took < 2*time.Second || took > 2300*time.Millisecond {
					t.Errorf("took %s", took)
				}
				if p.PerSecond() != next {
					t.Errorf("the rate is %v", p.PerSecond())
				}
			})
		})
	}
}

func TestWhoGivesUpGivesItsTurnBack(t *testing.T) {
	t.Parallel()
	late, stop := errors.New("too late"), make(chan struct{})
	close(stop)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for want, pass := range map[error]func(*pacing.Pacer) error{
		late: func(p *pacing.Pacer) error {
			return p.Pass(t.Context(), 1, nil, func(turn time.Duration) error {
				if turn != time.Second {
					t.Errorf("its turn is in %s", turn)
				}
				return late
			})
		},
		context.Canceled:  func(p *pacing.Pacer) error { return p.Pass(over, 1, nil, nil) },
		pacing.ErrStopped: func(p *pacing.Pacer) error { return p.Pass(t.Context(), 1, stop, nil) },
	} {
		t.Run(want.Error(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var p pacing.Pacer
				p.Set(1)
				begun := time.Now()
				if err := p.Pass(t.Context(), 1, nil, nil); err != nil {
					t.Fatal(err)
				}
				for range 10 {
					if err := pass(&p); !errors.Is(err, want) {
						t.Fatal(err)
					}
				}
				if err := p.Pass(t.Context(), 1, nil, nil); err != nil || time.Since(begun) != time.Second {
					t.Errorf("%v after %s", err, time.Since(begun))
				}
			})
		})
	}
}
