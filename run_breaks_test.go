package rocketkit_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit"
)

// stubborn is a part whose Drain and Failure take no notice of their ctx.
type stubborn struct {
	part
	drains, fails chan struct{} // until then; nil is at once
}

func (s *stubborn) Drain(context.Context) error {
	s.note("drain ")
	if s.drains != nil {
		<-s.drains
	}
	return nil
}

func (s *stubborn) Failure(context.Context) error {
	if s.fails != nil {
		<-s.fails
	}
	return nil
}

func TestARunnerThatTakesNoNoticeOfItsCtxIsLeftBehind(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		within        bool
		drains, fails bool // hang
		want          string
		takes         time.Duration
	}{
		"a drain":            {false, true, false, "run: runner 2 (*rocketkit_test.stubborn of group b) did not end well: it was left behind", rocketkit.DrainTimeout + 5*time.Second},
		"a drain within":     {true, true, false, "run: within 3s: runner 2 (*rocketkit_test.stubborn of group b) did not end well: it was left behind", 8 * time.Second},
		"a failure":          {false, false, true, "run: runner 2 (*rocketkit_test.stubborn of group b) failed: its Failure was left behind", time.Second},
		"a failure within":   {true, false, true, "run: within 3s: runner 2 (*rocketkit_test.stubborn of group b) failed: its Failure was left behind", time.Second},
		"a failure for good": {false, false, false, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var notes []string
				free := make(chan struct{})
				b := &stubborn{part: part{name: "b", notes: &notes}}
				if tc.drains {
					b.drains = free
				}
				if tc.fails {
					b.fails = free
				}
				runners := []rocketkit.Runner{&part{name: "a", notes: &notes}, b}
				if tc.within {
					runners = []rocketkit.Runner{rocketkit.Within(3*time.Second, runners...)}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				ended := make(chan error, 1)
				begun := time.Now()
				go func() { ended <- rocketkit.Run(ctx, runners...) }()
				select {
				case err := <-ended:
					if err == nil && tc.want != "" || err != nil && !strings.Contains(err.Error(), tc.want) {
						t.Errorf("error %v, want %s", err, tc.want)
					}
					if took := time.Since(begun) - time.Minute; took != tc.takes {
						t.Errorf("it took %v after the end of ctx, want %v", took, tc.takes)
					}
				case <-time.After(time.Hour):
					t.Error("Run does not return")
				}
				close(free)
				synctest.Wait()
				slices.Sort(notes)
				if diff := cmp.Diff([]string{"drain a", "drain b", "start a", "start b"}, notes); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestALimitOverTheUsualOneHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var notes []string
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begun := time.Now()
		err := rocketkit.Run(ctx, rocketkit.Within(2*time.Minute, &part{name: "a", notes: &notes, takes: time.Minute}))
		if err != nil || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestRunRefusesANilPointer(t *testing.T) {
	t.Parallel()
	var notes []string
	a := &part{name: "a", notes: &notes}
	for want, runners := range map[string][]rocketkit.Runner{
		"run: runner 2 is nil":            {a, (*part)(nil)},
		"run: within 1s: runner 1 is nil": {rocketkit.Within(time.Second, (*part)(nil), a)},
	} {
		notes = nil
		err := rocketkit.Run(t.Context(), runners...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestHTTPServesOnce(t *testing.T) {
	t.Parallel()
	r := rocketkit.HTTP(listen(t), new(http.Server))
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "once") {
		t.Errorf("a second start: %v", err)
	}
	for range 2 {
		if err := r.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := r.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "once") {
		t.Errorf("a start after the end: %v", err)
	}
}

func TestHTTPOfAServerThatWasShutDownDoesNotStart(t *testing.T) {
	t.Parallel()
	srv := new(http.Server)
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := rocketkit.Run(t.Context(), rocketkit.HTTP(listen(t), srv))
	if !errors.Is(err, http.ErrServerClosed) || !strings.Contains(err.Error(), "did not start") {
		t.Errorf("error %v", err)
	}
}

func TestHTTPThatWasNotStartedClosesItsListener(t *testing.T) {
	t.Parallel()
	l := listen(t)
	r := rocketkit.HTTP(l, new(http.Server))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
}

func TestAListenerThatSomebodyElseClosesEndsTheProgram(t *testing.T) {
	t.Parallel()
	l := listen(t)
	closes := rocketkit.OnStart(func(context.Context) error { return l.Close() })
	err := rocketkit.Run(t.Context(), rocketkit.HTTP(l, new(http.Server)), closes)
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

// wild is a part that panics, or ends its goroutine.
type wild struct {
	part
	in, how string
}

func (w *wild) act(in string) {
	switch {
	case w.in != in:
	case w.how == "panic":
		panic("boom")
	default:
		runtime.Goexit()
	}
}

func (w *wild) Start(ctx context.Context) error {
	w.act("start")
	return w.part.Start(ctx)
}

func (w *wild) Drain(ctx context.Context) error {
	_ = w.part.Drain(ctx)
	w.act("drain")
	return nil
}

func (w *wild) Failure(ctx context.Context) error {
	w.act("failure")
	<-ctx.Done()
	return nil
}

func TestWhatPanicsDoesNotKeepTheOthersFromTheirEnd(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ in, how, want string }{
		"a start":           {"start", "panic", "did not start: panic: boom"},
		"a drain":           {"drain", "panic", "did not end well: panic: boom"},
		"a failure":         {"failure", "panic", "failed: panic: boom"},
		"a drain's exit":    {"drain", "exit", "did not end well: its goroutine was ended"},
		"a failure's exit":  {"failure", "exit", "failed: its goroutine was ended"},
		"nothing of all it": {"nothing", "", ""},
	} {
		for _, within := range []bool{false, true} {
			var notes []string
			runners := []rocketkit.Runner{&part{name: "a", notes: &notes}, &wild{part{name: "b", notes: &notes}, tc.in, tc.how}}
			if within {
				runners = []rocketkit.Runner{rocketkit.Within(time.Second, runners...)}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			err := rocketkit.Run(ctx, runners...)
			cancel()
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: error %v", name, err)
			}
			if tc.how == "panic" && (err == nil || !strings.Contains(err.Error(), "run_breaks_test.go")) {
				t.Errorf("%s: the error has no stack: %v", name, err)
			}
			if !slices.Contains(notes, "drain a") {
				t.Errorf("%s: %v", name, notes)
			}
		}
	}
}
