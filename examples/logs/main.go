package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/message"
)

func main() { sample.Main(run) }

const (
	topic = "logs"
	count = 1000
	// quiet is how long nothing has to come for the rest to be lost.
	quiet = 5 * time.Second
)

func run(ctx context.Context, client *rocketkit.Client, say sample.Say) error {
	levels := make(chan string, count)
	mux := consumer.NewMux("logs_group", consumer.From(consumer.First))
	consumer.Handle(mux, topic, func(ctx context.Context, _ string) error {
		levels <- message.DeliveryFrom(ctx).Tag
		return nil
	})
	c, err := client.NewConsumer(mux)
	if err != nil {
		return err
	}
	producer, err := client.NewProducer("logs_producer_group")
	if err != nil {
		return err
	}
	begun := time.Now()
	for i := range count {
		level := "INFO"
		if i%10 == 0 {
			level = "ERROR"
		}
		if err := producer.SendOneway(ctx, message.New(topic, fmt.Appendf(nil, "line %d", i), message.Tag(level))); err != nil {
			return err // it could not be written; what becomes of it at the broker is not known
		}
	}
	say("sent %d lines in %v", count, time.Since(begun).Round(time.Millisecond))

	if err := c.Start(ctx); err != nil {
		return err
	}
	received := map[string]int{}
	for received["INFO"]+received["ERROR"] < count {
		select {
		case level := <-levels:
			received[level]++
		case <-time.After(quiet):
			say("the rest got lost, as oneway messages may")
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, level := range slices.Sorted(maps.Keys(received)) {
		say("received %d lines of %s", received[level], level)
	}
	return nil
}
