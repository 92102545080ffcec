package main

import (
	"context"
	"strconv"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/message"
)

func main() { sample.Main(run) }

const topic = "parcels"

func run(ctx context.Context, client *rocketkit.Client, say sample.Say) error {
	producer, err := client.NewProducer("parcels_producer_group")
	if err != nil {
		return err
	}
	for _, p := range []struct {
		name, tag, region string
		weight            int
	}{
		{"letter", "standard", "eu", 1},
		{"vase", "fragile", "eu", 12},
		{"passport", "express", "us", 1},
		{"piano", "standard", "eu", 300},
		{"anvil", "standard", "us", 90},
	} {
		m := message.New(topic, []byte(p.name), message.Tag(p.tag), message.Property("region", p.region), message.Property("weight", strconv.Itoa(p.weight)))
		if _, err := producer.Send(ctx, m); err != nil {
			return err
		}
		say("sent: %s, %s, %d kg, to %s", p.name, p.tag, p.weight, p.region)
	}

	// A group has one subscription for a topic, so these are two groups.
	received := make(chan string, 100)
	for group, filter := range map[string]consumer.HandlerOption{
		"careful_group": consumer.Tags("express || fragile"),
		"heavy_group":   consumer.SQL("weight > 10 AND region = 'eu'"),
	} {
		mux := consumer.NewMux(group, consumer.From(consumer.First))
		consumer.Handle(mux, topic, func(_ context.Context, parcel string) error {
			say("%s: %s", group, parcel)
			received <- parcel
			return nil
		}, filter)
		c, err := client.NewConsumer(mux)
		if err != nil {
			return err
		}
		if err := c.Start(ctx); err != nil {
			return err
		}
	}
	return sample.Wait(ctx, received, 4)
}
