package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/trace"
)

func ack(id string) settled { return settled{id, driver.Verdict{Action: driver.ActionAck}} }

// collect registers a handler that reports "name:id".
func collect(m *consumer.Mux, to chan<- string, name, topic string, opts ...consumer.HandlerOption) {
	consumer.HandleRaw(m, topic, func(_ context.Context, d *message.Delivery) error {
		to <- name + ":" + d.ID
		return nil
	}, append(opts, consumer.Name(name))...)
}

func TestMessagesGoToTheHandlerOfTheirTopicAndTag(t *testing.T) {
	t.Parallel()
	got := make(chan string, 16)
	m := consumer.NewMux("pay", consumer.Concurrency(1))
	collect(m, got, "paid", "orders", consumer.Tags("paid || late"))
	collect(m, got, "refund", "orders", consumer.Tags("refunded"))
	collect(m, got, "stock", "stock")
	collect(m, got, "large", "amounts", consumer.SQL("a > 1"))
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	retried := msg("6", "orders", "refunded", "x") // the driver restores a retried message's topic
	retried.Queue = message.Queue{Topic: "%RETRY%pay", Broker: "broker-a"}
	q.deliver(msg("1", "orders", "paid", "x"), msg("2", "orders", "late", "x"), msg("3", "orders", "refunded", "x"),
		msg("4", "stock", "paid", "x"), msg("5", "amounts", "", "x"), retried)
	q.await(6)
	close(got)
	calls := make(map[string]bool)
	for call := range got {
		calls[call] = true
	}
	want := map[string]bool{"paid:1": true, "paid:2": true, "refund:3": true, "stock:4": true, "large:5": true, "refund:6": true}
	if d := cmp.Diff(want, calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func TestAMessageThatNoHandlerTakesGoesToTheDeadLetterQueue(t *testing.T) {
	t.Parallel()
	var log lines
	m := consumer.NewMux("pay", consumer.Logger(log.logger()))
	consumer.Handle(m, "orders", onText, consumer.Tags("paid"))
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("m1", "gone", "", "x"), msg("m2", "gone", "", "x"), msg("m3", "orders", "paid", "x"), msg("m4", "orders", "gone", "x"))
	counts := make(map[settled]int)
	for _, s := range q.await(4) {
		counts[s]++
	}
	dead := driver.Verdict{Action: driver.ActionDeadLetter}
	if d := cmp.Diff(map[settled]int{{"m1", dead}: 1, {"m2", dead}: 1, ack("m3"): 1, {"m4", dead}: 1}, counts); d != "" {
		t.Errorf("settled (-want +got):\n%s", d)
	}
	records := log.records(t)
	if len(records) != 3 {
		t.Fatalf("%d log records, want 3: %v", len(records), records)
	}
	want := map[string]any{
		"level": "ERROR", "msg": "no handler takes the message", "group": "pay", "topic": "orders", "tag": "gone", "message_id": "m4", "attempt": 1.,
		"next": "dead-letter queue %DLQ%pay", "remedy": "register a handler for this topic and tag, or use another group",
	}
	if d := cmp.Diff(want, records[2]); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}

func TestMessagesOfADisabledHandlerWaitOn(t *testing.T) {
	t.Parallel()
	var log lines
	m := consumer.NewMux("pay", consumer.Logger(log.logger()), consumer.Disable("refund"), consumer.Disable("stock"))
	consumer.Handle(m, "orders", onText, consumer.Tags("paid"))
	consumer.Handle(m, "orders", onText, consumer.Tags("refunded"), consumer.Name("refund"))
	consumer.Handle(m, "stock", onText)
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("m1", "orders", "refunded", "x"), msg("m2", "stock", "any", "x"))
	again := driver.Verdict{Action: driver.ActionRetry, MaxRetries: math.MaxInt32}
	if d := cmp.Diff([]settled{{"m1", again}, {"m2", again}}, q.await(2)); d != "" {
		t.Errorf("settled (-want +got):\n%s", d)
	}
	if r := log.records(t); len(r) != 2 || r[0]["msg"] != "the message's handler is disabled" || r[0]["level"] != "WARN" {
		t.Errorf("log: %v", r)
	}
}

// One handler that hangs keeps its own workers busy and nobody else's, whatever
// waits for it.
func TestASlowHandlerDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	m := consumer.NewMux("pay", consumer.Concurrency(3))
	consumer.Handle(m, "orders", func(context.Context, string) error { <-release; return nil }, consumer.Tags("slow"))
	consumer.Handle(m, "orders", onText, consumer.Tags("quick"))
	drv := newScripted()
	start(t, drv, m)
	slow, quick := drv.sub(t, "pay").assign(), drv.sub(t, "pay").assign()
	for i := range 500 {
		slow.deliver(msg(fmt.Sprint("s", i), "orders", "slow", "x"))
	}
	for i := range 200 {
		quick.deliver(msg(fmt.Sprint("q", i), "orders", "quick", "x"))
	}
	quick.await(200)
	if n := len(slow.await(0)); n != 0 {
		t.Errorf("%d slow messages were settled", n)
	}
	close(release)
	slow.await(500)
}

func TestConcurrencyIsReachedAndNotPassed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		opts []consumer.GroupOption
		want int
	}{
		{"by default", nil, 20},
		{"of the group", []consumer.GroupOption{consumer.Concurrency(3)}, 3},
		{"of the handler", []consumer.GroupOption{consumer.Concurrency(3), consumer.ForHandler("orders", consumer.Concurrency(7))}, 7},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var now, most atomic.Int32
				m := consumer.NewMux("pay", tc.opts...)
				consumer.Handle(m, "orders", func(context.Context, string) error {
					n := now.Add(1)
					for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
					}
					<-time.After(time.Second)
					now.Add(-1)
					return nil
				})
				drv := newScripted()
				c := start(t, drv, m)
				q := drv.sub(t, "pay").assign()
				began := time.Now()
				for i := range 4 * tc.want {
					q.deliver(msg(fmt.Sprint(i), "orders", "", "x"))
				}
				q.await(4 * tc.want)
				if got := most.Load(); got != int32(tc.want) {
					t.Errorf("%d at once, want %d", got, tc.want)
				}
				if d := time.Since(began); d != 4*time.Second {
					t.Errorf("took %s, want 4 s: workers stood idle", d)
				}
				if err := c.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestOneWorkerTakesMessagesInTheOrderOfTheirQueue(t *testing.T) {
	t.Parallel()
	var got []string
	m := consumer.NewMux("pay", consumer.Concurrency(1))
	consumer.Handle(m, "orders", func(_ context.Context, s string) error { got = append(got, s); return nil })
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	var want []string
	for i := 0; i < 300; i += 3 {
		var pull []*message.Delivery
		for j := i; j < i+3; j++ {
			pull = append(pull, msg(fmt.Sprint(j), "orders", "", fmt.Sprint(j)))
			want = append(want, fmt.Sprint(j))
		}
		q.deliver(pull...)
	}
	q.await(300)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestAnIdleConsumerKeepsNoMessageAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := consumer.NewMux("pay", consumer.Concurrency(1))
		consumer.Handle(m, "orders", onText)
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		d := msg("m1", "orders", "", "x")
		seen := weak.Make(d)
		q.deliver(d)
		d = nil //nolint:ineffassign,wastedassign // the test's own reference
		q.await(1)
		synctest.Wait() // the worker is idle again
		runtime.GC()
		if seen.Value() != nil {
			t.Error("the message is still referenced")
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Many queues deliver at once, as a driver's queue goroutines do.
func TestManyQueuesDeliverAtOnce(t *testing.T) {
	t.Parallel()
	const queues, each = 8, 500
	var handled atomic.Int32
	m := consumer.NewMux("pay")
	consumer.Handle(m, "orders", func(context.Context, string) error {
		if handled.Add(1)%7 == 0 {
			return errDown
		}
		return nil
	}, consumer.Tags("a"))
	consumer.Handle(m, "orders", func(context.Context, string) error { handled.Add(1); return nil }, consumer.Tags("b"))
	drv := newScripted()
	c := start(t, drv, m)
	sub := drv.sub(t, "pay")
	var wg sync.WaitGroup
	for range queues {
		q := sub.assign()
		wg.Go(func() {
			for i := 0; i < each; i += 10 {
				var pull []*message.Delivery
				for j := i; j < i+10; j++ {
					pull = append(pull, msg(fmt.Sprint(j), "orders", []string{"a", "b"}[j%3%2], "x"))
				}
				q.deliver(pull...)
			}
			q.await(each)
		})
	}
	wg.Wait()
	if n := handled.Load(); n != queues*each {
		t.Errorf("%d handled, want %d", n, queues*each)
	}
	if err := c.Drain(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestDeadLettersAreHandledInAGroupOfTheirOwnAndNeverDie(t *testing.T) {
	t.Parallel()
	var log lines
	var got []string
	var fail error
	m := consumer.NewMux("pay", consumer.Logger(log.logger()), consumer.Concurrency(1))
	consumer.HandleDLQ(m, func(ctx context.Context, d *message.Delivery) error {
		got = append(got, fmt.Sprint(d.OriginTopic(), " ", d.Group, " ", message.DeliveryFrom(ctx).ID))
		return fail
	})
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay_dlq").assign()
	forEver := func(v driver.Verdict) driver.Verdict { v.MaxRetries = math.MaxInt32; return v }
	var want []settled
	var wantCalls []string
	for i, tc := range []struct {
		err     error
		queue   string
		verdict driver.Verdict
		next    string
	}{
		{nil, "%DLQ%pay", driver.Verdict{Action: driver.ActionAck}, ""},
		{errDown, "%DLQ%pay", forEver(driver.Verdict{Level: 3}), "delivered again after delay level 3, without end"},
		{errDown, "%RETRY%pay_dlq", forEver(driver.Verdict{Level: 14}), "delivered again after delay level 14, without end"},
		{retry.Permanent(errDown), "%DLQ%pay", forEver(driver.Verdict{Level: 3}), "delivered again after delay level 3, without end"},
		{retry.After(errDown, time.Hour), "%RETRY%pay_dlq", forEver(driver.Verdict{Delay: time.Hour}), "delivered again after 1h0m0s, without end"},
		{retry.Skip(errDown), "%DLQ%pay", driver.Verdict{Action: driver.ActionAck}, "acknowledged"},
	} {
		fail = tc.err
		// What a broker stores in the queue: the original topic as RETRY_TOPIC, and
		// a count that went on. The driver restores the topic of retried copies.
		d := msg(fmt.Sprint("m", i), "%DLQ%pay", "tag1", "x")
		if tc.queue != d.Topic {
			d.Topic = "orders"
		}
		d.Queue = message.Queue{Topic: tc.queue, Broker: "broker-a"}
		d.ReconsumeTimes = 17
		d.SetRawProperties("RETRY_TOPIC\x01orders\x02")
		q.deliver(d)
		want = append(want, settled{d.ID, tc.verdict})
		wantCalls = append(wantCalls, "orders pay_dlq "+d.ID)
		if diff := cmp.Diff(want, q.await(i+1)); diff != "" {
			t.Fatalf("case %d: settled (-want +got):\n%s", i, diff)
		}
		if records := log.records(t); tc.next != "" {
			if r := records[len(records)-1]; r["next"] != tc.next || r["group"] != "pay_dlq" || r["handler"] != "dlq" {
				t.Errorf("case %d: log %v", i, r)
			}
		}
	}
	if d := cmp.Diff(wantCalls, got); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func TestEachRunOfAHandlerIsASpan(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	m := consumer.NewMux("pay", consumer.Concurrency(1))
	consumer.Handle(m, "orders", func(_ context.Context, p payment) error {
		if p.Amount < 0 {
			return errDown
		}
		return nil
	})
	drv := newScripted()
	start(t, drv, m, consumer.Tracer(trace.New(trace.Options{Provider: provider})))
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("m1", "orders", "", `{}`), msg("m2", "orders", "", `{"amount":-1}`), msg("m3", "orders", "", `x`))
	q.await(3)
	var got []string
	for _, s := range recorder.Ended() {
		got = append(got, s.Name()+" "+s.Status().Code.String())
	}
	if d := cmp.Diff([]string{"process orders Unset", "process orders Error", "process orders Error"}, got); d != "" {
		t.Errorf("spans (-want +got):\n%s", d)
	}
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestListenersAreRegistrationsAsValues(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	listeners := []consumer.Registration{
		consumer.Listener[payment]{
			Codec: codec.JSON{}, Name: "paid", Topic: "orders", Tags: "paid", Concurrency: 2, Retry: retry.None(), Timeout: time.Minute,
			Handle: func(_ context.Context, p payment) error { got <- p.ID; return errors.New("no funds") },
		},
		consumer.Listener[string]{Topic: "stock", SQL: "a > 1", Handle: func(_ context.Context, s string) error { got <- s; return nil }},
	}
	m := consumer.NewMux("pay")
	m.Add(listeners...)
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("m1", "orders", "paid", `{"id":"p1"}`))
	if v := <-got; v != "p1" {
		t.Errorf("got %q", v)
	}
	q.await(1)
	q.deliver(msg("m2", "stock", "", "12"))
	if v := <-got; v != "12" {
		t.Errorf("got %q", v)
	}
	if d := cmp.Diff([]settled{{"m1", driver.Verdict{Action: driver.ActionDeadLetter}}, ack("m2")}, q.await(2)); d != "" {
		t.Errorf("settled (-want +got):\n%s", d)
	}
}
