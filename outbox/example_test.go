package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/internal/testdb"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/outbox"
)

// An order and its message are written in one transaction. What is rolled back is not
// sent.
func ExampleNew() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "outbox")
	check(err)
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", testdb.SQLite(filepath.Join(dir, "shop.db")))
	check(err)
	defer db.Close()
	server, err := brokerlite.Start(ctx, brokerlite.InMemory())
	check(err)
	defer server.Close(ctx)

	box, err := outbox.New(outbox.SQLite)
	check(err)
	check(box.CreateTable(ctx, db)) // in production by the migrations, see Schema
	_, err = db.ExecContext(ctx, "CREATE TABLE orders (id TEXT PRIMARY KEY)")
	check(err)
	place := func(id string, end func(*sql.Tx) error) {
		tx, err := db.BeginTx(ctx, nil)
		check(err)
		_, err = tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES (?)", id)
		check(err)
		check(box.Add(ctx, tx, message.New("orders", []byte(id), message.ShardingKey(id))))
		check(end(tx))
	}
	place("order-1", (*sql.Tx).Rollback)
	place("order-2", (*sql.Tx).Commit)

	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: server.NameServers()})
	check(err)
	defer client.Close()
	producer, err := client.NewProducer("shop")
	check(err)
	relay, err := box.NewRelay(db, producer)
	check(err)
	ctx, done := context.WithCancel(ctx)
	mux := consumer.NewMux("shipping", consumer.From(consumer.First))
	consumer.Handle(mux, "orders", func(_ context.Context, id string) error {
		fmt.Println("shipped:", id)
		done()
		return nil
	})
	shipping, err := client.NewConsumer(mux)
	check(err)
	check(rocketkit.Run(ctx, client, shipping, relay))
	// Output: shipped: order-2
}

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}
