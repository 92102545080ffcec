package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/propagation"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/trace"
)

var errDown = errors.New("card service is down")

// outcome runs one message through one handler.
func outcome(t *testing.T, d *message.Delivery, h consumer.Func[string], opts ...consumer.HandlerOption) (driver.Verdict, []map[string]any) {
	t.Helper()
	var log lines
	m := consumer.NewMux("pay", consumer.Logger(log.logger()))
	consumer.Handle(m, "orders", h, append([]consumer.HandlerOption{consumer.Name("paid")}, opts...)...)
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(d)
	return q.await(1)[0].Verdict, log.records(t)
}

func fails(err error) consumer.Func[string] {
	return func(context.Context, string) error { return err }
}

// Each failure is logged with topic, group, handler, message id, attempt, error
// and what happens next.
func TestTheErrorDecidesWhatBecomesOfAMessage(t *testing.T) {
	t.Parallel()
	logged := func(level, msg string, attempt float64, err, next string) []map[string]any {
		return []map[string]any{{
			"level": level, "msg": msg, "group": "pay", "handler": "paid", "topic": "orders",
			"message_id": "m1", "attempt": attempt, "error": err, "next": next,
		}}
	}
	for _, tc := range []struct {
		name       string
		reconsumed int
		err        error
		policy     retry.Policy
		want       driver.Verdict
		log        []map[string]any
	}{
		{"nil acknowledges", 3, nil, retry.Policy{}, driver.Verdict{Action: driver.ActionAck}, nil},
		{"an error is retried by the broker's levels", 0, errDown, retry.Policy{}, driver.Verdict{Action: driver.ActionRetry, MaxRetries: 16},
			logged("WARN", "handler failed", 1, "card service is down", "retry 1 of 16 after about 10s")},
		{"the last retry", 15, errDown, retry.Levels(16), driver.Verdict{Action: driver.ActionRetry, MaxRetries: 16},
			logged("WARN", "handler failed", 16, "card service is down", "retry 16 of 16 after about 2h0m0s")},
		{"the 17th delivery is the last", 16, errDown, retry.Levels(16), driver.Verdict{Action: driver.ActionDeadLetter},
			logged("ERROR", "handler failed", 17, "card service is down", "dead-letter queue %DLQ%pay")},
		{"no retries", 0, errDown, retry.None(), driver.Verdict{Action: driver.ActionDeadLetter},
			logged("ERROR", "handler failed", 1, "card service is down", "dead-letter queue %DLQ%pay")},
		{"permanent", 0, fmt.Errorf("pay: %w", retry.Permanent(errDown)), retry.Policy{}, driver.Verdict{Action: driver.ActionDeadLetter},
			logged("ERROR", "handler failed", 1, "pay: card service is down", "dead-letter queue %DLQ%pay")},
		{"after", 2, retry.After(errDown, 90*time.Second), retry.Levels(5), driver.Verdict{Action: driver.ActionRetry, Delay: 90 * time.Second, MaxRetries: 5},
			logged("WARN", "handler failed", 3, "card service is down", "retry 3 of 5 after 1m30s")},
		{"after nothing", 0, retry.After(errDown, 0), retry.Levels(5), driver.Verdict{Action: driver.ActionRetry, Level: 1, MaxRetries: 5},
			logged("WARN", "handler failed", 1, "card service is down", "retry 1 of 5 after delay level 1")},
		{"skip", 0, retry.Skip(errDown), retry.Policy{}, driver.Verdict{Action: driver.ActionAck},
			logged("WARN", "handler skipped the message", 1, "card service is down", "acknowledged")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := msg("m1", "orders", "", "x")
			d.ReconsumeTimes = tc.reconsumed
			got, log := outcome(t, d, fails(tc.err), consumer.Retry(tc.policy))
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("verdict (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tc.log, log); d != "" {
				t.Errorf("log (-want +got):\n%s", d)
			}
		})
	}
}

func TestTheZeroVerdictAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	if (driver.Verdict{}).Action != driver.ActionRetry {
		t.Error("a message that nobody decided about must be delivered again")
	}
}

func TestAPanicIsAnErrorWithItsStack(t *testing.T) {
	t.Parallel()
	got, log := outcome(t, msg("m1", "orders", "", "x"), func(context.Context, string) error { panic("boom") })
	if want := (driver.Verdict{Action: driver.ActionRetry, MaxRetries: 16}); got != want {
		t.Errorf("verdict %+v, want %+v", got, want)
	}
	want := []map[string]any{{
		"level": "WARN", "msg": "handler failed", "group": "pay", "handler": "paid", "topic": "orders", "message_id": "m1", "attempt": 1.,
		"error": "handler panicked: boom", "next": "retry 1 of 16 after about 10s", "stack": true,
	}}
	if d := cmp.Diff(want, log); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}

func TestThePanicsValueIsFoundByErrorsIs(t *testing.T) {
	t.Parallel()
	seen := make(chan error, 1)
	m := consumer.NewMux("pay")
	m.Use(func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d *message.Delivery) (err error) {
			defer func() {
				if r := recover(); r != nil {
					err = &consumer.PanicError{Value: r}
				}
				seen <- err
			}()
			return next(ctx, d)
		}
	})
	consumer.Handle(m, "orders", func(context.Context, string) error { panic(fmt.Errorf("pay: %w", errDown)) })
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("m1", "orders", "", "x"))
	if err := <-seen; !errors.Is(err, errDown) || !errors.Is(err, consumer.ErrPanic) {
		t.Errorf("%v hides its causes", err)
	}
	q.await(1)
}

// A panic in one handler harms neither its worker nor the other messages.
func TestWorkersSurvivePanics(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay", consumer.Concurrency(2))
	consumer.Handle(m, "orders", func(_ context.Context, s string) error {
		if s == "bad" {
			panic(s)
		}
		return nil
	})
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	acked := 0
	for i := range 100 {
		body := "good"
		if i%2 == 0 {
			body = "bad"
		}
		q.deliver(msg(fmt.Sprint(i), "orders", "", body))
	}
	for _, s := range q.await(100) {
		if s.Verdict.Action == driver.ActionAck {
			acked++
		}
	}
	if acked != 50 {
		t.Errorf("%d acknowledged, want 50", acked)
	}
}

// testing.T.FailNow and log.Fatal-like helpers call runtime.Goexit.
func TestAHandlerThatEndsItsGoroutineLosesNothing(t *testing.T) {
	t.Parallel()
	var log lines
	m := consumer.NewMux("pay", consumer.Concurrency(1), consumer.Logger(log.logger()))
	consumer.Handle(m, "orders", func(_ context.Context, s string) error {
		if s == "exit" {
			runtime.Goexit()
		}
		return nil
	})
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("m1", "orders", "", "exit"), msg("m2", "orders", "", "exit"), msg("m3", "orders", "", "stay"))
	want := []settled{{"m1", driver.Verdict{}}, {"m2", driver.Verdict{}}, {"m3", driver.Verdict{Action: driver.ActionAck}}}
	if d := cmp.Diff(want, q.await(3)); d != "" {
		t.Errorf("settled (-want +got):\n%s", d)
	}
	first := log.records(t)[0]
	wantLog := map[string]any{
		"level": "ERROR", "msg": "handler has no outcome", "group": "pay", "handler": "orders", "topic": "orders", "message_id": "m1", "attempt": 1.,
		"error": "the handler ended its goroutine (runtime.Goexit, as testing.T.FailNow does)", "next": "delivered again",
	}
	if d := cmp.Diff(wantLog, first); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}

// panicky is an instrumentation that fails.
type panicky struct{ propagation.TextMapPropagator }

func (panicky) Extract(context.Context, propagation.TextMapCarrier) context.Context {
	panic("no exporter")
}

func TestAPanicOutsideTheHandlerLosesNothing(t *testing.T) {
	t.Parallel()
	var log lines
	m := consumer.NewMux("pay", consumer.Concurrency(1), consumer.Logger(log.logger()),
		consumer.Tracer(trace.New(trace.Options{Provider: nooptrace.NewTracerProvider(), Propagator: panicky{}})))
	consumer.Handle(m, "orders", onText)
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	d := msg("m1", "orders", "", "x")
	d.SetRawProperties("KEYS\x01order-1 order-2\x02")
	q.deliver(d, msg("m2", "orders", "", "x"))
	if d := cmp.Diff([]settled{{"m1", driver.Verdict{}}, {"m2", driver.Verdict{}}}, q.await(2)); d != "" {
		t.Errorf("settled (-want +got):\n%s", d)
	}
	want := map[string]any{
		"level": "ERROR", "msg": "handler has no outcome", "group": "pay", "handler": "orders", "topic": "orders", "message_id": "m1", "attempt": 1.,
		"keys": []any{"order-1", "order-2"}, "error": "panic outside the handler: no exporter", "next": "delivered again", "stack": true,
	}
	if d := cmp.Diff(want, log.records(t)[0]); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}

func TestADecodeFailureIsPermanentAndSaysWhatAndWhere(t *testing.T) {
	t.Parallel()
	var log lines
	m := consumer.NewMux("pay", consumer.Logger(log.logger()))
	consumer.Handle(m, "orders", func(context.Context, payment) error { t.Error("the handler ran"); return nil },
		consumer.Name("paid"), consumer.Retry(retry.Levels(3).Immediately(3)))
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("7F0001", "orders", "", "not json"))
	if got, want := q.await(1)[0].Verdict, (driver.Verdict{Action: driver.ActionDeadLetter}); got != want {
		t.Errorf("verdict %+v, want %+v", got, want)
	}
	want := []map[string]any{{
		"level": "ERROR", "msg": "handler failed", "group": "pay", "handler": "paid", "topic": "orders", "message_id": "7F0001", "attempt": 1.,
		"error": `cannot decode message 7F0001 of topic "orders" for handler "paid" of group "pay": 8 bytes as consumer_test.payment by codec json: invalid character 'o' in literal null (expecting 'u')`,
		"next":  "dead-letter queue %DLQ%pay",
	}}
	if d := cmp.Diff(want, log.records(t)); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}

func TestImmediateRetriesComeFirstAndDecodeAnew(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	var log lines
	m := consumer.NewMux("pay", consumer.Logger(log.logger()))
	consumer.Handle(m, "orders", func(_ context.Context, p *payment) error {
		if *p != (payment{Amount: 1}) {
			t.Errorf("call %d got a value that an earlier one changed: %+v", calls.Load(), p)
		}
		*p = payment{ID: "changed", Amount: 99}
		if calls.Add(1) < 3 {
			return errDown
		}
		return nil
	}, consumer.Retry(retry.Levels(16).Immediately(2)))
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("m1", "orders", "", `{"amount":1}`))
	if got := q.await(1)[0].Verdict; got.Action != driver.ActionAck || calls.Load() != 3 {
		t.Errorf("%+v after %d calls, want an acknowledgement after 3", got, calls.Load())
	}
	var next []any
	for _, r := range log.records(t) {
		next = append(next, r["next"])
	}
	if d := cmp.Diff([]any{"called again at once, 1", "called again at once, 2"}, next); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}

func TestImmediateRetriesEndAndTheBrokersBegin(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	got, log := outcome(t, msg("m1", "orders", "", "x"), func(context.Context, string) error { calls.Add(1); return errDown },
		consumer.Retry(retry.Levels(16).Immediately(2)))
	if want := (driver.Verdict{Action: driver.ActionRetry, MaxRetries: 16}); got != want || calls.Load() != 3 {
		t.Errorf("%+v after %d calls, want %+v after 3", got, calls.Load(), want)
	}
	if n := len(log); n != 3 {
		t.Errorf("%d log records, want one for each failure", n)
	}
}

func TestAHandlerSeesDeliveryDeadlineAndValue(t *testing.T) {
	t.Parallel()
	type seen struct {
		ID, Group, Value string
		Left             time.Duration
		Err              error
	}
	synctest.Test(t, func(t *testing.T) {
		got := make(chan seen, 1)
		m := consumer.NewMux("pay", consumer.Timeout(time.Hour))
		consumer.Handle(m, "orders", func(ctx context.Context, s string) error {
			deadline, _ := ctx.Deadline()
			d := message.DeliveryFrom(ctx)
			got <- seen{d.ID, d.Group, s, time.Until(deadline), ctx.Err()}
			return nil
		})
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		q.deliver(msg("m1", "orders", "", "Hello"))
		if d := cmp.Diff(seen{"m1", "pay", "Hello", time.Hour, nil}, <-got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		q.await(1)
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Every codec of the types that a handler may have.
func TestTheTypeChoosesTheCodec(t *testing.T) {
	t.Parallel()
	type orderID string
	got := make(chan any, 1)
	m := consumer.NewMux("pay")
	consumer.Handle(m, "string", func(_ context.Context, v string) error { got <- v; return nil })
	consumer.Handle(m, "defined", func(_ context.Context, v orderID) error { got <- string(v); return nil })
	consumer.Handle(m, "bytes", func(_ context.Context, v []byte) error { got <- string(v); return nil })
	consumer.Handle(m, "struct", func(_ context.Context, v payment) error { got <- v; return nil })
	consumer.Handle(m, "number", func(_ context.Context, v int) error { got <- v; return nil })
	consumer.Handle(m, "quoted", func(_ context.Context, v string) error { got <- v; return nil }, consumer.Codec(codec.JSON{}))
	consumer.Handle(m, "delivery", func(_ context.Context, v *message.Delivery) error { got <- v.ID; return nil })
	consumer.HandleRaw(m, "raw", func(_ context.Context, v *message.Delivery) error { got <- v.ID; return nil })
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	for _, tc := range []struct {
		topic, body string
		want        any
	}{
		{"string", "Hello", "Hello"}, {"defined", "o-1", "o-1"}, {"bytes", "\x00", "\x00"}, {"struct", `{"id":"p"}`, payment{ID: "p"}},
		{"number", "7", 7}, {"quoted", `"x"`, "x"}, {"delivery", "x", "delivery"}, {"raw", "x", "raw"},
	} {
		q.deliver(msg(tc.topic, tc.topic, "", tc.body))
		if d := cmp.Diff(tc.want, <-got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.topic, d)
		}
	}
	q.idle()
}

func trail(to *[]string, name string) consumer.Middleware {
	return func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d *message.Delivery) error {
			*to = append(*to, name+" in")
			err := next(context.WithValue(ctx, ctxKey(name), true), d)
			*to = append(*to, name+" out")
			return err
		}
	}
}

type ctxKey string

func TestMiddlewareRunsInOrderAroundEveryHandler(t *testing.T) {
	t.Parallel()
	var steps []string
	m := consumer.NewMux("pay", consumer.Concurrency(1))
	m.Use(trail(&steps, "first"))
	consumer.Handle(m, "orders", func(ctx context.Context, p payment) error {
		steps = append(steps, fmt.Sprint("handler ", p.ID, " ", ctx.Value(ctxKey("first")), ctx.Value(ctxKey("second")), " ", message.DeliveryFrom(ctx).ID))
		return nil
	})
	m.Use(trail(&steps, "second"))
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("m1", "orders", "", `{"id":"p1"}`))
	q.await(1)
	want := []string{"first in", "second in", "handler p1 true true m1", "second out", "first out"}
	if d := cmp.Diff(want, steps); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The error of a handler passes through middleware, which may change it.
func TestMiddlewareMayChangeTheOutcome(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay")
	m.Use(func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d *message.Delivery) error { return retry.Permanent(next(ctx, d)) }
	})
	consumer.Handle(m, "orders", fails(errDown))
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("m1", "orders", "", "x"))
	if got := q.await(1)[0].Verdict.Action; got != driver.ActionDeadLetter {
		t.Errorf("action %v, want dead letter", got)
	}
}

// A middleware that passes on another message, or a ctx of its own, gets that
// message decoded.
func TestMiddlewareMayPassOnAnotherMessage(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	m := consumer.NewMux("pay")
	m.Use(func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d *message.Delivery) error {
			switch d.Tag {
			case "detached":
				return next(context.WithValue(context.Background(), ctxKey("x"), 1), d)
			case "changed":
				c := *d
				c.Body = []byte(strings.ToUpper(string(d.Body)))
				return next(ctx, &c)
			case "broken":
				c := *d
				c.Body = []byte("{")
				return next(ctx, &c)
			}
			return next(ctx, d)
		}
	})
	consumer.Handle(m, "orders", func(_ context.Context, v any) error { got <- fmt.Sprint(v); return nil })
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	for tag, want := range map[string]string{"": "a", "detached": "a", "changed": "A"} {
		q.deliver(msg("m1", "orders", tag, `"a"`))
		if v := <-got; v != want {
			t.Errorf("tag %q: %q, want %q", tag, v, want)
		}
	}
	before := len(q.idle())
	q.deliver(msg("m2", "orders", "broken", `"a"`))
	if last := q.await(before + 1)[before]; last.Verdict.Action != driver.ActionDeadLetter {
		t.Errorf("a body that middleware broke: %+v, want dead letter", last.Verdict)
	}
}
