package consumer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// Concurrency, pauses and the rate that change all the time lose nothing and handle
// nothing twice, and the end finds everything done.
func TestNothingIsLostWhileWorkersComeAndGo(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	runs := make(map[string]int)
	note := func(d *message.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		runs[d.ID]++
	}
	m := consumer.NewMux("pay", consumer.Concurrency(4))
	consumer.HandleRaw(m, "orders", func(_ context.Context, d *message.Delivery) error { note(d); return nil })
	consumer.HandleBatchRaw(m, "stock", func(_ context.Context, b *consumer.Batch[*message.Delivery]) error {
		for _, d := range b.Deliveries() {
			note(d)
		}
		return nil
	}, consumer.BatchSize(3))
	drv := newScripted()
	c := start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	const all = 3000
	over := make(chan struct{})
	var changing sync.WaitGroup
	for range 2 {
		changing.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if err := c.Adjust(consumer.Concurrency([]int{1, 2, 64, 1000}[rand.IntN(4)])); err != nil {
					t.Error(err)
				}
				if rand.IntN(8) == 0 {
					if err := c.Pause(); err != nil {
						t.Error(err)
					}
					if err := c.Resume(); err != nil {
						t.Error(err)
					}
				}
				c.State()
			}
		})
	}
	for i := range all {
		q.deliver(msg(fmt.Sprint("o", i), "orders", "", "x"), msg(fmt.Sprint("s", i), "stock", "", "x"))
	}
	q.await(2 * all)
	close(over)
	changing.Wait()
	if n := len(q.await(2 * all)); n != 2*all {
		t.Errorf("%d settled, want %d", n, 2*all)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(runs) != 2*all {
		t.Errorf("%d messages were handled, want %d", len(runs), 2*all)
	}
	for id, n := range runs {
		if n != 1 {
			t.Errorf("%s was handled %d times", id, n)
		}
	}
}
