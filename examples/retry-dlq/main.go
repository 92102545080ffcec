package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/dlq"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

func main() { sample.Main(run) }

const group = "payments_group"

func run(ctx context.Context, client *rocketkit.Client, say sample.Say) error {
	var mended atomic.Bool
	paid, dead := make(chan string, 100), make(chan string, 100)

	// Three retries: about one second after the first failure, then two, then four.
	backoff := retry.Exponential(3, retry.Backoff{Base: time.Second, Max: time.Minute})
	mux := consumer.NewMux(group, consumer.From(consumer.First), consumer.Retry(backoff))
	consumer.Handle(mux, "payments_to_retry", func(ctx context.Context, payment string) error {
		attempt := message.DeliveryFrom(ctx).ReconsumeTimes + 1
		switch {
		case payment == "slow bank" && attempt < 3:
			say("%s: attempt %d fails, to be tried again", payment, attempt)
			return errors.New("the bank does not answer")
		case payment == "unknown currency" && !mended.Load():
			say("%s: attempt %d fails, and trying again is of no use", payment, attempt)
			return retry.Permanent(errors.New("no rate for XBT"))
		}
		say("%s: paid by attempt %d", payment, attempt)
		paid <- payment
		return nil
	})
	consumer.HandleDLQ(mux, func(_ context.Context, d *message.Delivery) error {
		say("dead letter: %s", d.Body)
		dead <- string(d.Body)
		return nil
	})
	c, err := client.NewConsumer(mux)
	if err != nil {
		return err
	}
	producer, err := client.NewProducer("payments_producer_group")
	if err != nil {
		return err
	}
	for _, payment := range []string{"good", "slow bank", "unknown currency"} {
		if _, err := producer.Send(ctx, message.New("payments_to_retry", []byte(payment), message.Tag("pay"))); err != nil {
			return err
		}
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	if err := errors.Join(sample.Wait(ctx, paid, 2), sample.Wait(ctx, dead, 1)); err != nil {
		return err
	}

	say("mended: the rates are there; the dead letters go back to %s", group)
	mended.Store(true)
	report, err := dlq.Redrive(ctx, client, group)
	if err != nil {
		return fmt.Errorf("redrive: %w", err)
	}
	if err := sample.Wait(ctx, paid, int(report.Sent)); err != nil {
		return err
	}
	say("%d of %d dead letters were sent back", report.Sent, report.Total)
	return nil
}
