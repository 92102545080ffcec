package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/outbox"
)

// printing stands for a *producer.Producer.
type printing struct{ printed chan struct{} }

func (p printing) Send(_ context.Context, m *message.Message) (message.SendResult, error) {
	fmt.Printf("sent: %s\n", m.Body)
	close(p.printed)
	return message.SendResult{}, nil
}

func Example() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		panic(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection would have a memory of its own
	box, err := outbox.New(outbox.SQLite)
	if err != nil {
		panic(err)
	}
	if err := box.CreateTable(ctx, db); err != nil {
		panic(err)
	}

	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		panic(err)
	}
	// What the application changes goes into the same transaction.
	if err := box.Add(ctx, tx, message.New("orders", []byte("order 17 is paid"), message.ShardingKey("17"))); err != nil {
		panic(err)
	}
	if err := tx.Commit(); err != nil {
		panic(err)
	}

	to := printing{make(chan struct{})}
	relay, err := box.NewRelay(db, to, outbox.Poll(100*time.Millisecond))
	if err != nil {
		panic(err)
	}
	if err := relay.Start(ctx); err != nil { // rocketkit.Run does both
		panic(err)
	}
	<-to.printed
	fmt.Println(relay.Drain(ctx))
	// Output:
	// sent: order 17 is paid
	// <nil>
}
