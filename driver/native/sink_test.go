package native

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// delivery is one message that a sink got, with what it needs to settle it.
type delivery struct {
	*message.Delivery
	ctx     context.Context
	settler driver.Settler
	at      time.Time
}

func (d delivery) settle(v driver.Verdict) { d.settler.Settle(d.Delivery, v) }
func (d delivery) ack()                    { d.settle(driver.Verdict{Action: driver.ActionAck}) }

// collector is a sink that keeps what it gets; handle, if set, runs for each
// message and must not block.
type collector struct {
	handle func(delivery)

	mu  sync.Mutex // guards the following
	got []delivery
}

func (c *collector) Deliver(ctx context.Context, s driver.Settler, ds []*message.Delivery) {
	for _, m := range ds {
		d := delivery{m, ctx, s, time.Now()}
		c.mu.Lock()
		c.got = append(c.got, d)
		c.mu.Unlock()
		if c.handle != nil {
			c.handle(d)
		}
	}
}

func (c *collector) all() []delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]delivery(nil), c.got...)
}

func acking() *collector { return &collector{handle: delivery.ack} }

// ackingBut settles messages with that body by v, and acknowledges the others.
func ackingBut(body string, v driver.Verdict) *collector {
	return &collector{handle: func(d delivery) {
		if string(d.Body) == body {
			d.settle(v)
			return
		}
		d.ack()
	}}
}

// subscribe starts a subscription to the topics, stopped when the test ends.
func subscribe(t testing.TB, c *client, sink driver.Sink, cfg driver.SubscriptionConfig, topics ...string) *subscription {
	t.Helper()
	if cfg.Group == "" {
		cfg.Group = "group"
	}
	for _, topic := range topics {
		cfg.Topics = append(cfg.Topics, driver.TopicFilter{Topic: topic})
	}
	s, err := c.NewSubscription(cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s.(*subscription)
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// pass lets virtual time go on and everything settle.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
