package producer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/baggage"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/trace"
)

type ctxKey struct{}

// noting notes its calls, and adds a property and a value of ctx.
func noting(name string, calls *[]string) producer.Interceptor {
	return producer.Interceptor{
		Before: func(ctx context.Context, o *driver.Outgoing) (context.Context, error) {
			*calls = append(*calls, name+" before "+o.ID)
			o.Extra = append(o.Extra, driver.Property{Name: name, Value: "was here"})
			return context.WithValue(ctx, ctxKey{}, name), nil
		},
		After: func(ctx context.Context, o *driver.Outgoing, r message.SendResult, err error) {
			at := name + " after " + o.ID
			if err != nil {
				at += " failed"
			} else {
				at += " stored as " + r.MessageID
			}
			*calls = append(*calls, at+" in "+ctx.Value(ctxKey{}).(string))
		},
	}
}

func TestInterceptorsSeeEveryMessageOnce(t *testing.T) {
	t.Parallel()
	for way, send := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := newScript("a", "b")
			s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
				if len(s.tried()) == 1 {
					return driver.Receipt{}, unreachable()
				}
				return driver.Receipt{}, nil
			}
			var calls []string
			p := start(t, s, producer.Intercept(noting("one", &calls)), producer.Intercept(producer.Interceptor{}, noting("two", &calls)))
			if _, err := send(t.Context(), p, msg()); err != nil {
				t.Fatal(err)
			}
			want := []string{"one before ID1", "two before ID1", "two after ID1 stored as ID1 in two", "one after ID1 stored as ID1 in two"}
			if way == "batch" {
				want = []string{
					"one before ID1", "two before ID1", "one before ID2", "two before ID2",
					"two after ID1 stored as ID1 in two", "one after ID1 stored as ID1 in two",
					"two after ID2 stored as ID2 in two", "one after ID2 stored as ID2 in two",
				}
			}
			if diff := cmp.Diff(want, calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			for _, at := range s.tried() {
				if n := len(at.ids) * 2; len(at.extra) != n || at.extra[0].Name != "one" || at.extra[1].Name != "two" {
					t.Errorf("an attempt had the properties %v", at.extra)
				}
			}
		})
	}
}

func TestInterceptorsRefuseAndFail(t *testing.T) {
	t.Parallel()
	boom := errors.New("no")
	for name, tc := range map[string]struct {
		before func(context.Context, *driver.Outgoing) (context.Context, error)
		want   error
		text   string
	}{
		"refuses": {func(context.Context, *driver.Outgoing) (context.Context, error) { return nil, boom }, boom, "interceptor 1"},
		"panics":  {func(context.Context, *driver.Outgoing) (context.Context, error) { panic("boom") }, nil, "panicked: boom"},
		"adds what cannot travel": {func(ctx context.Context, o *driver.Outgoing) (context.Context, error) {
			o.Extra = append(o.Extra, driver.Property{Name: "KEYS", Value: "x"})
			return ctx, nil
		}, message.ErrInvalidMessage, "KEYS"},
	} {
		for way, send := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				s := newScript("a")
				var calls []string
				p := start(t, s, producer.Intercept(noting("one", &calls), producer.Interceptor{Before: tc.before}))
				_, err := send(t.Context(), p, msg())
				if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) || len(s.tried()) != 0 {
					t.Errorf("%d attempts, error %v", len(s.tried()), err)
				}
				if last := calls[len(calls)-1]; !strings.Contains(last, "one after") || !strings.Contains(last, "failed") {
					t.Errorf("calls %q", calls)
				}
			})
		}
	}
}

func TestAPanicAfterTheSendIsLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := start(t, newScript("a"), producer.Logger(slog.New(slog.NewTextHandler(&log, nil))), producer.Intercept(producer.Interceptor{
		After: func(context.Context, *driver.Outgoing, message.SendResult, error) { panic("boom") },
	}))
	if _, err := p.Send(t.Context(), msg()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "send interceptor panicked") {
		t.Errorf("logged %q", &log)
	}
}

func TestSpansTravelWithTheMessages(t *testing.T) {
	t.Parallel()
	for way, send := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			rec := tracetest.NewSpanRecorder()
			tracer := trace.New(trace.Options{Provider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))})
			s := newScript("a", "b")
			s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
				if len(s.tried()) == 1 {
					return driver.Receipt{}, unreachable()
				}
				return driver.Receipt{Addr: "127.0.0.1:10911"}, nil
			}
			p := start(t, s, producer.Tracer(tracer))
			if _, err := send(t.Context(), p, msg()); err != nil {
				t.Fatal(err)
			}
			spans := rec.Ended()
			spans = slices.DeleteFunc(spans, func(s sdktrace.ReadOnlySpan) bool { return s.SpanKind() != oteltrace.SpanKindProducer })
			if len(spans) != len(s.tried()[0].ids) {
				t.Fatalf("%d messages have the spans %v", len(s.tried()[0].ids), spans)
			}
			for _, at := range s.tried() {
				if len(at.extra) != len(at.ids) {
					t.Fatalf("an attempt had the properties %v", at.extra)
				}
				for i, e := range at.extra {
					if e.Name != "traceparent" || !strings.Contains(e.Value, spans[i].SpanContext().SpanID().String()) {
						t.Errorf("property %v", e)
					}
				}
			}
		})
	}
}

// withBaggage returns a ctx whose baggage has one member of that size.
func withBaggage(t *testing.T, size int) context.Context {
	t.Helper()
	member, err := baggage.NewMember("tenant", strings.Repeat("x", size))
	if err != nil {
		t.Fatal(err)
	}
	bag, err := baggage.New(member)
	if err != nil {
		t.Fatal(err)
	}
	return baggage.ContextWithBaggage(t.Context(), bag)
}

func TestPropertiesOfTheUserWinOverBaggage(t *testing.T) {
	t.Parallel()
	tracer := trace.New(trace.Options{Provider: sdktrace.NewTracerProvider()})
	for way, send := range ways {
		s := newScript("a")
		p := start(t, s, producer.Tracer(tracer))
		if _, err := send(withBaggage(t, 3), p, msg(message.Property("baggage", "mine"))); err != nil {
			t.Fatal(err)
		}
		for _, e := range s.tried()[0].extra {
			if e.Name != "traceparent" {
				t.Errorf("%s added %v", way, e)
			}
		}
	}
}

func TestBaggageCountsInBatches(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ baggage, requests int }{{1, 1}, {600, 2}} {
		s := newScript("a")
		p := start(t, s, producer.MaxMessageSize(4096), producer.Tracer(trace.New(trace.Options{Provider: sdktrace.NewTracerProvider()})))
		if _, err := p.SendBatch(withBaggage(t, tc.baggage), messages(3, 900, "t")); err != nil {
			t.Fatal(err)
		}
		if n := len(s.tried()); n != tc.requests {
			t.Errorf("with %d bytes of baggage %d requests, want %d", tc.baggage, n, tc.requests)
		}
	}
}

func TestAFailedSendEndsItsSpan(t *testing.T) {
	t.Parallel()
	rec := tracetest.NewSpanRecorder()
	tracer := trace.New(trace.Options{Provider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))})
	s := newScript("a")
	s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
		return driver.Receipt{}, refusal(13, "MESSAGE_ILLEGAL")
	}
	p := start(t, s, producer.Tracer(tracer))
	for _, send := range ways {
		_, _ = send(t.Context(), p, msg())
	}
	_ = p.SendOneway(t.Context(), msg())
	spans := rec.Ended()
	if sends := countNamed(spans, "send orders"); sends != len(ways)+1 {
		t.Fatalf("%d spans", len(spans))
	}
	for _, span := range spans {
		found := span.Name() == "create orders"
		for _, a := range span.Attributes() {
			found = found || string(a.Key) == "error.type" && a.Value.AsString() == "MESSAGE_ILLEGAL"
		}
		if !found {
			t.Errorf("attributes %v", span.Attributes())
		}
	}
}

func countNamed(spans []sdktrace.ReadOnlySpan, name string) (n int) {
	for _, s := range spans {
		if s.Name() == name {
			n++
		}
	}
	return n
}

// checker answers for half messages to the topic orders.
type checker func(context.Context, *message.Delivery) (driver.TxState, error)

func (c checker) Validate() error  { return nil }
func (c checker) Topics() []string { return []string{"orders"} }
func (c checker) Check(ctx context.Context, d *message.Delivery) (driver.TxState, error) {
	return c(ctx, d)
}

func TestHalfMessagesRunTheLocalTransactionOnce(t *testing.T) {
	t.Parallel()
	check := producer.Transactions(checker(func(context.Context, *message.Delivery) (driver.TxState, error) { return driver.TxUnknown, nil }))
	t.Run("stored at the second broker", func(t *testing.T) {
		t.Parallel()
		s := newScript("a", "b")
		s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
			if len(s.tried()) == 1 {
				return driver.Receipt{}, unreachable()
			}
			return driver.Receipt{TransactionID: "tx", QueueOffset: 3}, nil
		}
		p := start(t, s, check)
		var got []message.SendResult
		r, state, err := p.SendHalf(t.Context(), msg(), []driver.Property{{Name: "kind", Value: "k"}}, func(_ context.Context, r message.SendResult) driver.TxState {
			got = append(got, r)
			return driver.TxCommit
		})
		if err != nil || state != driver.TxCommit || r.TransactionID != "tx" || r.MessageID != "ID1" {
			t.Errorf("%v, %v, %v", r, state, err)
		}
		if diff := cmp.Diff([]message.SendResult{r}, got); diff != "" {
			t.Errorf("local got (-result +got):\n%s", diff)
		}
		if at := s.tried()[1]; len(at.extra) != 1 || at.extra[0].Value != "k" {
			t.Errorf("properties %v", at.extra)
		}
		if s.cfg.Check == nil || !cmp.Equal(s.cfg.CheckTopics, []string{"orders"}) {
			t.Errorf("the driver was told %+v", s.cfg)
		}
	})
	t.Run("not stored", func(t *testing.T) {
		t.Parallel()
		s := newScript("a")
		s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
			return driver.Receipt{}, refusal(13, "MESSAGE_ILLEGAL")
		}
		p := start(t, s, check)
		_, state, err := p.SendHalf(t.Context(), msg(), nil, func(context.Context, message.SendResult) driver.TxState {
			t.Error("local ran")
			return driver.TxCommit
		})
		if err == nil || state != driver.TxUnknown {
			t.Errorf("%v, %v", state, err)
		}
	})
	t.Run("lost after the local transaction", func(t *testing.T) {
		t.Parallel()
		s := newScript("a", "b")
		s.afterLocal = unreachable()
		p := start(t, s, check)
		ran := 0
		_, state, err := p.SendHalf(t.Context(), msg(), nil, func(context.Context, message.SendResult) driver.TxState {
			ran++
			return driver.TxCommit
		})
		if !errors.Is(err, message.ErrUnreachable) || state != driver.TxCommit || ran != 1 || len(s.tried()) != 1 {
			t.Errorf("local ran %d times in %d attempts: %v, %v", ran, len(s.tried()), state, err)
		}
	})
	t.Run("local panics", func(t *testing.T) {
		t.Parallel()
		var log bytes.Buffer
		p := start(t, newScript("a"), check, producer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		_, state, err := p.SendHalf(t.Context(), msg(), nil, func(context.Context, message.SendResult) driver.TxState { panic("boom") })
		if err != nil || state != driver.TxUnknown || !strings.Contains(log.String(), "local transaction panicked") {
			t.Errorf("%v, %v, logged %q", state, err, &log)
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		p := start(t, newScript("a"))
		if _, _, err := p.SendHalf(t.Context(), msg(), nil, nil); !errors.Is(err, message.ErrUnsupported) || !strings.Contains(err.Error(), "Transactions") {
			t.Errorf("without the option: %v", err)
		}
		p = start(t, newScript("a"), check)
		if _, _, err := p.SendHalf(t.Context(), msg(func(m *message.Message) { m.Delay.Level = 1 }), nil, nil); !errors.Is(err, message.ErrInvalidMessage) {
			t.Errorf("delayed: %v", err)
		}
		if _, _, err := p.SendHalf(t.Context(), message.New("orders", nil), nil, nil); !errors.Is(err, message.ErrEmptyBody) {
			t.Errorf("no body: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.SendHalf(t.Context(), msg(), nil, nil); !errors.Is(err, message.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestChecksThatFailLeaveTheStateOpen(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newScript("a")
	check := checker(func(ctx context.Context, d *message.Delivery) (driver.TxState, error) {
		if message.DeliveryFrom(ctx) != d {
			t.Error("the ctx does not know the delivery")
		}
		switch d.ID {
		case "panics":
			panic("boom")
		case "fails":
			return driver.TxUnknown, errors.New("database gone")
		}
		return driver.TxCommit, nil
	})
	start(t, s, producer.Transactions(check), producer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	for id, want := range map[string]driver.TxState{"fine": driver.TxCommit, "panics": driver.TxUnknown, "fails": driver.TxUnknown} {
		if got := s.cfg.Check(t.Context(), &message.Delivery{ID: id, Topic: "orders"}); got != want {
			t.Errorf("%s: %v", id, got)
		}
	}
	for _, want := range []string{"transaction check panicked", "database gone", "id=fails", "topic=orders"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("not logged: %q in\n%s", want, &log)
		}
	}
}
