package consumer_test

import (
	"context"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/trace"
)

// stages notes who was there, in order: as a tracer, a store, a codec and middleware.
type stages struct {
	sdktrace.SpanProcessor // of none: only the two below are called before the end
	dedup.Store
	codec.Text
	panics string // the stage that panics once

	mu   sync.Mutex // guards the following
	seen []string
}

// within notes a stage, whose ctx must have a deadline.
func (s *stages) within(ctx context.Context, stage string) {
	if _, ok := ctx.Deadline(); !ok {
		stage += " without a deadline"
	}
	s.at(stage)
}

func (s *stages) at(stage string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, stage)
	if stage == s.panics {
		s.panics = ""
		panic(stage)
	}
}

func (s *stages) OnStart(context.Context, sdktrace.ReadWriteSpan) { s.at("span") }
func (s *stages) OnEnd(sdktrace.ReadOnlySpan)                     { s.at("span ends") }

func (s *stages) Claim(ctx context.Context, key string, lease time.Duration) (dedup.Claim, error) {
	s.within(ctx, "duplicates")
	return s.Store.Claim(ctx, key, lease)
}

func (s *stages) Complete(ctx context.Context, c dedup.Claim, ttl time.Duration) error {
	s.within(ctx, "remembered")
	return s.Store.Complete(ctx, c, ttl)
}

func (s *stages) Release(ctx context.Context, c dedup.Claim) error {
	s.within(ctx, "released")
	return s.Store.Release(ctx, c)
}

func (s *stages) Check(t reflect.Type) error { return s.Text.Check(t) }

func (s *stages) Decode(body []byte, v any) error {
	s.at("decoding")
	return s.Text.Decode(body, v)
}

func (s *stages) middleware(name string) consumer.Middleware {
	return func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d *message.Delivery) error {
			s.within(ctx, name)
			return next(ctx, d)
		}
	}
}

// run takes one message through a handler that fails at first.
func (s *stages) run(t *testing.T) driver.Verdict {
	t.Helper()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(s))
	mux := consumer.NewMux("pay", consumer.Deduplicate(s), consumer.Codec(s), consumer.Retry(retry.Levels(16).Immediately(1)),
		consumer.Tracer(trace.New(trace.Options{Provider: provider})))
	mux.Use(s.middleware("outer middleware"), s.middleware("inner middleware"))
	failed := false
	consumer.Handle(mux, "orders", func(ctx context.Context, _ string) error {
		s.within(ctx, "handler")
		if !failed {
			failed = true
			return errDown
		}
		return nil
	})
	drv := newScripted()
	start(t, drv, mux)
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("m1", "orders", "", "x"))
	v := q.await(1)[0].Verdict
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, "verdict")
	return v
}

// The places are those of the package's documentation: an immediate retry begins again at
// the decoding, within one span and one claim.
func TestStagesHaveTheirPlaces(t *testing.T) {
	t.Parallel()
	s := &stages{Store: dedup.NewMemory()}
	if v := s.run(t); v != acked {
		t.Errorf("%+v", v)
	}
	want := []string{
		"span", "duplicates",
		"decoding", "outer middleware", "inner middleware", "handler",
		"decoding", "outer middleware", "inner middleware", "handler",
		"remembered", "span ends", "verdict",
	}
	if d := cmp.Diff(want, s.seen); d != "" {
		t.Errorf("stages (-want +got):\n%s", d)
	}
}

// Whichever of them panics, the message has a verdict, and its claim an end. The handler's
// own failure takes the one immediate retry that there is, or the panic does.
func TestEveryStageIsWithinTheRecovery(t *testing.T) {
	t.Parallel()
	for stage, tc := range map[string]struct {
		want   driver.Verdict
		claims int // that are left
	}{
		"duplicates":       {comesAgain, 0},
		"decoding":         {retried, 0},
		"outer middleware": {retried, 0},
		"inner middleware": {retried, 0},
		"handler":          {retried, 0},
		"remembered":       {acked, 1},
	} {
		memory := dedup.NewMemory()
		s := &stages{Store: memory, panics: stage}
		if got := s.run(t); got != tc.want || s.panics != "" || memory.Len() != tc.claims {
			t.Errorf("%s: %+v with %d claims left, want %+v with %d", stage, got, memory.Len(), tc.want, tc.claims)
		}
	}
}
