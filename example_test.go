package rocketkit_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/health"
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

// A service that ends within 5 s of Ctrl-C, whatever hangs: its requests first, for at most
// a second, then its consumers and producers.
func ExampleWithin() {
	ctx := context.Background()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/readyz", health.New(client).Ready())
	server := rocketkit.HTTP(l, &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second})
	ctx, end := context.WithCancel(ctx)
	welcome := rocketkit.OnStart(func(context.Context) error {
		fmt.Println("everything has started")
		end() // in place of Ctrl-C
		return nil
	})
	if err := rocketkit.RunUntilSignal(ctx, rocketkit.Within(3*time.Second, client, rocketkit.Within(time.Second, server), welcome)); err != nil {
		fmt.Println(err)
	}
	// Output: everything has started
}

func ExampleHTTP() {
	l, err := net.Listen("tcp", "127.0.0.1:0") // before anything is started: a port that is taken ends it here
	if err != nil {
		fmt.Println(err)
		return
	}
	server := rocketkit.HTTP(l, &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: 10 * time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // in place of a signal
	fmt.Println(rocketkit.Run(ctx, server))
	// Output: <nil>
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
