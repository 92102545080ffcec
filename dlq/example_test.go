package dlq_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/dlq"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// A handler with a mistake gives a payment up. When the mistake is mended, the dead
// letter is sent back.
func ExampleRedrive() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	broker, err := brokerlite.Start(ctx, brokerlite.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close(ctx)
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{broker.NameServer()}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	var mended atomic.Bool
	paid := make(chan string, 1)
	mux := consumer.NewMux("billing", consumer.From(consumer.First))
	consumer.Handle(mux, "payments", func(_ context.Context, body string) error {
		if !mended.Load() {
			return retry.Permanent(errors.New("no such account"))
		}
		paid <- body
		return nil
	})
	c, err := client.NewConsumer(mux)
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Start(ctx); err != nil {
		log.Fatal(err)
	}
	producer, err := client.NewProducer("order_service")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := producer.Send(ctx, message.New("payments", []byte("12.50 EUR"))); err != nil {
		log.Fatal(err)
	}
	for { // until it is dead
		counts, err := dlq.List(ctx, client)
		if err != nil {
			log.Fatal(err)
		}
		if len(counts) > 0 {
			fmt.Println(counts[0].Group, "has", counts[0].Left, "dead letter")
			break
		}
	}
	for letter, err := range dlq.Inspect(ctx, client, "billing") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s of topic %s: %v\n", letter.Body, letter.OriginTopic(), letter.Reason)
	}
	mended.Store(true)
	report, err := dlq.Redrive(ctx, client, "billing", dlq.Rate(100))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sent back:", report.Sent)
	fmt.Println("paid:", <-paid)
	// Output:
	// billing has 1 dead letter
	// 12.50 EUR of topic payments: given up by the consumer
	// sent back: 1
	// paid: 12.50 EUR
}
