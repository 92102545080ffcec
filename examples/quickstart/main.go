package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

func main() {
	ctx, done := signal.NotifyContext(context.Background(), os.Interrupt)
	defer done()
	cfg := rocketkit.Config{LogLevel: "warn"} // without name servers it follows NAMESRV_ADDR
	if os.Getenv("NAMESRV_ADDR") == "" {
		server := must(brokerlite.Start(ctx, brokerlite.InMemory()))
		defer func() { check(server.Close(context.Background())) }()
		cfg.NameServers = []string{server.NameServer()}
		fmt.Println("Server:   runs in this process, name server", server.NameServer())
	}
	client := must(rocketkit.Open(ctx, cfg, rocketkit.WithLogger(slog.Default())))
	producer := must(client.NewProducer("quickstart_group"))
	sent := must(producer.Send(ctx, message.New("quickstart", []byte("Hello RocketMQ"), message.Tag("tag1"))))
	fmt.Println("Sent:    ", sent)

	mux := consumer.NewMux("quickstart_consumer_group", consumer.From(consumer.First))
	consumer.Handle(mux, "quickstart", func(ctx context.Context, text string) error {
		d := message.DeliveryFrom(ctx)
		fmt.Printf("Received: %q, tag %s, msgId %s\n", text, d.Tag, d.ID)
		if d.ID == sent.MessageID {
			done() // lets Run finish
		}
		return nil
	})
	check(rocketkit.Run(ctx, client, must(client.NewConsumer(mux)))) // and drain
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
