package consumer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// count registers a handler that counts its calls and fails while failing says so.
func count(m *consumer.Mux, name, topic string, calls *atomic.Int64, failing *atomic.Bool, opts ...consumer.HandlerOption) {
	consumer.HandleRaw(m, topic, func(context.Context, *message.Delivery) error {
		calls.Add(1)
		if failing != nil && failing.Load() {
			return errors.New("the database is down")
		}
		return nil
	}, append(opts, consumer.Name(name))...)
}

func TestAPausedHandlerBeginsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var orders, stock atomic.Int64
		m := consumer.NewMux("pay")
		count(m, "orders", "orders", &orders, nil)
		count(m, "stock", "stock", &stock, nil)
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		if err := c.Pause("orders"); err != nil {
			t.Fatal(err)
		}
		q.deliver(msg("1", "orders", "", "x"), msg("2", "stock", "", "x"), msg("3", "orders", "", "x"))
		synctest.Wait()
		if orders.Load() != 0 || stock.Load() != 1 {
			t.Errorf("handled %d orders, %d of stock", orders.Load(), stock.Load())
		}
		if diff := cmp.Diff([]string{"orders"}, c.Paused()); diff != "" {
			t.Errorf("paused (-want +got)\n%s", diff)
		}
		if err := c.Resume(); err != nil {
			t.Fatal(err)
		}
		q.await(3)
		if n := orders.Load(); n != 2 || len(c.Paused()) != 0 {
			t.Errorf("handled %d orders, paused are %v", n, c.Paused())
		}
		if err := c.Pause("stock", "bills"); err == nil || !strings.Contains(err.Error(), `no handler "bills"; registered are "orders", "stock"`) {
			t.Errorf("an unknown handler: %v", err)
		}
		if len(c.Paused()) != 0 {
			t.Errorf("paused are %v", c.Paused())
		}
	})
}

func TestADrainEndsAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		m := consumer.NewMux("pay")
		count(m, "orders", "orders", &calls, nil)
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		if err := c.Pause(); err != nil {
			t.Fatal(err)
		}
		q.deliver(msg("1", "orders", "", "x"), msg("2", "orders", "", "x"))
		if err := c.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if n := calls.Load(); n != 2 {
			t.Errorf("%d of 2 messages were handled", n)
		}
		if err := c.Pause(); err != nil || len(c.Paused()) != 0 {
			t.Errorf("paused after the end: %v, %v", err, c.Paused())
		}
	})
}

func TestAHandlersRateIsLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		m := consumer.NewMux("pay")
		count(m, "orders", "orders", &calls, nil, consumer.RateLimit(10))
		drv := newScripted()
		start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		for range 50 {
			q.deliver(msg("1", "orders", "", "x"))
		}
		for range 3 {
			before := calls.Load()
			time.Sleep(time.Second)
			synctest.Wait()
			if n := calls.Load() - before; n < 9 || n > 11 {
				t.Errorf("%d messages were handled within a second, want 10", n)
			}
		}
		q.await(50)
	})
}

func TestAHandlerThatFailsIsPausedForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log lines
		var calls atomic.Int64
		var down atomic.Bool
		m := consumer.NewMux("pay", consumer.Logger(log.logger()), consumer.Concurrency(1))
		count(m, "orders", "orders", &calls, &down, consumer.KillSwitch(consumer.KillSwitchSettings{AtLeast: 4, PauseFor: 10 * time.Second}))
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		deliver := func(n int) {
			for range n {
				q.deliver(msg("1", "orders", "", "x"))
			}
			synctest.Wait()
		}
		deliver(2)
		down.Store(true)
		deliver(1) // 1 of 3, and fewer than 4
		if len(c.Paused()) != 0 {
			t.Error("paused too early")
		}
		deliver(5) // the first makes it 2 of 4
		if n := calls.Load(); n != 4 || len(c.Paused()) != 1 {
			t.Errorf("%d messages were handled, paused are %v", n, c.Paused())
		}
		if !slices.ContainsFunc(log.records(t), func(r map[string]any) bool {
			return r["level"] == "ERROR" && r["handler"] == "orders" && r["failed"] == 2.0 && r["of"] == 4.0
		}) {
			t.Errorf("nothing about it in the log: %v", log.records(t))
		}
		down.Store(false)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if n := calls.Load(); n != 8 || len(c.Paused()) != 0 {
			t.Errorf("when the pause is over %d messages were handled, paused are %v", n, c.Paused())
		}
	})
}

func TestTheEndOfAKillSwitchsPauseLeavesAPauseAsItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		var down atomic.Bool
		down.Store(true)
		m := consumer.NewMux("pay", consumer.Concurrency(1))
		count(m, "orders", "orders", &calls, &down, consumer.KillSwitch(consumer.KillSwitchSettings{AtLeast: 1, PauseFor: 10 * time.Second}))
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		q.deliver(msg("1", "orders", "", "x"))
		synctest.Wait()
		if err := c.Pause("orders"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if len(c.Paused()) != 1 {
			t.Error("the kill switch has ended a pause that is not its own")
		}
		if err := c.Resume(); err != nil || len(c.Paused()) != 0 {
			t.Errorf("resumed: %v, paused are %v", err, c.Paused())
		}
	})
}

// However short its pauses are, each has an end.
func TestAShortPauseOfAKillSwitchEnds(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	var down atomic.Bool
	down.Store(true)
	m := consumer.NewMux("pay")
	count(m, "orders", "orders", &calls, &down, consumer.KillSwitch(consumer.KillSwitchSettings{AtLeast: 1, PauseFor: 1}))
	drv := newScripted()
	c := start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	for range 2000 {
		q.deliver(msg("1", "orders", "", "x"))
	}
	for deadline := time.Now().Add(10 * time.Second); calls.Load() < 2000; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of 2000 messages were handled, paused are %v", calls.Load(), c.Paused())
		}
	}
}

// What waits for its turn waits for the end of a pause, too, and is counted as waiting.
func TestWhatWaitsForItsTurnHeedsAPause(t *testing.T) {
	t.Parallel()
	for name, register := range map[string]func(m *consumer.Mux, calls *atomic.Int64){
		"single": func(m *consumer.Mux, calls *atomic.Int64) {
			count(m, "orders", "orders", calls, nil, consumer.RateLimit(1), consumer.Concurrency(4))
		},
		"batches": func(m *consumer.Mux, calls *atomic.Int64) {
			consumer.HandleBatchRaw(m, "orders", func(context.Context, *consumer.Batch[*message.Delivery]) error { calls.Add(1); return nil },
				consumer.RateLimit(1), consumer.Concurrency(4), consumer.BatchSize(1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				m := consumer.NewMux("pay")
				register(m, &calls)
				drv := newScripted()
				c := start(t, drv, m)
				q := drv.sub(t, "pay").assign()
				for range 10 {
					q.deliver(msg("1", "orders", "", "x"))
				}
				handled := func(want int64, waiting int) {
					t.Helper()
					synctest.Wait()
					if n, h := calls.Load(), c.State().Handlers[0]; n != want || h.Waiting != waiting {
						t.Errorf("%d were handled and %d wait, want %d and %d", n, h.Waiting, want, waiting)
					}
				}
				handled(1, 9)
				if err := c.Pause(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				handled(1, 9)
				if err := c.Resume(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3500 * time.Millisecond)
				handled(5, 5) // one at once, since the rate was not used for a minute
				if err := c.Pause(); err != nil {
					t.Fatal(err)
				}
				if err := c.Drain(t.Context()); err != nil { // which ends the pause
					t.Error(err)
				}
				handled(10, 0)
			})
		})
	}
}

// The next member need not wait for the end of a pause, nor for a handler that is busy with
// another queue.
func TestWhatWaitsOfARevokedQueueIsGivenBackAtOnce(t *testing.T) {
	t.Parallel()
	for name, register := range map[string]func(*consumer.Mux, func()){
		"single": func(m *consumer.Mux, handle func()) {
			consumer.HandleRaw(m, "orders", func(context.Context, *message.Delivery) error { handle(); return nil }, consumer.Concurrency(1))
		},
		"batches": func(m *consumer.Mux, handle func()) {
			consumer.HandleBatchRaw(m, "orders", func(context.Context, *consumer.Batch[*message.Delivery]) error { handle(); return nil },
				consumer.Concurrency(1), consumer.BatchSize(1))
		},
	} {
		for _, how := range []string{"paused", "busy"} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var calls atomic.Int64
					busy := make(chan struct{})
					m := consumer.NewMux("pay")
					register(m, func() { calls.Add(1); <-busy })
					drv := newScripted()
					c := start(t, drv, m)
					kept, lost := drv.sub(t, "pay").assign(), drv.sub(t, "pay").assign()
					if how == "paused" {
						if err := c.Pause(); err != nil {
							t.Fatal(err)
						}
						close(busy)
					}
					for range 100 { // so that the ring is full, and has grown
						kept.deliver(msg("1", "orders", "", "x"))
						synctest.Wait()
						lost.deliver(msg("2", "orders", "", "x"))
					}
					lost.revoke()
					if counted := lost.idle(); len(counted) > 0 {
						t.Errorf("%d counted after the revocation", len(counted))
					}
					if how == "paused" {
						if err := c.Resume(); err != nil {
							t.Fatal(err)
						}
					} else {
						close(busy)
					}
					if n := len(kept.await(100)); n != 100 || calls.Load() != 100 {
						t.Errorf("%d settled after %d calls, want 100", n, calls.Load())
					}
					if err := c.Drain(t.Context()); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// So is a message whose turn came during a pause, which a worker has taken.
func TestWhatMissesItsTurnForAPauseIsGivenBackAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		m := consumer.NewMux("pay")
		count(m, "orders", "orders", &calls, nil, consumer.RateLimit(1))
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		for range 2 {
			q.deliver(msg("1", "orders", "", "x"))
		}
		q.await(1)
		if err := c.Pause(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		begun := time.Now()
		q.revoke()
		if counted, took := q.idle(), time.Since(begun); len(counted) != 1 || took > 0 || calls.Load() != 1 {
			t.Errorf("after %v %d counted, and %d calls, want one of each", took, len(counted), calls.Load())
		}
	})
}

// A member that is paused hands over what the next one has got of its queues in order.
func TestAPausedMemberHandsItsQueuesOver(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		mux := func(j *journal) *consumer.Mux {
			m := consumer.NewMux("pay", consumer.From(consumer.First), consumer.Ordered())
			consumer.Handle(m, "orders", func(_ context.Context, s string) error { j.add("%s", s); return nil })
			return m
		}
		var first, second journal
		paused, endFirst := w.member(mux(&first))
		if err := paused.Pause(); err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			w.keyed("orders", string(rune('a'+i)), "x")
		}
		pass(time.Minute)
		_, endSecond := w.member(mux(&second))
		pass(2 * time.Minute)
		if got, _ := second.read(); len(got) == 0 {
			t.Error("the second member has none of the queues that became its")
		}
		if err := paused.Resume(); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		a, _ := first.read()
		b, _ := second.read()
		if len(a) == 0 || len(a)+len(b) != 40 {
			t.Errorf("%d and %d were handled, want 40 in all", len(a), len(b))
		}
		endFirst((*consumer.Consumer).Drain)
		endSecond((*consumer.Consumer).Drain)
	})
}
