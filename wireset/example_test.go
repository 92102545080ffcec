package wireset_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/wireset"
)

// What wire writes for an injector with Set: the same can be written by hand.
func Example() {
	cfg := rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}, Producer: config.Producer{Group: "pay_group"}}
	client, end, err := wireset.NewClient(context.Background(), cfg, slog.Default())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()
	producer, err := wireset.NewProducer(client)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := consumer.NewMux("pay_consumer_group")
	mux.Add(consumer.Listener[string]{Topic: "payments", Handle: func(context.Context, string) error { return nil }})
	consumers, err := wireset.NewConsumers(client, []*consumer.Mux{mux})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(producer.Group(), len(consumers)) // and rocketkit.RunUntilSignal(ctx, client, consumers)
	// Output: pay_group 1
}
