package admin_test

import (
	"context"
	"fmt"
	"log"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/admin"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/message"
)

// A topic is made, described and taken away queues that nobody needs.
func ExampleClient_CreateTopic() {
	ctx := context.Background()
	broker, err := brokerlite.Start(ctx, brokerlite.InMemory()) // any RocketMQ server will do
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close(ctx)
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{broker.NameServer()}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	a, err := client.Admin()
	if err != nil {
		log.Fatal(err)
	}
	if err := a.CreateTopic(ctx, admin.Topic{Name: "orders", ReadQueues: 4, WriteQueues: 4}); err != nil {
		log.Fatal(err)
	}
	producer, err := client.NewProducer("order_service")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := producer.Send(ctx, message.New("orders", []byte("1"))); err != nil {
		log.Fatal(err)
	}
	state, err := a.DescribeTopic(ctx, "orders")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(state.Queues), "queues,", state.Messages(), "message")
	// Output: 4 queues, 1 message
}

// Fewer queues, without losing a message. It takes the time that producers need to
// notice, and consumers to get done.
func ExampleClient_ShrinkTopic() {
	shrink := func(ctx context.Context, a *admin.Client) error {
		return a.ShrinkTopic(ctx, "orders", 4, admin.Shrink{
			Waiting: func(left []admin.QueueLag) { log.Printf("%d queues are not drained", len(left)) },
		})
	}
	_ = shrink
}

// Where a group is, and back to what was stored an hour ago.
func ExampleClient_SeekTime() {
	ctx := context.Background()
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
	a, err := client.Admin()
	if err != nil {
		log.Fatal(err)
	}
	if err := a.CreateTopic(ctx, admin.Topic{Name: "orders", ReadQueues: 1, WriteQueues: 1}); err != nil {
		log.Fatal(err)
	}
	producer, err := client.NewProducer("order_service")
	if err != nil {
		log.Fatal(err)
	}
	sent, err := producer.Send(ctx, message.New("orders", []byte("1")))
	if err != nil {
		log.Fatal(err)
	}
	if err := a.CreateGroup(ctx, admin.DefaultGroup("billing")); err != nil {
		log.Fatal(err)
	}
	if err := a.CommitOffset(ctx, "billing", sent.Queue, sent.QueueOffset+1); err != nil {
		log.Fatal(err)
	}
	before, err := a.Lag(ctx, "billing")
	if err != nil {
		log.Fatal(err)
	}
	stored, err := a.MessageByOffsetID(ctx, "orders", sent.OffsetMessageID)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := a.SeekTime(ctx, "billing", "orders", stored.Stored()); err != nil {
		log.Fatal(err)
	}
	after, err := a.Lag(ctx, "billing")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("lag", before.Lag(), "then", after.Lag())
	// Output: lag 0 then 1
}
