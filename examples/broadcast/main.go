package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/message"
)

func main() { sample.Members(2, run) }

func run(ctx context.Context, clients []*rocketkit.Client, say sample.Say) (err error) {
	dir, err := os.MkdirTemp("", "broadcast")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	producer, err := clients[0].NewProducer("settings_producer_group")
	if err != nil {
		return err
	}
	change := func(to string) error {
		say("sent: %s", to)
		_, err := producer.Send(ctx, message.New("settings", []byte(to)))
		return err
	}
	begun := time.Now() // what was changed before does not matter to a server that starts
	heard := make(chan string, 100)
	var members []*consumer.Consumer
	for i, client := range clients { // in production each is a process
		server := fmt.Sprintf("server-%d", i+1)
		mux := consumer.NewMux("settings_group", consumer.Broadcast(), consumer.Instance(server), consumer.OffsetDir(dir), consumer.FromTime(begun))
		consumer.Handle(mux, "settings", func(_ context.Context, change string) error {
			say("%s: %s", server, change)
			heard <- change
			return nil
		})
		c, err := client.NewConsumer(mux)
		if err != nil {
			return err
		}
		if err := c.Start(ctx); err != nil {
			return err
		}
		members = append(members, c)
	}
	if err := errors.Join(change("log-level=debug"), change("rate-limit=100")); err != nil {
		return err
	}
	err = sample.Wait(ctx, heard, 4)
	for _, c := range members { // before the directory goes: a member writes its offsets at the end
		err = errors.Join(err, c.Drain(context.Background()))
	}
	return err
}
