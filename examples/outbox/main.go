package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/outbox"
)

func main() { sample.Main(run) }

var errNoCredit = errors.New("the customer has no credit")

func run(ctx context.Context, client *rocketkit.Client, say sample.Say) (err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1) // each connection would have a memory of its own
	box, err := outbox.New(outbox.SQLite)
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE orders (id TEXT PRIMARY KEY)"); err != nil {
		return err
	}
	if err := box.CreateTable(ctx, db); err != nil {
		return err
	}

	shipped := make(chan string, 10)
	mux := consumer.NewMux("shipping_group", consumer.From(consumer.First))
	consumer.Handle(mux, "orders_paid", func(_ context.Context, order string) error {
		say("shipping: %s", order)
		shipped <- order
		return nil
	}, consumer.Deduplicate(dedup.NewMemory())) // in production: dedup/sql or dedup/redis
	shipping, err := client.NewConsumer(mux)
	if err != nil {
		return err
	}
	if err := shipping.Start(ctx); err != nil {
		return err
	}

	pay := func(order string, then error) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES (?)", order)
		err = errors.Join(err, box.Add(ctx, tx, message.New("orders_paid", []byte(order), message.Key(order), message.ShardingKey(order))), then)
		if err != nil {
			say("%s is rolled back: %v", order, err)
			return tx.Rollback()
		}
		say("%s is committed", order)
		return tx.Commit()
	}
	if err := errors.Join(pay("order-1", nil), pay("order-2", errNoCredit), pay("order-3", nil)); err != nil {
		return err
	}
	say("the relay starts")
	producer, err := client.NewProducer("orders_group")
	if err != nil {
		return err
	}
	relay, err := box.NewRelay(db, producer, outbox.Poll(200*time.Millisecond), outbox.Logger(sample.Log()))
	if err != nil {
		return err
	}
	if err := relay.Start(ctx); err != nil { // rocketkit.Run(ctx, client, producer, relay) does it all
		return err
	}
	defer func() { err = errors.Join(err, relay.Drain(context.Background())) }()
	if err := pay("order-4", nil); err != nil {
		return err
	}
	relay.Notify() // it need not wait for the next poll
	return sample.Wait(ctx, shipped, 3)
}
