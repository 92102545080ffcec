package native

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/driver"
)

func TestFault12SettlingWhileTheQueueEndsIsSafe(t *testing.T) {
	t.Parallel()
	for range 20 {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		c.brokers["a"].produce(orders0, 200)
		var wg sync.WaitGroup
		arrived := make(chan struct{}, 200)
		sink := &collector{handle: func(d delivery) {
			wg.Go(d.ack)
			arrived <- struct{}{}
		}}
		s := subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		<-arrived
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	}
}

func TestFault18StopLeavesNothingBehind(t *testing.T) {
	inBubble(t, func(t *testing.T) { // the bubble itself fails on goroutines that go on
		c := newCluster(t, "a")
		c.addTopic("orders", 4)
		b := c.brokers["a"]
		for range 3 {
			s := subscribe(t, c.open(), acking(), driver.SubscriptionConfig{}, "orders")
			pass(2 * time.Second)
			if n := len(b.memberIDs("group")); n != 1 {
				t.Fatalf("%d members", n)
			}
			begin := time.Now()
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			if d := time.Since(begin); d > 100*time.Millisecond {
				t.Errorf("Stop took %s", d)
			}
			if n := len(b.memberIDs("group")); n != 0 {
				t.Errorf("%d members after Stop", n)
			}
		}
	})
}

func TestDrainWaitsForHandlers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.produce(orders0, 3)
		sink := &collector{}
		s := subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		pass(2 * time.Second)
		drained := make(chan error, 1)
		go func() { drained <- s.Drain(t.Context()) }()
		synctest.Wait()
		b.produce(orders0, 3)
		pass(time.Minute)
		if n := len(sink.all()); n != 3 {
			t.Errorf("%d delivered, want no more while draining", n)
		}
		for i, d := range sink.all() {
			if d.ctx.Err() != nil {
				t.Error("the handlers' ctx ended while draining")
			}
			select {
			case err := <-drained:
				t.Fatalf("drained with %d at work: %v", 3-i, err)
			default:
			}
			d.ack()
			synctest.Wait()
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if o := b.committed("group", orders0); o != 3 {
			t.Errorf("committed %d, want 3", o)
		}
		if n := len(b.memberIDs("group")); n != 0 {
			t.Errorf("%d members after Drain", n)
		}
	})
}

func TestDrainThatIsCutOffSaysWhatWasLeft(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.produce(orders0, 3)
		sink := &collector{}
		s := subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		pass(2 * time.Second)
		sink.all()[0].ack()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Drain(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 messages") {
			t.Errorf("%v, want what was left", err)
		}
		if sink.all()[1].ctx.Err() == nil {
			t.Error("the handlers' ctx goes on")
		}
		if o := b.committed("group", orders0); o != 1 {
			t.Errorf("committed %d, want the 1 that was settled", o)
		}
	})
}
