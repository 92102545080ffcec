package main

import (
	"context"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/admin"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/message"
)

func main() { sample.Main(run) }

const (
	topic = "TopicTest1"
	key   = "key113"
	count = 100
)

func run(ctx context.Context, client *rocketkit.Client, say sample.Say) error {
	producer, err := client.NewProducer("query_producer_group")
	if err != nil {
		return err
	}
	begun := time.Now()
	var sent message.SendResult
	for range count {
		sent, err = producer.Send(ctx, message.New(topic, []byte("Hello world"), message.Tag("TagA"), message.Key(key)))
		if err != nil {
			return err
		}
		say("%v", sent)
	}

	cluster, err := client.Admin()
	if err != nil {
		return err
	}
	// Brokers index messages a little after they have stored them. The span is one of their
	// clocks, so it begins a minute early.
	lately := admin.Between{From: begun.Add(-time.Minute)}
	last, err := await(ctx, func() ([]*message.Delivery, error) { return cluster.MessagesByID(ctx, topic, sent.MessageID, lately) })
	if err != nil {
		return err
	}
	say("by id: %v", last[0])
	found, err := cluster.MessagesByKey(ctx, topic, key, lately, 10)
	if err != nil {
		return err
	}
	for _, d := range found {
		say("by key: %v", d)
	}
	if len(found) != 10 {
		return fmt.Errorf("the key %s finds %d messages, want the 10 that were asked for", key, len(found))
	}
	return nil
}

// await asks until something is found.
func await(ctx context.Context, find func() ([]*message.Delivery, error)) ([]*message.Delivery, error) {
	for {
		if found, err := find(); err != nil || len(found) > 0 {
			return found, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
