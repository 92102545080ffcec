package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// traced is a message that was sent within span n of trace n.
func traced(id string, n int) *message.Delivery {
	d := msg(id, "orders", "", "x")
	d.SetRawProperties(fmt.Sprintf("traceparent\x0100-%032x-%016x-01\x02", n, n))
	return d
}

// spanOf runs messages through a handler and returns its only span.
func spanOf(t *testing.T, register func(*consumer.Mux), ds ...*message.Delivery) sdktrace.ReadOnlySpan {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	m := consumer.NewMux("pay")
	register(m)
	drv := newScripted()
	start(t, drv, m, consumer.Tracer(trace.New(trace.Options{Provider: provider})))
	q := drv.sub(t, "pay").assign()
	q.deliver(ds...)
	q.await(len(ds))
	spans := recorder.Ended()
	if len(spans) != 1 {
		t.Fatalf("%d spans, want 1", len(spans))
	}
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	return spans[0]
}

// gather registers a batch handler that reports the ids that it gets.
func gather(m *consumer.Mux, opts ...consumer.HandlerOption) <-chan string {
	got := make(chan string, 100)
	consumer.HandleBatchRaw(m, "orders", func(_ context.Context, b *consumer.Batch[*message.Delivery]) error {
		ids := ""
		for _, d := range b.Values() {
			ids += d.ID
		}
		got <- ids
		return nil
	}, opts...)
	return got
}

func orders(ids ...string) []*message.Delivery {
	var ds []*message.Delivery
	for _, id := range ids {
		ds = append(ds, msg(id, "orders", "", "x"))
	}
	return ds
}

// Batches are of one queue each, in its order and up to their size; queues take turns.
func TestBatchesAreOfOneQueue(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay", consumer.Concurrency(1))
	got := gather(m, consumer.BatchSize(3))
	drv := newScripted()
	c := start(t, drv, m)
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	one, two := drv.sub(t, "pay").assign(), drv.sub(t, "pay").assign() // two terms of one queue are as two queues
	one.deliver(orders("a", "b")...)
	two.deliver(orders("p", "q")...)
	one.deliver(orders("c", "d", "e", "f", "g")...)
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	one.await(7)
	two.await(2)
	var calls []string
	for range 4 {
		calls = append(calls, <-got)
	}
	if d := cmp.Diff([]string{"abc", "pq", "def", "g"}, calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func TestQueuesThatEndTogetherHaveBatchesOfTheirOwn(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay", consumer.Concurrency(1))
	got := gather(m)
	drv := newScripted()
	c := start(t, drv, m)
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	ds := orders("a", "p", "b", "q")
	for i, d := range ds {
		d.Queue = message.Queue{Topic: "orders", Broker: "broker-a", ID: i % 2}
	}
	q := drv.sub(t, "pay").assign()
	q.deliver(ds...)
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	q.await(4)
	if d := cmp.Diff([]string{"ab", "pq"}, []string{<-got, <-got}); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

// A driver may deliver what is of one queue from several goroutines.
func TestABatchIsInOffsetOrder(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay")
	got := gather(m, consumer.BatchSize(3), consumer.BatchWait(time.Hour))
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	for _, offset := range []int64{2, 0, 1} {
		d := msg(fmt.Sprint(offset), "orders", "", "x")
		d.QueueOffset = offset
		q.deliver(d)
	}
	if ids := <-got; ids != "012" {
		t.Errorf("got %q", ids)
	}
	q.idle()
}

func TestABatchWaitsUntilItIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := consumer.NewMux("pay")
		got := gather(m, consumer.BatchSize(3), consumer.BatchWait(time.Minute))
		drv := newScripted()
		c := start(t, drv, m)
		one, two := drv.sub(t, "pay").assign(), drv.sub(t, "pay").assign()
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			select {
			case ids := <-got:
				if ids != want {
					t.Errorf("got %q, want %q", ids, want)
				}
			default:
				if want != "" {
					t.Errorf("nothing was handled, want %q", want)
				}
			}
		}
		one.deliver(orders("a", "b")...)
		time.Sleep(40 * time.Second)
		two.deliver(orders("p")...)
		expect("")
		one.deliver(orders("c", "d")...) // full, and one is left
		expect("abc")
		time.Sleep(59 * time.Second) // p has waited for 59 s, d too
		expect("")
		time.Sleep(time.Second)
		first := <-got
		if second := <-got; first+second != "pd" && first+second != "dp" {
			t.Errorf("got %q and %q", first, second)
		}
		one.deliver(orders("e")...)
		time.Sleep(10 * time.Second)
		if err := c.Drain(t.Context()); err != nil { // waits for nobody
			t.Error(err)
		}
		expect("e")
	})
}

// A handler that is busy when a batch is full or has waited takes it when it is free.
func TestBatchesThatAreReadyAreTakenByTheNextFreeWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log []string
		began := time.Now()
		m := consumer.NewMux("pay", consumer.Concurrency(1))
		consumer.HandleBatch(m, "orders", func(_ context.Context, b *texts) error {
			log = append(log, fmt.Sprint(time.Since(began), " ", b.Len()))
			time.Sleep(10 * time.Second)
			return nil
		}, consumer.BatchSize(2), consumer.BatchWait(3*time.Second))
		drv := newScripted()
		c := start(t, drv, m)
		one, two := drv.sub(t, "pay").assign(), drv.sub(t, "pay").assign()
		one.deliver(orders("a", "b", "c")...) // c has waited long when the worker is free
		time.Sleep(9 * time.Second)
		two.deliver(orders("p")...) // and p has not
		one.await(3)
		two.await(1)
		if d := cmp.Diff([]string{"0s 2", "10s 1", "20s 1"}, log); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		two.deliver(orders("q")...) // a worker that is free and has nothing else to do
		two.await(2)
		if d := cmp.Diff("33s 1", log[3]); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestABatchOfARevokedQueueIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := consumer.NewMux("pay")
		got := gather(m, consumer.BatchWait(time.Minute))
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		began := time.Now()
		q.deliver(orders("a", "b")...)
		q.revoke()
		if counted := q.idle(); len(counted) != 0 || len(got) != 0 || time.Since(began) > 0 {
			t.Errorf("after %s %v counted, %d calls", time.Since(began), counted, len(got))
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestABatchThatIsRevokedWhileItIsHandledDoesNotCount(t *testing.T) {
	t.Parallel()
	var log lines
	var q *queue
	m := consumer.NewMux("pay", consumer.Logger(log.logger()))
	consumer.HandleBatch(m, "orders", func(ctx context.Context, _ *texts) error {
		q.revoke()
		<-ctx.Done()
		return ctx.Err()
	})
	drv := newScripted()
	start(t, drv, m)
	q = drv.sub(t, "pay").assign()
	q.deliver(orders("a", "b")...)
	if counted := q.idle(); len(counted) != 0 {
		t.Errorf("%v counted", counted)
	}
	if r := log.records(t); len(r) != 1 || r[0]["msg"] != "queue was revoked while the handler ran" || r[0]["batch"] != 2. {
		t.Errorf("log: %v", r)
	}
}

func TestAShutdownNamesABatchThatStillRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, running := make(chan struct{}), make(chan struct{})
		m := consumer.NewMux("pay", consumer.ShutdownTimeout(time.Second))
		consumer.HandleBatch(m, "orders", func(context.Context, *texts) error { close(running); <-release; return nil })
		drv := newScripted()
		c := start(t, drv, m)
		drv.sub(t, "pay").assign().deliver(orders("a", "b", "c")...)
		<-running
		err := c.Stop(t.Context())
		if want := `consumer group "pay": handlers still running: "orders" with message a and 2 more for 1s; a handler must return when its ctx ends`; err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		close(release)
	})
}

// The limit is of messages, also where a batch is larger than a burst.
func TestABatchHandlersRateIsOfMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var handled atomic.Int64
		m := consumer.NewMux("pay", consumer.Concurrency(1))
		consumer.HandleBatch(m, "orders", func(_ context.Context, b *texts) error { handled.Add(int64(b.Len())); return nil },
			consumer.BatchSize(5), consumer.RateLimit(10))
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		for range 50 {
			q.deliver(orders("a")...)
		}
		for range 3 {
			before := handled.Load()
			time.Sleep(time.Second)
			synctest.Wait()
			if n := handled.Load() - before; n < 5 || n > 15 {
				t.Errorf("%d messages were handled within a second, want 10", n)
			}
		}
		q.deliver(orders("b")...)
		q.revoke() // those that wait for the limit are given back
		q.idle()
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTheKillSwitchCountsTheMessagesOfBatches(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay", consumer.Concurrency(1))
	consumer.HandleBatch(m, "orders", func(_ context.Context, b *texts) error {
		for i := range b.Len() / 2 {
			b.Fail(i, errDown)
		}
		return nil
	}, consumer.KillSwitch(consumer.KillSwitchSettings{AtLeast: 8, PauseFor: time.Hour}))
	drv := newScripted()
	c := start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(four()...)
	q.await(4)
	if len(c.Paused()) != 0 {
		t.Error("paused too early")
	}
	q.deliver(four()...)
	q.await(8)
	if d := cmp.Diff([]string{"orders"}, c.Paused()); d != "" {
		t.Errorf("paused (-want +got):\n%s", d)
	}
}

func TestAllTheWaysToRegisterABatchHandler(t *testing.T) {
	t.Parallel()
	got := make(chan string, 4)
	take := func(_ context.Context, b *texts) error { got <- fmt.Sprint(b.Values()); return nil }
	m := consumer.NewMux("pay", consumer.Concurrency(1))
	consumer.HandleBatch(m, "plain", take, consumer.Tags("t"))
	m.Add(consumer.Listener[string]{Topic: "listened", BatchSize: 2, BatchWait: time.Millisecond, HandleBatch: take})
	err := consumer.Bind(m, struct {
		Bound consumer.BatchFunc[string] `topic:"bound" batch:"2" batch_wait:"1ms"`
	}{take})
	if err != nil {
		t.Fatal(err)
	}
	drv := newScripted()
	c := start(t, drv, m, consumer.ForHandler("plain[t]", consumer.BatchSize(1)))
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	q := drv.sub(t, "pay").assign()
	for _, topic := range []string{"listened", "bound", "plain"} {
		q.deliver(msg("1", topic, "t", topic), msg("2", topic, "t", "2"))
	}
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	q.await(6)
	close(got)
	calls := make(map[string]bool)
	for call := range got {
		calls[call] = true
	}
	if d := cmp.Diff(map[string]bool{"[listened 2]": true, "[bound 2]": true, "[plain]": true, "[2]": true}, calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func TestBatchHandlersThatCannotBe(t *testing.T) {
	t.Parallel()
	none := func(context.Context, *texts) error { return nil }
	for _, tc := range []struct {
		name        string
		opts        []consumer.GroupOption
		fill        func(m *consumer.Mux)
		want        string
		unsupported bool
	}{
		{"too large", nil, func(m *consumer.Mux) { consumer.HandleBatch(m, "orders", none, consumer.BatchSize(1025)) },
			`handler "orders": BatchSize(1025): 1 to 1024, and no more than MaxUnsettled`, false},
		{"larger than what is delivered", []consumer.GroupOption{consumer.MaxUnsettled(10)}, func(m *consumer.Mux) {
			consumer.HandleBatch(m, "orders", none, consumer.BatchSize(11))
		}, `handler "orders": BatchSize(11): 1 to 1024, and no more than MaxUnsettled`, false},
		{"a wait of less than nothing", nil, func(m *consumer.Mux) { consumer.HandleBatch(m, "orders", none, consumer.BatchWait(-1)) },
			`handler "orders": BatchWait(-1ns): must not be negative; 0 takes what is there`, false},
		{"in order", []consumer.GroupOption{consumer.Ordered()}, func(m *consumer.Mux) { consumer.HandleBatch(m, "orders", none) },
			`handler "orders": batches in an ordered group are not supported: of what is in order one message is handled at a time; use Handle, or remove Ordered and OrderedBy`, true},
		{"middleware", nil, func(m *consumer.Mux) {
			m.Use(func(next consumer.Handler) consumer.Handler { return next })
			consumer.HandleBatch(m, "orders", none)
		}, `handler "orders": batches do not pass through middleware, which sees single messages; wrap the function itself, or give it a group of its own`, false},
		{"options of a batch for single messages", nil, func(m *consumer.Mux) { consumer.Handle(m, "orders", onText, consumer.BatchSize(3)) },
			`handler "orders": BatchSize and BatchWait are for batches, and it takes single messages; use HandleBatch, or remove them`, false},
		{"nil", nil, func(m *consumer.Mux) { consumer.HandleBatch[string](m, "orders", nil) },
			`handler "orders": the handler function is nil; pass one`, false},
		{"both", nil, func(m *consumer.Mux) {
			m.Add(consumer.Listener[string]{Topic: "orders", Handle: onText, HandleBatch: none})
			consumer.Handle(m, "other", onText)
		}, `handler of topic "orders": it has Handle and HandleBatch; a message goes to one of them`, false},
	} {
		m := consumer.NewMux("pay")
		tc.fill(m)
		_, err := consumer.New(newScripted(), m, tc.opts...)
		var reg *consumer.RegistrationError
		if !errors.As(err, &reg) || len(reg.Mistakes) != 1 || reg.Mistakes[0].Error() != tc.want || errors.Is(err, message.ErrUnsupported) != tc.unsupported {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
	}
}

// A drain that comes before there is a worker loses nothing.
func TestADrainHandlesABatchThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := consumer.NewMux("pay")
		got := gather(m, consumer.BatchWait(time.Hour))
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		if err := c.Pause(); err != nil {
			t.Fatal(err)
		}
		q.deliver(orders("a", "b")...)
		if err := c.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if ids := <-got; ids != "ab" {
			t.Errorf("got %q", ids)
		}
		q.deliver(orders("c")...) // too late: given back
		if counted := q.idle(); len(counted) != 2 || counted[0].Verdict.Action != driver.ActionAck {
			t.Errorf("%v counted", counted)
		}
	})
}
