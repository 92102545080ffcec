package producer_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/trace"
)

// stages notes who was there, in order.
type stages struct {
	sdktrace.SpanProcessor // of none: only the two below are called before the end

	mu   sync.Mutex // guards the following
	seen []string
}

func (s *stages) at(stage string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, stage)
}

func (s *stages) OnStart(context.Context, sdktrace.ReadWriteSpan) { s.at("span") }
func (s *stages) OnEnd(sdktrace.ReadOnlySpan)                     { s.at("span ends") }

func (s *stages) interceptor(name string) producer.Interceptor {
	return producer.Interceptor{
		Before: func(ctx context.Context, o *driver.Outgoing) (context.Context, error) {
			traced := ""
			if len(o.Extra) > 0 && o.Extra[0].Name == "traceparent" {
				traced = ", traced"
			}
			s.at(name + " before" + traced)
			return ctx, nil
		},
		After: func(_ context.Context, _ *driver.Outgoing, r message.SendResult, err error) {
			outcome := r.Status.String()
			if err != nil {
				outcome = "failed"
			}
			s.at(name + " after: " + outcome)
		},
	}
}

// The places are those of the package's documentation: all attempts are within one span
// and one round of interceptors.
func TestStagesHaveTheirPlaces(t *testing.T) {
	t.Parallel()
	s := &stages{}
	d := newScript("a", "b")
	attempts := 0
	d.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
		s.at("driver")
		if attempts++; attempts == 1 {
			return driver.Receipt{}, unreachable()
		}
		return driver.Receipt{Status: message.FlushDiskTimeout}, nil
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(s))
	p := start(t, d, producer.Tracer(trace.New(trace.Options{Provider: provider})), producer.RequireDurable(),
		producer.Select(func(*message.Message, []message.Queue) int { s.at("queue"); return 0 }),
		producer.Intercept(s.interceptor("outer"), s.interceptor("inner")))
	ended := make(chan struct{})
	p.SendAsync(t.Context(), msg(), func(context.Context, message.SendResult, error) {
		s.at("callback")
		close(ended)
	})
	<-ended
	if _, err := p.Send(t.Context(), &message.Message{}); err == nil {
		t.Error("a message without a topic was sent")
	}
	want := []string{
		"span", "outer before, traced", "inner before, traced",
		"queue", "driver", "queue", "driver",
		"span ends", "inner after: failed", "outer after: failed", "callback", // and nothing of what was refused
	}
	if d := cmp.Diff(want, s.seen); d != "" {
		t.Errorf("stages (-want +got):\n%s", d)
	}
}
