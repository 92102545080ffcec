package consumer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// What is registered when the consumer has been made would get nothing, and nobody would
// know: the start says so.
func TestWhatIsRegisteredTooLateKeepsTheConsumerFromStarting(t *testing.T) {
	t.Parallel()
	onText := func(context.Context, string) error { return nil }
	m := consumer.NewMux("pay")
	consumer.Handle(m, "orders", onText)
	c, err := consumer.New(newScripted(), m)
	if err != nil {
		t.Fatal(err)
	}
	consumer.Handle(m, "refunds", onText)
	consumer.HandleDLQ(m, func(context.Context, *message.Delivery) error { return nil })
	m.Use(func(next consumer.Handler) consumer.Handler { return next })
	m.Add(nil)
	err = c.Start(t.Context())
	const want = `start consumer group "pay": 4 registration mistakes:
  - a handler of topic "refunds" was registered when the consumer had been made, so that it would get nothing; register it before
  - a handler of dead letters was registered when the consumer had been made, so that it would get nothing; register it before
  - middleware was given to Mux.Use when the consumer had been made, so that it would see nothing; give it before
  - Mux.Add was given a nil listener; remove it`
	if !errors.Is(err, consumer.ErrRegistration) || err.Error() != want {
		t.Errorf("started with %v", err)
	}
	if again := c.Start(t.Context()); again == nil || again.Error() != want {
		t.Errorf("a second start: %v", again)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
