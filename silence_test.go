package rocketkit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// However many members wait for a broker that does not answer, a drain is over soon
// after its time: they are cut off together.
func TestADrainIsOverSoonAfterItsTimeThoughTheBrokerIsSilent(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		c, err := rocketkit.Open(t.Context(), rocketkit.Config{NameServers: []string{s.NameServer()}}, rocketkit.WithDial(s.Dial))
		if err != nil {
			t.Fatal(err)
		}
		received := make(chan struct{}, 10)
		for _, group := range []string{"a", "b", "c"} {
			mux := consumer.NewMux(group, consumer.From(consumer.First))
			consumer.Handle(mux, "orders", func(context.Context, string) error { received <- struct{}{}; return nil })
			cons, err := c.NewConsumer(mux)
			if err != nil {
				t.Fatal(err)
			}
			if err := cons.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		outcomes := make(chan error, 3)
		var ps []*producer.Producer
		for _, group := range []string{"d", "e", "f"} {
			ps = append(ps, newProducer(t, c, group, producer.SendTimeout(time.Minute)))
		}
		if _, err := ps[0].Send(t.Context(), message.New("orders", []byte("x"))); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			<-received
		}
		s.Intercept(func(q brokerlite.Request) (brokerlite.Reaction, bool) { return brokerlite.DropRequest(), !q.NameServer })
		for _, p := range ps {
			p.SendAsync(t.Context(), message.New("orders", []byte("y")), func(_ context.Context, _ message.SendResult, err error) { outcomes <- err })
		}
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err = c.Drain(ctx)
		if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took > 4*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		for range ps {
			if err := <-outcomes; !errors.Is(err, message.ErrOutcomeUnknown) {
				t.Errorf("outcome %v", err)
			}
		}
	})
}
