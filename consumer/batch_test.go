package consumer_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

type texts = consumer.Batch[string]

// batched delivers messages to a batch handler at once and returns their verdicts, by
// message, and the log.
func batched(t *testing.T, h consumer.BatchFunc[string], opts []consumer.HandlerOption, ds ...*message.Delivery) (map[string]driver.Verdict, []map[string]any) {
	t.Helper()
	var log lines
	m := consumer.NewMux("pay", consumer.Logger(log.logger()))
	consumer.HandleBatch(m, "orders", h, append([]consumer.HandlerOption{consumer.Name("paid"), consumer.Concurrency(1)}, opts...)...)
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(ds...)
	got := make(map[string]driver.Verdict)
	for _, s := range q.idle() {
		got[s.ID] = s.Verdict
	}
	return got, log.records(t)
}

func four() []*message.Delivery {
	return []*message.Delivery{msg("m0", "orders", "", "a"), msg("m1", "orders", "", "b"), msg("m2", "orders", "", "c"), msg("m3", "orders", "", "d")}
}

var (
	acked   = driver.Verdict{Action: driver.ActionAck}
	retried = driver.Verdict{Action: driver.ActionRetry, MaxRetries: 16}
	dead    = driver.Verdict{Action: driver.ActionDeadLetter}
)

func TestABatchHandlerSaysWhichMessagesFailed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		handle consumer.BatchFunc[string]
		want   [4]driver.Verdict
	}{
		{"nil acknowledges all", func(context.Context, *texts) error { return nil }, [4]driver.Verdict{acked, acked, acked, acked}},
		{"an error fails all", func(context.Context, *texts) error { return errDown }, [4]driver.Verdict{retried, retried, retried, retried}},
		{"a marked error marks all", func(context.Context, *texts) error { return retry.Permanent(errDown) }, [4]driver.Verdict{dead, dead, dead, dead}},
		{"each by its own error", func(_ context.Context, b *texts) error {
			b.Fail(0, retry.Skip(errDown))
			b.Fail(1, errDown)
			b.Fail(2, retry.After(errDown, time.Minute))
			b.Fail(3, retry.Permanent(errDown))
			return nil
		}, [4]driver.Verdict{acked, retried, {Action: driver.ActionRetry, Delay: time.Minute, MaxRetries: 16}, dead}},
		{"one fails", func(_ context.Context, b *texts) error { b.Fail(2, errDown); return nil }, [4]driver.Verdict{acked, acked, retried, acked}},
		{"what is done is done", func(_ context.Context, b *texts) error { b.Done(1); return errDown }, [4]driver.Verdict{retried, acked, retried, retried}},
		{"no error is done", func(_ context.Context, b *texts) error { b.Fail(1, nil); return errDown }, [4]driver.Verdict{retried, acked, retried, retried}},
		{"the last word counts", func(_ context.Context, b *texts) error {
			b.Done(0)
			b.Fail(0, errDown)
			b.Fail(1, errDown)
			b.Done(1)
			return nil
		}, [4]driver.Verdict{retried, acked, acked, acked}},
		{"a panic fails what is left", func(_ context.Context, b *texts) error {
			b.Done(0)
			b.Fail(1, retry.Permanent(errDown))
			panic("boom")
		}, [4]driver.Verdict{acked, dead, retried, retried}},
		{"no such message", func(_ context.Context, b *texts) error { b.Done(0); b.Done(4); return nil }, [4]driver.Verdict{acked, retried, retried, retried}},
		{"the goroutine ends", func(_ context.Context, b *texts) error {
			b.Done(0)
			b.Fail(1, retry.Permanent(errDown))
			runtime.Goexit()
			return nil
		}, [4]driver.Verdict{acked, dead, {}, {}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, _ := batched(t, tc.handle, nil, four()...)
			want := map[string]driver.Verdict{"m0": tc.want[0], "m1": tc.want[1], "m2": tc.want[2], "m3": tc.want[3]}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("verdicts (-want +got):\n%s", d)
			}
		})
	}
}

// Each by its own attempts: one batch has first deliveries and last ones.
func TestMessagesOfABatchCountTheirOwnAttempts(t *testing.T) {
	t.Parallel()
	ds := four()
	ds[1].ReconsumeTimes, ds[2].ReconsumeTimes = 2, 3
	got, log := batched(t, func(context.Context, *texts) error { panic("boom") }, []consumer.HandlerOption{consumer.Retry(retry.Levels(3))}, ds...)
	again := driver.Verdict{Action: driver.ActionRetry, MaxRetries: 3}
	if d := cmp.Diff(map[string]driver.Verdict{"m0": again, "m1": again, "m2": dead, "m3": again}, got); d != "" {
		t.Errorf("verdicts (-want +got):\n%s", d)
	}
	logged := func(level, id string, attempt float64, next string) map[string]any {
		return map[string]any{
			"level": level, "msg": "handler failed", "group": "pay", "handler": "paid", "topic": "orders",
			"message_id": id, "attempt": attempt, "error": "handler panicked: boom", "next": next,
		}
	}
	want := []map[string]any{
		logged("WARN", "m0", 1, "retry 1 of 3 after about 10s"),
		logged("WARN", "m1", 3, "retry 3 of 3 after about 1m0s"),
		logged("ERROR", "m2", 4, "dead-letter queue %DLQ%pay"),
		logged("WARN", "m3", 1, "retry 1 of 3 after about 10s"),
	}
	want[0]["stack"] = true // once is enough
	if d := cmp.Diff(want, log); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}

func TestAMessageThatCannotBeDecodedLeavesTheBatch(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay")
	seen := make(chan []payment, 1)
	consumer.HandleBatch(m, "orders", func(ctx context.Context, b *consumer.Batch[payment]) error {
		seen <- b.Values()
		if d := message.DeliveryFrom(ctx); d != nil {
			t.Errorf("the ctx has message %s, of several", d.ID)
		}
		if ds := b.Deliveries(); b.Len() != 2 || len(ds) != 2 || ds[0].ID != "m0" || ds[1].ID != "m2" {
			t.Errorf("%d messages, deliveries %v", b.Len(), ds)
		}
		b.Fail(1, errDown)
		return nil
	})
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("m0", "orders", "", `{"id":"a"}`), msg("m1", "orders", "", `not json`), msg("m2", "orders", "", `{"id":"b"}`))
	want := []settled{ack("m0"), {"m1", dead}, {"m2", retried}}
	if d := cmp.Diff(want, q.await(3)); d != "" {
		t.Errorf("settled (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]payment{{ID: "a"}, {ID: "b"}}, <-seen); d != "" {
		t.Errorf("values (-want +got):\n%s", d)
	}
	q.deliver(msg("m3", "orders", "", `nor this`)) // nothing is left to call the handler with
	if s := q.await(4)[3]; s.Verdict != dead {
		t.Errorf("%+v", s)
	}
}

// Those that fail are tried again at once, without the others and decoded anew.
func TestImmediateRetriesOfABatchAreOfWhatFailed(t *testing.T) {
	t.Parallel()
	var calls []string
	got, _ := batched(t, func(_ context.Context, b *texts) error {
		calls = append(calls, fmt.Sprint(b.Values()))
		for i, v := range b.Values() {
			switch v {
			case "b":
				b.Fail(i, errDown)
			case "d":
				if len(calls) == 1 {
					b.Fail(i, errDown)
				}
			}
			b.Values()[i] = "changed"
		}
		return nil
	}, []consumer.HandlerOption{consumer.Retry(retry.Levels(5).Immediately(2))}, four()...)
	if d := cmp.Diff([]string{"[a b c d]", "[b d]", "[b]"}, calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
	want := map[string]driver.Verdict{"m0": acked, "m1": {Action: driver.ActionRetry, MaxRetries: 5}, "m2": acked, "m3": acked}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("verdicts (-want +got):\n%s", d)
	}
}

func TestABatchThatTakesTooLongFailsWhatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log lines
		calls := 0
		m := consumer.NewMux("pay", consumer.Logger(log.logger()))
		consumer.HandleBatch(m, "orders", func(ctx context.Context, b *texts) error {
			calls++
			b.Done(0)
			<-ctx.Done()
			time.Sleep(time.Second) // the watchdog sees it
			return ctx.Err()
		}, consumer.Timeout(time.Minute), consumer.Retry(retry.Levels(16).Immediately(3)))
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		q.deliver(four()...)
		want := []settled{ack("m0"), {"m1", retried}, {"m2", retried}, {"m3", retried}}
		if d := cmp.Diff(want, q.await(4)); d != "" {
			t.Errorf("settled (-want +got):\n%s", d)
		}
		if calls != 1 {
			t.Errorf("%d calls: nothing is tried with a ctx that has ended", calls)
		}
		if r := log.records(t)[0]; r["msg"] != "handler overran its consume time-out" || r["message_id"] != "m0" || r["batch"] != 4. {
			t.Errorf("log: %v", r)
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The log of the first failure stands for a goroutine that the handler has left behind.
func TestWhatIsSaidAfterTheCallDoesNotCount(t *testing.T) {
	t.Parallel()
	var kept *texts
	m := consumer.NewMux("pay", consumer.Logger(slog.New(slog.NewTextHandler(writer(func() {
		kept.Done(1)
		kept.Fail(2, retry.Permanent(errDown))
	}), nil))))
	consumer.HandleBatch(m, "orders", func(_ context.Context, b *texts) error { kept = b; return errDown })
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(four()...)
	want := []settled{{"m0", retried}, {"m1", retried}, {"m2", retried}, {"m3", retried}}
	if d := cmp.Diff(want, q.await(4)); d != "" {
		t.Errorf("settled (-want +got):\n%s", d)
	}
}

// writer does something with each write.
type writer func()

func (w writer) Write(b []byte) (int, error) { w(); return len(b), nil }

// What is passed over of a broadcast group is counted message by message.
func TestBroadcastBatchesPassOverWhatFails(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay", consumer.Broadcast())
	consumer.HandleBatch(m, "orders", func(_ context.Context, b *texts) error {
		b.Done(0)
		return errDown
	})
	drv := newScripted()
	c := start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(four()...)
	for _, s := range q.await(4) {
		if s.Verdict != acked {
			t.Errorf("%+v", s)
		}
	}
	if n := c.Skipped(); n != 3 {
		t.Errorf("%d passed over, want 3", n)
	}
}

func TestABatchIsOneLinkedSpan(t *testing.T) {
	t.Parallel()
	span := spanOf(t, func(m *consumer.Mux) {
		consumer.HandleBatch(m, "orders", func(_ context.Context, b *texts) error { b.Fail(1, errDown); return nil })
	}, traced("m0", 1), msg("m1", "orders", "", "x"), traced("m2", 2))
	if span.Name() != "process orders" || span.Status().Description != "1 of 3 messages failed, the first: card service is down" {
		t.Errorf("span %q, %+v", span.Name(), span.Status())
	}
	if span.Parent().IsValid() {
		t.Error("it continues the trace of one of its messages")
	}
	var links []string
	for _, l := range span.Links() {
		links = append(links, fmt.Sprint(l.SpanContext.SpanID(), " ", l.Attributes[0].Value.AsString()))
	}
	if d := cmp.Diff([]string{"0000000000000001 m0", "0000000000000002 m2"}, links); d != "" {
		t.Errorf("links (-want +got):\n%s", d)
	}
	for _, a := range span.Attributes() {
		if a.Key == "messaging.batch.message_count" && a.Value.AsInt64() == 3 {
			return
		}
	}
	t.Errorf("attributes %v have no count", span.Attributes())
}

func TestABatchWhoseGoroutineEndsIsTold(t *testing.T) {
	t.Parallel()
	const why = "the handler ended its goroutine (runtime.Goexit, as testing.T.FailNow does)"
	half := func(_ context.Context, b *texts) error {
		b.Done(0)
		runtime.Goexit()
		return nil
	}
	span := spanOf(t, func(m *consumer.Mux) { consumer.HandleBatch(m, "orders", half) }, orders("a", "b")...)
	if span.Status().Description != why {
		t.Errorf("span %+v", span.Status())
	}
	_, log := batched(t, half, nil, orders("a", "b", "c")...)
	var lost []any
	for _, r := range log {
		if r["msg"] == "handler has no outcome" && r["error"] == why {
			lost = append(lost, r["message_id"])
		}
	}
	if d := cmp.Diff([]any{"b", "c"}, lost); d != "" {
		t.Errorf("messages that have no outcome (-want +got):\n%s", d)
	}
}
