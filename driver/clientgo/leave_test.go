package clientgo

import (
	"context"
	"log/slog"
	"reflect"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// spy is a push consumer that notes how many queues it has at its Shutdown.
type spy struct {
	pushConsumer
	atShutdown int
}

func (s *spy) Shutdown() error {
	s.atShutdown = queuesOf(s.pushConsumer)
	return s.pushConsumer.Shutdown()
}

// queuesOf counts the queues of rocketmq-client-go's consumer, whose answer is of
// a type that cannot be named here.
func queuesOf(pc pushConsumer) int {
	info := reflect.ValueOf(pc).MethodByName("GetConsumerRunningInfo").Call([]reflect.Value{reflect.ValueOf(false)})[0]
	return info.Elem().FieldByName("MQTable").Len()
}

// Shutdown closes the channels of the queues that are left, while pulls may put
// messages into them: a program that stops a busy consumer dies of it, about once
// in 45 times. Without queues there is nothing to close.
func TestNoQueueIsLeftAtShutdown(t *testing.T) {
	NeedsQuiet(t)
	t.Parallel()
	b, err := brokerlite.Start(t.Context(), brokerlite.InMemory())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	defer func() {
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	d, err := Factory(ctx, driver.Config{NameServers: []string{b.NameServer()}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	sender, err := d.NewSender(driver.SenderConfig{Group: "p"})
	if err != nil {
		t.Fatal(err)
	}
	queues, err := sender.Queues(ctx, "topic")
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.SendOneway(ctx, queues[0], &driver.Outgoing{Message: message.New("topic", []byte("x")), ID: sender.NewID()}); err != nil {
		t.Fatal(err)
	}
	arrived := make(chan struct{}, 1)
	sub, err := d.NewSubscription(driver.SubscriptionConfig{Group: "g", From: driver.FromFirst, Topics: []driver.TopicFilter{{Topic: "topic"}}},
		sinkFunc(func(driver.Settler, *message.Delivery) { arrived <- struct{}{} })) // never settled
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Start(ctx); err != nil {
		t.Fatal(err)
	}
	<-arrived
	s := sub.(*subscription)
	watch := &spy{atShutdown: -1}
	s.mu.Lock()
	watch.pushConsumer = s.consumer.pushConsumer
	s.consumer.pushConsumer = watch
	s.mu.Unlock()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for want := len(queues) + 1; queuesOf(watch.pushConsumer) < want; { // the retry topic's
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d queues, want %d", queuesOf(watch.pushConsumer), want)
		}
	}
	if err := sub.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if watch.atShutdown != 0 {
		t.Errorf("%d queues are left at Shutdown", watch.atShutdown)
	}
}

// NeedsQuiet leaves a test out of race runs.
func NeedsQuiet(t *testing.T) {
	t.Helper()
	if RaceDetector {
		t.Skip("left out: rocketmq-client-go races with itself; run without -race")
	}
}
