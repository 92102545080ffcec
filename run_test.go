package rocketkit_test

import (
	"context"
	"errors"
	"slices"
	"strings"
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
	*p.notes = append(*p.notes, "start "+p.name)
	return p.startErr
}

func (p *part) Drain(ctx context.Context) error {
	*p.notes = append(*p.notes, "drain "+p.name)
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
}
