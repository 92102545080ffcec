//go:build linux && !race

package rocketkit_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/driver/native"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/trace"
)

// What the framework may cost above its driver, for a message that is sent and handled.
// The throughput is that of busy processors: by the time that they work for a message, the
// server included, which is the same on a machine that others use too.
const (
	mostAllocations = 4 // and those of decoding
	leastThroughput = 0.8
)

// payment is what the messages carry.
type payment struct {
	Order  string
	Amount int64
}

// traffic sends n messages and handles them.
type traffic interface {
	run(t *testing.T, n int)
}

// Callers send at once, and each waits for its answer; as many handlers work as a Consumer
// has by default.
const (
	callers  = 64
	handlers = 20
)

// body is one message's.
func body(t *testing.T) []byte {
	b, err := json.Marshal(payment{"2026-0001", 129_00})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// counter tells when n messages are through.
type counter struct {
	left atomic.Int64
	done chan struct{} // one token
}

func (c *counter) expect(n int) { c.left.Store(int64(n)) }
func (c *counter) count() {
	if c.left.Add(-1) == 0 {
		c.done <- struct{}{}
	}
}

func (c *counter) wait(t *testing.T) {
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		t.Fatalf("%d messages did not arrive", c.left.Load())
	}
}

// bare is the driver alone, with no more around it than the work needs: callers wait, and
// handlers, which may take their time, run outside the driver's goroutines.
type bare struct {
	counter
	sender driver.Sender
	queues []message.Queue
	m      *message.Message
	work   chan delivered
	failed atomic.Pointer[error]
}

type delivered struct {
	d *message.Delivery
	s driver.Settler
}

func newBare(t *testing.T, s *brokerlite.Broker) *bare {
	t.Helper()
	d, err := native.Factory(t.Context(), driver.Config{NameServers: s.NameServers(), Dial: s.Dial, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b := &bare{counter: counter{done: make(chan struct{}, 1)}, m: message.New("bare", body(t)), work: make(chan delivered, 1<<16)}
	var workers sync.WaitGroup
	for range handlers {
		workers.Go(b.handle)
	}
	t.Cleanup(func() {
		close(b.work)
		workers.Wait()
	})
	sub, err := d.NewSubscription(driver.SubscriptionConfig{Group: "bare", Topics: []driver.TopicFilter{{Topic: "bare"}}, From: driver.FromFirst}, b)
	if err != nil {
		t.Fatal(err)
	}
	if b.sender, err = d.NewSender(driver.SenderConfig{Group: "bare", MaxMessageSize: message.MaxBodySize}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		for _, end := range []func(context.Context) error{sub.Drain, b.sender.Close, d.Close} {
			if err := end(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	if err := sub.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.queues, err = b.sender.Queues(t.Context(), "bare"); err != nil {
		t.Fatal(err)
	}
	return b
}

// Deliver implements driver.Sink. There is room: a queue has 1000 messages unsettled at most.
func (b *bare) Deliver(_ context.Context, s driver.Settler, ds []*message.Delivery) {
	for _, d := range ds {
		b.work <- delivered{d, s}
	}
}

func (b *bare) handle() {
	for w := range b.work {
		var v payment
		if err := json.Unmarshal(w.d.Body, &v); err != nil {
			b.failed.Store(&err)
		}
		w.s.Settle(w.d, driver.Verdict{Action: driver.ActionAck})
		b.count()
	}
}

func (b *bare) run(t *testing.T, n int) {
	b.expect(n)
	var turn atomic.Int64
	send(n, func() func() error {
		var out driver.Outgoing
		answer := make(chan error, 1)
		done := func(_ driver.Receipt, err error) { answer <- err }
		return func() error {
			out = driver.Outgoing{Message: b.m, ID: b.sender.NewID()}
			b.sender.SendTo(t.Context(), b.queues[int(turn.Add(1))%len(b.queues)], &out, done)
			return <-answer
		}
	}, &b.failed)
	b.wait(t)
	if err := b.failed.Load(); err != nil {
		t.Fatal(*err)
	}
}

// send makes n sends by callers, each of which has its own way.
func send(n int, way func() func() error, failed *atomic.Pointer[error]) {
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			one := way()
			for range n / callers {
				if err := one(); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	all.Wait()
}

// whole is the framework: a typed handler, a retry policy, middleware, and tracing with a
// provider that makes nothing.
type whole struct {
	counter
	p      *producer.Producer
	m      *message.Message
	failed atomic.Pointer[error]
}

func newWhole(t *testing.T, s *brokerlite.Broker) *whole {
	t.Helper()
	c, err := rocketkit.Open(t.Context(), rocketkit.Config{NameServers: s.NameServers()}, rocketkit.WithDial(s.Dial),
		rocketkit.WithTelemetry(trace.Options{Provider: nooptrace.NewTracerProvider()}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &whole{counter: counter{done: make(chan struct{}, 1)}, m: message.New("whole", body(t)), p: newProducer(t, c, "whole")}
	mux := consumer.NewMux("whole", consumer.From(consumer.First), consumer.Retry(retry.Levels(16).Immediately(2)))
	mux.Use(func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d *message.Delivery) error { return next(ctx, d) }
	})
	consumer.Handle(mux, "whole", func(context.Context, payment) error {
		w.count()
		return nil
	})
	cons, err := c.NewConsumer(mux)
	if err != nil {
		t.Fatal(err)
	}
	if err := cons.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *whole) run(t *testing.T, n int) {
	w.expect(n)
	send(n, func() func() error {
		return func() error {
			_, err := w.p.Send(t.Context(), w.m)
			return err
		}
	}, &w.failed)
	w.wait(t)
	if err := w.failed.Load(); err != nil {
		t.Fatal(*err)
	}
}

// TestTheFrameworkCostsLittleOverItsDriver sends and handles messages with the driver alone
// and with everything above it, in turn, on one server.
func TestTheFrameworkCostsLittleOverItsDriver(t *testing.T) {
	s, err := brokerlite.Start(t.Context(), brokerlite.InMemory())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	const messages, rounds, most = 50 * callers, 10, 40
	ways := [...]traffic{newBare(t, s), newWhole(t, s)}
	for _, way := range ways {
		way.run(t, messages) // the topics exist, pools and rings have grown
	}
	var work [2]time.Duration
	var best [2]float64 // messages a second
	var ratio float64
	var allocs []float64
	for len(allocs) < rounds || len(allocs) < most && ratio < leastThroughput {
		var made [2]float64
		for i, way := range ways {
			r := measure(t, way, messages)
			work[i] += r.work
			best[i], made[i] = max(best[i], r.speed), r.allocs
		}
		ratio, allocs = work[0].Seconds()/work[1].Seconds(), append(allocs, made[1]-made[0])
	}
	each := func(i int) time.Duration { return work[i] / time.Duration(len(allocs)*messages) }
	t.Logf("processor time a message: driver alone %s, framework %s, so %.2f of its throughput; %+.2f allocations a message (%d rounds); best rounds %.0f and %.0f messages/s",
		each(0), each(1), ratio, median(allocs), len(allocs), best[0], best[1])
	if n := median(allocs); n > mostAllocations {
		t.Errorf("the framework makes %.2f allocations a message more than its driver, at most %d", n, mostAllocations)
	}
	if ratio < leastThroughput {
		t.Errorf("the framework has %.2f of its driver's throughput, at least %.1f", ratio, leastThroughput)
	}
}

// round is what n messages took.
type round struct {
	work   time.Duration // of the processors
	speed  float64       // messages a second
	allocs float64       // a message, the server's included
}

func measure(t *testing.T, way traffic, n int) round {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began, worked := time.Now(), processorTime(t)
	way.run(t, n)
	r := round{work: processorTime(t) - worked, speed: float64(n) / time.Since(began).Seconds()}
	runtime.ReadMemStats(&after)
	r.allocs = float64(after.Mallocs-before.Mallocs) / float64(n)
	return r
}

func processorTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
