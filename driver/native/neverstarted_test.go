package native

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// A start that fails is what a stop waits for that was called meanwhile, and it does not
// go on asking brokers then.
func TestStopEndsAStartThatWaitsForABroker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("t", 1)
		c.brokers["a"].ignore(protocol.CheckClientConfig)
		s, err := c.open().NewSubscription(sqlConfig("amount > 10"), acking())
		if err != nil {
			t.Fatal(err)
		}
		started, stopped := make(chan error, 1), make(chan error, 1)
		go func() { started <- s.Start(t.Context()) }()
		pass(time.Second)
		began := time.Now()
		go func() { stopped <- s.Stop(t.Context()) }()
		for range 2 {
			select {
			case err := <-started:
				if !errors.Is(err, message.ErrClosed) {
					t.Errorf("start: %v, want ErrClosed", err)
				}
			case err := <-stopped:
				if err != nil {
					t.Errorf("stop: %v", err)
				}
			case <-time.After(time.Minute):
				t.Fatal("a minute later one of them waits still")
			}
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("it took %s", d)
		}
	})
}

func TestCommitDoesNotWaitForAGroupThatIsNotJoined(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s, err := newCluster(t, "a").open().NewSubscription(driver.SubscriptionConfig{Group: "group", Topics: []driver.TopicFilter{{Topic: "orders"}}}, acking())
		if err != nil {
			t.Fatal(err)
		}
		c := s.(driver.Committer)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Commit(ctx); err == nil || errors.Is(err, message.ErrClosed) {
			t.Errorf("before the start: %v", err)
		}
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		if err := c.Commit(ctx); !errors.Is(err, message.ErrClosed) {
			t.Errorf("after the stop: %v, want ErrClosed", err)
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("it took %s", d)
		}
	})
}
