package brokerlite_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// A server inside a program or a test: free ports, nothing on the disk.
func ExampleStart() {
	ctx := context.Background()
	server := must(brokerlite.Start(ctx, brokerlite.InMemory()))
	defer server.Close(ctx)
	client := must(rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{server.NameServer()}}))
	defer client.Close()

	sent := must(must(client.NewProducer("pay_group")).Send(ctx, message.New("orders", []byte("paid"))))
	fmt.Println(sent.Status)
	// Output: SEND_OK
}

// The server says twice that it is overloaded; the producer tries again.
func ExampleBroker_Fault() {
	ctx := context.Background()
	server := must(brokerlite.Start(ctx, brokerlite.InMemory()))
	defer server.Close(ctx)
	client := must(rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{server.NameServer()}}))
	defer client.Close()

	const sendMessage, systemBusy = 310, 2
	stop := server.Fault(brokerlite.Match{Code: sendMessage}, brokerlite.Answer(systemBusy, "busy").Times(2))
	defer stop()
	p := must(client.NewProducer("pay_group", producer.Retries(2)))
	sent, err := p.Send(ctx, message.New("orders", []byte("paid")))
	fmt.Println(sent.Status, err)
	// Output: SEND_OK <nil>
}

// Half an hour passes when the test says so.
func ExampleWithClock() {
	ctx := context.Background()
	clock := brokerlite.NewManualClock(time.Now())
	server := must(brokerlite.Start(ctx, brokerlite.InMemory(), brokerlite.WithClock(clock)))
	defer server.Close(ctx)
	client := must(rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{server.NameServer()}}))
	defer client.Close()

	due := make(chan string, 1)
	mux := consumer.NewMux("order_group", consumer.From(consumer.First))
	consumer.Handle(mux, "order_timeout", func(_ context.Context, order string) error {
		due <- order
		return nil
	})
	if err := must(client.NewConsumer(mux)).Start(ctx); err != nil {
		fmt.Println(err)
	}
	must(must(client.NewProducer("pay_group")).Send(ctx, message.New("order_timeout", []byte("1234"), delay.Level(16))))

	clock.Advance(30 * time.Minute)
	fmt.Println("closed:", <-due)
	// Output: closed: 1234
}

// A server's own HTTP server may show the broker's metrics and health.
func ExampleBroker_HTTPHandler() {
	ctx := context.Background()
	server := must(brokerlite.Start(ctx, brokerlite.InMemory(), brokerlite.Conf("autoCreateTopicEnable=false")))
	defer server.Close(ctx)

	answer := httptest.NewRecorder()
	server.HTTPHandler().ServeHTTP(answer, httptest.NewRequest("GET", "/readyz", nil))
	fmt.Print(answer.Code, " ", answer.Body)
	// Output: 200 ready
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
