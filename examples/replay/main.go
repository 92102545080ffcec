package main

import (
	"context"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/message"
)

func main() { sample.Main(run) }

const topic, group = "payments_to_replay", "replay_group"

func run(ctx context.Context, client *rocketkit.Client, say sample.Say) error {
	handled := make(chan string, 100)
	mux := consumer.NewMux(group, consumer.From(consumer.First))
	consumer.Handle(mux, topic, func(_ context.Context, payment string) error {
		say("handled: %s", payment)
		handled <- payment
		return nil
	})
	c, err := client.NewConsumer(mux)
	if err != nil {
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	producer, err := client.NewProducer("replay_producer_group")
	if err != nil {
		return err
	}
	var deployed time.Time
	for i := range 10 {
		if i == 6 {
			time.Sleep(2 * time.Second) // a week of good work
			deployed = time.Now()
			say("here a release with a mistake was deployed")
		}
		if _, err := producer.Send(ctx, message.New(topic, fmt.Appendf(nil, "payment-%d", i))); err != nil {
			return err
		}
	}
	if err := sample.Wait(ctx, handled, 10); err != nil {
		return err
	}

	// It is mended. What was handled since the release is to be handled again, by a group
	// that runs; the moment is one of the brokers' clocks. It may take 20 seconds on brokers
	// of 5.x, which move the group when its waiting pulls come back.
	admin, err := client.Admin()
	if err != nil {
		return err
	}
	say("back to the release")
	if _, err := admin.SeekTime(ctx, group, topic, deployed.Add(-500*time.Millisecond)); err != nil {
		return err
	}
	return sample.Wait(ctx, handled, 4)
}
