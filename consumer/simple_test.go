package consumer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// popping is a driver whose brokers answer pops as a test says.
type popping struct {
	*scripted
	brokers []string
	pop     func(ctx context.Context, r driver.PopRequest) ([]*message.Delivery, error)
	asked   int
}

func (p *popping) PopBrokers(context.Context, string) ([]string, error) { return p.brokers, nil }

func (p *popping) Pop(ctx context.Context, r driver.PopRequest) ([]*message.Delivery, error) {
	p.asked++
	return p.pop(ctx, r)
}

func (p *popping) AckPopped(context.Context, *message.Delivery) error                   { return nil }
func (p *popping) ExtendPopped(context.Context, *message.Delivery, time.Duration) error { return nil }
func (p *popping) DeadLetterPopped(context.Context, *message.Delivery) error            { return nil }

// A broker that has too many waiting requests does not let one more wait.
func TestReceiveRestsWhereBrokersDoNotLetItWait(t *testing.T) {
	t.Parallel()
	for name, brokers := range map[string][]string{"one broker": {"a"}, "two brokers": {"a", "b"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &popping{scripted: newScripted(), brokers: brokers, pop: func(ctx context.Context, _ driver.PopRequest) ([]*message.Delivery, error) {
					select {
					case <-time.After(time.Millisecond):
						return nil, nil
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}}
				s, err := consumer.NewSimpleConsumer(p, "billing", []consumer.Subscription{{Topic: "orders"}}, consumer.PullWait(10*time.Second))
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if ds, err := s.Receive(t.Context(), 1); len(ds) > 0 || err != nil {
					t.Errorf("received %v, %v", ds, err)
				}
				if d := time.Since(began); d < 9*time.Second || d > 11*time.Second {
					t.Errorf("received nothing after %s, want 10s", d)
				}
				if p.asked > 20 {
					t.Errorf("asked %d times in 10s", p.asked)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				began = time.Now()
				if _, err := s.Receive(ctx, 1); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
					t.Errorf("%v after %s, want ctx's end after 5s", err, time.Since(began))
				}
			})
		})
	}
}

// The messages of a broker that fails are missed: the log says so, and again when it has
// worked in between.
func TestABrokerThatReceiveLeavesOutIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var broken bool
	var log lines
	p := &popping{scripted: newScripted(), brokers: []string{"a", "b"}, pop: func(_ context.Context, r driver.PopRequest) ([]*message.Delivery, error) {
		if broken && r.Broker == "b" {
			return nil, errDown
		}
		return nil, nil
	}}
	s, err := consumer.NewSimpleConsumer(p, "billing", []consumer.Subscription{{Topic: "orders"}}, consumer.PullWait(time.Millisecond), consumer.Logger(log.logger()))
	if err != nil {
		t.Fatal(err)
	}
	for _, broken = range []bool{false, true, true, false, true} {
		if ds, err := s.Receive(t.Context(), 1); len(ds) > 0 || err != nil {
			t.Errorf("received %v, %v", ds, err)
		}
	}
	want := map[string]any{"level": "WARN", "msg": "broker gives no messages", "group": "billing", "topic": "orders", "broker": "b", "error": errDown.Error(), "next": "left out while another works, and asked again by each Receive"}
	if d := cmp.Diff([]map[string]any{want, want}, log.records(t)); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}

// A span has the address that was asked, and none where several were asked in vain.
func TestAReceiveInVainNamesTheOneBrokerThatWasAsked(t *testing.T) {
	t.Parallel()
	for want, brokers := range map[string][]string{"a": {"a"}, "": {"a", "b"}} {
		p := &popping{scripted: newScripted(), brokers: brokers, pop: func(ctx context.Context, r driver.PopRequest) ([]*message.Delivery, error) {
			driver.NoteReached(ctx, r.Broker+":10911")
			return nil, nil
		}}
		rec := tracetest.NewSpanRecorder()
		tracer := trace.New(trace.Options{Provider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))})
		s, err := consumer.NewSimpleConsumer(p, "billing", []consumer.Subscription{{Topic: "orders"}}, consumer.PullWait(time.Millisecond), consumer.Tracer(tracer))
		if err != nil {
			t.Fatal(err)
		}
		if ds, err := s.Receive(t.Context(), 1); len(ds) > 0 || err != nil {
			t.Errorf("received %v, %v", ds, err)
		}
		set := attribute.NewSet(rec.Ended()[0].Attributes()...)
		if got, _ := set.Value("server.address"); got.AsString() != want {
			t.Errorf("of brokers %q the span names %q, want %q", brokers, got.AsString(), want)
		}
	}
}
