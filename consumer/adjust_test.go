package consumer_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// crowd counts the calls that are in a handler now.
type crowd struct{ now, total atomic.Int64 }

func (c *crowd) handle(ctx context.Context, _ *message.Delivery) error {
	c.now.Add(1)
	defer c.now.Add(-1)
	c.total.Add(1)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	return nil
}

func TestConcurrencyChangesWhileMessagesAreHandled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var single, batches crowd
		m := consumer.NewMux("pay", consumer.Concurrency(2))
		consumer.HandleRaw(m, "orders", single.handle)
		consumer.HandleBatchRaw(m, "stock", func(ctx context.Context, b *consumer.Batch[*message.Delivery]) error {
			return batches.handle(ctx, b.Deliveries()[0])
		}, consumer.BatchSize(1), consumer.Concurrency(3))
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		const all = 100
		for range all {
			q.deliver(msg("1", "orders", "", "x"))
			q.deliver(msg("2", "stock", "", "x"))
		}
		working := func(what string, orders, stock int64) {
			t.Helper()
			synctest.Wait()
			if single.now.Load() != orders || batches.now.Load() != stock {
				t.Errorf("%s: %d and %d at work, want %d and %d", what, single.now.Load(), batches.now.Load(), orders, stock)
			}
		}
		adjust := func(opts ...consumer.GroupOption) {
			t.Helper()
			if err := c.Adjust(opts...); err != nil {
				t.Fatal(err)
			}
		}
		working("at first", 2, 3)
		adjust(consumer.Concurrency(5), consumer.ForHandler("stock", consumer.Concurrency(7)))
		working("more", 5, 7)
		time.Sleep(1500 * time.Millisecond)
		adjust(consumer.Concurrency(1), consumer.ForHandler("stock", consumer.Concurrency(2)))
		working("what has begun is finished", 5, 7)
		time.Sleep(time.Second)
		working("fewer", 1, 2)
		adjust()
		working("as it was made", 2, 3)
		q.await(2 * all)
		if single.total.Load() != all || batches.total.Load() != all {
			t.Errorf("%d and %d calls", single.total.Load(), batches.total.Load())
		}
		adjust(consumer.Concurrency(1)) // of workers that are idle
		q.deliver(msg("1", "orders", "", "x"), msg("1", "orders", "", "x"))
		working("after a rest", 1, 0)
		q.await(2*all + 2)
	})
}

func TestARateThatChangesHoldsForWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		m := consumer.NewMux("pay", consumer.Concurrency(4))
		count(m, "orders", "orders", &calls, nil, consumer.RateLimit(0.001))
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		for range 100 {
			q.deliver(msg("1", "orders", "", "x"))
		}
		time.Sleep(time.Second)
		if n := calls.Load(); n != 1 {
			t.Errorf("%d messages were handled, want 1", n)
		}
		if err := c.Adjust(consumer.ForHandler("orders", consumer.RateLimit(10))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := calls.Load(); n < 10 || n > 13 {
			t.Errorf("%d messages were handled in a second, want 10 more", n)
		}
		if err := c.Adjust(consumer.ForHandler("orders", consumer.RateLimit(1e6))); err != nil {
			t.Fatal(err)
		}
		q.await(100)
	})
}

func TestAMistakeInAnAdjustmentChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var at crowd
		m := consumer.NewMux("pay", consumer.Concurrency(2))
		consumer.HandleRaw(m, "orders", at.handle)
		drv := newScripted()
		c := start(t, drv, m)
		consumer.HandleRaw(m, "later", at.handle) // the mux is the consumer's no more
		q := drv.sub(t, "pay").assign()
		err := c.Adjust(consumer.Concurrency(5), consumer.ForHandler("order", consumer.Concurrency(0)), nil)
		var mistakes *consumer.RegistrationError
		if !errors.As(err, &mistakes) || len(mistakes.Mistakes) != 2 || !strings.Contains(err.Error(), `did you mean "orders"?`) {
			t.Errorf("error %v", err)
		}
		for range 10 {
			q.deliver(msg("1", "orders", "", "x"))
		}
		synctest.Wait()
		if n := at.now.Load(); n != 2 {
			t.Errorf("%d at work, want 2", n)
		}
		q.await(10)
	})
}
