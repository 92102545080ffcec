package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

func main() { sample.Main(run) }

func run(ctx context.Context, client *rocketkit.Client, say sample.Say) error {
	p, err := client.NewProducer("prices_producer_group")
	if err != nil {
		return err
	}
	prices := map[string]string{"apple": "0.40", "pear": "0.55"}
	mux := consumer.NewMux("prices_group", consumer.From(consumer.First))
	consumer.Handle(mux, "price_questions", func(ctx context.Context, article string) error {
		price, known := prices[article]
		if !known {
			say("the shop does not know %s, and does not answer", article)
			return nil
		}
		say("the shop is asked for the price of %s", article)
		_, err := p.Reply(ctx, message.DeliveryFrom(ctx), []byte(price))
		return err
	})
	c, err := client.NewConsumer(mux)
	if err != nil {
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}

	ask := func(article string) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		answer, err := p.Request(ctx, message.New("price_questions", []byte(article)))
		if err != nil {
			return err
		}
		say("answer: %s costs %s", article, answer.Body)
		return nil
	}
	if err := errors.Join(ask("apple"), ask("pear")); err != nil {
		return err
	}
	if err := ask("unicorn"); !errors.Is(err, producer.ErrNoReply) {
		return fmt.Errorf("the price of a unicorn: %w", err)
	}
	say("no answer for unicorn within 5 seconds; the message was stored all the same")
	return nil
}
