package producer_test

import (
	"context"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// A request waits for the reply of one of the group's handlers, both as values.
func ExampleRequestFor() {
	type quote struct{ Pair string }
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := brokerlite.Start(ctx, brokerlite.InMemory())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close(ctx)
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: server.NameServers()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	p, err := client.NewProducer("quotes")
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := consumer.NewMux("pricing", consumer.From(consumer.First))
	consumer.Handle(mux, "quotes", func(ctx context.Context, q quote) error {
		_, err := p.Reply(ctx, message.DeliveryFrom(ctx), []byte(`{"`+q.Pair+`": 1.08}`))
		return err
	})
	pricing, err := client.NewConsumer(mux)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := pricing.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}

	quotes, err := producer.NewPublisher[quote](p, "quotes")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, done := context.WithTimeout(ctx, 10*time.Second) // producer.ErrNoReply when nobody answers by then
	defer done()
	prices, err := producer.RequestFor[map[string]float64](ctx, quotes, quote{Pair: "EURUSD"})
	fmt.Println(prices, err)
	// Output: map[EURUSD:1.08] <nil>
}
