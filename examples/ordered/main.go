package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/message"
)

func main() { sample.Main(run) }

func run(ctx context.Context, client *rocketkit.Client, say sample.Say) error {
	orders, states := []string{"A", "B", "C"}, []string{"created", "paid", "shipped", "delivered"}
	producer, err := client.NewProducer("order_states_producer_group")
	if err != nil {
		return err
	}
	for _, state := range states {
		for _, order := range orders {
			// Messages with one sharding key go to one queue, and a queue keeps their order.
			m := message.New("order_states", []byte(state), message.Key(order), message.ShardingKey(order))
			if _, err := producer.Send(ctx, m); err != nil {
				return err
			}
		}
	}
	say("sent: %d states of each of %d orders", len(states), len(orders))

	// OrderedBy handles one message of a key at a time; Ordered would be one of a queue.
	mux := consumer.NewMux("order_states_group", consumer.OrderedBy((*message.Delivery).ShardingKey),
		consumer.From(consumer.First), consumer.Suspend(time.Second))
	handled := make(chan string, 100)
	var failed atomic.Bool
	consumer.Handle(mux, "order_states", func(ctx context.Context, state string) error {
		order := message.DeliveryFrom(ctx).ShardingKey()
		if order == "B" && state == "paid" && !failed.Swap(true) {
			say("order B: the bank does not answer; tried again in a second, before anything else of B")
			return errors.New("the bank does not answer")
		}
		say("order %s: %s", order, state)
		handled <- state
		return nil
	})
	c, err := client.NewConsumer(mux)
	if err != nil {
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	return sample.Wait(ctx, handled, len(orders)*len(states))
}
