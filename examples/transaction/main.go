package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/txn"
)

func main() { sample.Main(run, sample.Server(brokerlite.TransactionChecks(time.Second, time.Second))) }

var errCrash = errors.New("the process crashed")

func run(ctx context.Context, client *rocketkit.Client, say sample.Say) error {
	var database sync.Map // the orders' table: what is in it has been committed
	decided := make(chan string, 100)

	// RocketMQ asks about a transaction that it has not heard the end of, perhaps another process.
	placed := txn.NewKind("order-placed", "orders_placed", func(_ context.Context, d *message.Delivery) error {
		order := d.Keys()[0]
		if _, found := database.Load(order); !found {
			say("RocketMQ asks about %s: it is not in the database, roll back", order)
			decided <- order
			return txn.Abort(nil)
		}
		say("RocketMQ asks about %s: it is in the database, commit", order)
		return nil
	})
	producer, err := client.NewProducer("orders_placed_producer_group", txn.Kinds(placed))
	if err != nil {
		return err
	}

	mux := consumer.NewMux("stock_group", consumer.From(consumer.First))
	consumer.Handle(mux, "orders_placed", func(_ context.Context, order string) error {
		say("stock: one article less, for %s", order)
		decided <- order
		return nil
	})
	stock, err := client.NewConsumer(mux)
	if err != nil {
		return err
	}
	if err := stock.Start(ctx); err != nil {
		return err
	}

	place := func(order string, local func() error) error {
		_, err := placed.Send(ctx, producer, message.New("orders_placed", []byte(order), message.Key(order)),
			func(context.Context, message.SendResult) error { return local() })
		var undone *txn.LocalError
		switch {
		case err == nil:
			say("%s: placed", order)
		case errors.As(err, &undone):
			say("%s: %v", order, err)
		default:
			return err // the message was not sent, and the local transaction has not run
		}
		return nil
	}
	write := func(order string) error { database.Store(order, true); return nil }
	err = errors.Join(
		place("order-1", func() error { return write("order-1") }),
		place("order-2", func() error { return txn.Abort(errors.New("the customer has no credit")) }),
		place("order-3", func() error { return errors.Join(write("order-3"), errCrash) }), // after the commit
		place("order-4", func() error { return errCrash }),                                // before it
	)
	if err != nil {
		return err
	}
	return sample.Wait(ctx, decided, 3)
}
