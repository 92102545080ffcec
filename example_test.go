package rocketkit_test

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

type Payment struct {
	Order  string `json:"order"`
	Amount int64  `json:"amount"`
}

// The whole of a small service. rocketkit.Run returns after an interrupt, when
// everything has been drained.
func ExampleRun() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := consumer.NewMux("pay_consumer_group")
	consumer.Handle(mux, "payments", func(ctx context.Context, p Payment) error {
		fmt.Println("paid", p.Order)
		return nil
	})
	c, err := client.NewConsumer(mux)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := rocketkit.Run(ctx, client, c); err != nil {
		fmt.Println(err)
	}
}

func ExampleOpen() {
	ctx := context.Background()
	client, err := rocketkit.Open(ctx, rocketkit.Config{}) // name servers from NAMESRV_ADDR
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
}

// Topics and groups of a namespace: the topic is "shop%orders" at the brokers, and "orders"
// in the program.
func ExampleOpen_namespace() {
	client, err := rocketkit.Open(context.Background(), rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}, Namespace: "shop"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(message.WithNamespace(client.Namespace(), "orders"))
	// Output: shop%orders
}

func ExampleClient_NewProducer() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	producer, err := client.NewProducer("pay_group")
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := producer.Send(ctx, message.New("pay_test_topic", []byte("Hello rocketmq"), message.Tag("tag1"), message.Key("1234")))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Status, res.MessageID)
}

func ExampleClient_NewConsumer() {
	ctx := context.Background()
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close() // drains the consumer too

	mux := consumer.NewMux("pay_consumer_group")
	consumer.Handle(mux, "pay_test_topic", func(_ context.Context, body string) error {
		fmt.Println(body)
		return nil
	}, consumer.Tags("tag1"))
	c, err := client.NewConsumer(mux)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := c.Start(ctx); err != nil {
		fmt.Println(err)
	}
}
