package rocketkit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit"
)

// part is a Runner that notes what happens to it.
type part struct {
	name            string
	notes           *[]string
	startErr, drain error
	takes           time.Duration
}

func (p *part) Group() string { return p.name }

func (p *part) Start(context.Context) error {
	p.note("start ")
	return p.startErr
}

// noting guards all notes: what is cut off is drained at the same time.
var noting sync.Mutex

func (p *part) note(what string) {
	noting.Lock()
	defer noting.Unlock()
	*p.notes = append(*p.notes, what+p.name)
}

func (p *part) Drain(ctx context.Context) error {
	p.note("drain ")
	if p.takes > 0 {
		select {
		case <-time.After(p.takes):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return p.drain
}

func TestRunStartsInOrderAndDrainsInReverse(t *testing.T) {
	t.Parallel()
	boom, bang := errors.New("boom"), errors.New("bang")
	for name, tc := range map[string]struct {
		parts []*part
		want  []string
		errs  []error
		takes time.Duration // after ctx has ended
	}{
		"an orderly end":   {[]*part{{name: "a"}, {name: "b"}}, []string{"start a", "start b", "drain b", "drain a"}, nil, 0},
		"a failed start":   {[]*part{{name: "a"}, {name: "b", startErr: boom}, {name: "c"}}, []string{"start a", "start b", "drain b", "drain a"}, []error{boom}, 0},
		"failed drains":    {[]*part{{name: "a", drain: boom}, {name: "b", drain: bang}}, []string{"start a", "start b", "drain b", "drain a"}, []error{boom, bang}, 0},
		"a drain for ever": {[]*part{{name: "a"}, {name: "b", takes: time.Hour}}, []string{"start a", "start b", "drain b", "drain a"}, []error{context.DeadlineExceeded}, rocketkit.DrainTimeout},
		"slow drains":      {[]*part{{name: "a", takes: 2 * time.Second}, {name: "b", takes: time.Second}}, []string{"start a", "start b", "drain b", "drain a"}, nil, 3 * time.Second},
		"nothing":          {nil, nil, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var notes []string
				var runners []rocketkit.Runner
				for _, p := range tc.parts {
					p.notes = &notes
					runners = append(runners, p)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				begun := time.Now()
				err := rocketkit.Run(ctx, runners...)
				if (err == nil) != (tc.errs == nil) {
					t.Errorf("error %v", err)
				}
				for _, want := range tc.errs {
					if !errors.Is(err, want) {
						t.Errorf("error %v does not wrap %v", err, want)
					}
				}
				if diff := cmp.Diff(tc.want, notes); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				failed := slices.ContainsFunc(tc.parts, func(p *part) bool { return p.startErr != nil })
				if took := time.Since(begun); !failed && took != time.Minute+tc.takes || failed && took != 0 {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestRunNamesWhatFails(t *testing.T) {
	t.Parallel()
	var notes []string
	err := rocketkit.Run(t.Context(), &part{name: "shop", notes: &notes, startErr: errors.New("boom")})
	if err == nil || !strings.Contains(err.Error(), "group shop") || !strings.Contains(err.Error(), "boom") {
		t.Errorf("error %v", err)
	}
	if err := rocketkit.Run(t.Context(), &part{name: "a", notes: &notes}, nil); err == nil || !strings.Contains(err.Error(), "runner 2 is nil") {
		t.Errorf("error %v", err)
	}
	for want, r := range map[string]rocketkit.Runner{
		"run: runner 1 (OnStart) did not start: the function is nil":                        rocketkit.OnStart(nil),
		"run: within 0s: nothing can be drained in that time":                               rocketkit.Within(0),
		"run: within 1s: runner 2 is nil":                                                   rocketkit.Within(time.Second, &part{name: "a", notes: &notes}, nil),
		"run: runner 1 (HTTP) did not start: the listener or the server is nil":             rocketkit.HTTP(nil, nil),
		"run: within 1s: runner 2 (*rocketkit_test.part of group b) did not end well: boom": rocketkit.Within(time.Second, &part{name: "a", notes: &notes}, &part{name: "b", notes: &notes, drain: errors.New("boom")}, rocketkit.OnStart(nil)),
	} {
		if err := rocketkit.Run(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// broken is a part that fails at some time.
type broken struct {
	part
	after time.Duration
	err   error
}

func (b *broken) Failure(ctx context.Context) error {
	select {
	case <-time.After(b.after):
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestARunnerThatFailsEndsTheOthers(t *testing.T) {
	t.Parallel()
	boom, bang := errors.New("boom"), errors.New("bang")
	for name, tc := range map[string]struct {
		first, second error // after a second, and two
		within        bool
		want          string
		takes         time.Duration
	}{
		"one fails":            {boom, bang, false, "run: runner 2 (*rocketkit_test.broken of group b) failed: boom", time.Second},
		"one will not fail":    {nil, bang, false, "run: runner 3 (*rocketkit_test.broken of group c) failed: bang", 2 * time.Second},
		"a part of one fails":  {boom, nil, true, "run: within 1m0s: runner 2 (*rocketkit_test.broken of group b) failed: boom", time.Second},
		"none fails until ctx": {nil, nil, true, "", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var notes []string
				runners := []rocketkit.Runner{
					&part{name: "a", notes: &notes},
					&broken{part{name: "b", notes: &notes}, time.Second, tc.first},
					&broken{part{name: "c", notes: &notes}, 2 * time.Second, tc.second},
				}
				if tc.within {
					runners = []rocketkit.Runner{rocketkit.Within(time.Minute, runners...)}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				begun := time.Now()
				got := ""
				if err := rocketkit.Run(ctx, runners...); err != nil {
					got = err.Error()
				}
				if got != tc.want || time.Since(begun) != tc.takes {
					t.Errorf("%q after %v, want %q after %v", got, time.Since(begun), tc.want, tc.takes)
				}
				if diff := cmp.Diff([]string{"start a", "start b", "start c", "drain c", "drain b", "drain a"}, notes); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestRunnersWithinALimitShareIt(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		a, b, c time.Duration // their drains; b and c have a second together
		startB  error
		want    []string
		err     error
		takes   time.Duration
	}{
		"an orderly end":       {time.Second, 300 * time.Millisecond, 600 * time.Millisecond, nil, []string{"start a", "start b", "start c", "drain c", "drain b", "drain a"}, nil, 1900 * time.Millisecond},
		"the inner limit":      {time.Second, time.Hour, 600 * time.Millisecond, nil, []string{"start a", "start b", "start c", "drain c", "drain b", "drain a"}, context.DeadlineExceeded, 2 * time.Second},
		"the outer limit":      {time.Hour, time.Hour, time.Hour, nil, []string{"start a", "start b", "start c", "drain c", "drain b", "drain a"}, context.DeadlineExceeded, 3 * time.Second},
		"one that fails early": {time.Second, 0, 0, boom, []string{"start a", "start b", "drain b", "drain a"}, boom, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var notes []string
				a, b, c := &part{name: "a", notes: &notes, takes: tc.a}, &part{name: "b", notes: &notes, takes: tc.b, startErr: tc.startB}, &part{name: "c", notes: &notes, takes: tc.c}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() {
					ended <- rocketkit.Run(ctx, rocketkit.Within(3*time.Second, a, rocketkit.Within(time.Second, b, c)))
				}()
				synctest.Wait()
				begun := time.Now()
				cancel()
				err := <-ended
				if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) || tc.startB == nil && time.Since(begun) != tc.takes {
					t.Errorf("%v after %v", err, time.Since(begun))
				}
				if name == "the outer limit" {
					slices.Sort(notes) // b and a are cut off at the same time
					slices.Sort(tc.want)
				}
				if diff := cmp.Diff(tc.want, notes); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Ctrl-C while something waits for what is not there is no failure.
func TestAStartThatTheEndCutsShortIsNoError(t *testing.T) {
	t.Parallel()
	var notes []string
	ctx, cancel := context.WithCancel(t.Context())
	waits := rocketkit.OnStart(func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return fmt.Errorf("waiting for the server: %w", ctx.Err())
	})
	if err := rocketkit.Run(ctx, &part{name: "a", notes: &notes}, rocketkit.Within(time.Second, waits), &part{name: "b", notes: &notes}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"start a", "drain a"}, notes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	boom := errors.New("boom")
	if err := rocketkit.Run(ctx, rocketkit.OnStart(func(context.Context) error { return boom })); !errors.Is(err, boom) {
		t.Errorf("another error after the end: %v", err)
	}
}
