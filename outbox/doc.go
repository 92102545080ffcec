// Package outbox sends messages if, and only if, a database transaction commits: they are
// written to a table in the application's own transaction, and a Relay sends what has
// been committed.
//
//	box, err := outbox.New(outbox.PostgreSQL)
//	err = box.CreateTable(ctx, db)               // or box.Schema() in your migrations
//
//	tx, err := db.BeginTx(ctx, nil)              // the order and its message, or neither
//	_, err = tx.ExecContext(ctx, "INSERT INTO orders …")
//	err = box.Add(ctx, tx, message.New("orders", body, message.ShardingKey(order.ID)))
//	err = tx.Commit()
//
//	relay, err := box.NewRelay(db, producer, outbox.Logger(slog.Default()))
//	err = rocketkit.Run(ctx, client, producer, relay)
//
// The relay looks once a second; after a commit in its own process, Relay.Notify has it
// look at once.
//
// It runs over database/sql with any driver for SQLite, PostgreSQL or MySQL. Half
// messages (package txn) do the same without a table, as long as the broker can be
// reached when the transaction commits.
//
// # What it guarantees
//
// Every message that was committed is sent at least once. It is sent again when the
// relay's process ends after a send and before that was noted, and when nobody knows
// whether a send arrived; each time with the same dedup.IDProperty, by which
// consumer.Deduplicate passes over it.
//
// Messages of a topic with the same sharding key are sent in the order in which they were
// added, one after the other: one that fails holds up those behind it. Of transactions
// that run at the same time nobody knows which comes first, unless the application makes
// one wait for the other, as it does by changing the same row before Add. Other messages
// are sent in no particular order.
//
// One relay of a table works at a time, the others stand by: it holds a lease, a row of
// its own table. A relay that drains hands it over at once; after one that vanished
// another begins when it has seen no sign of life for the time of the lease.
//
// # What fails
//
// A send that fails is made again after a growing delay, as often as it takes unless
// MaxAttempts says otherwise. A message that can never be sent, because it is refused as
// it is, is parked with its error; those behind it go on. Outbox.Parked shows what is
// parked, Outbox.Unpark has it sent again.
//
// Tests run on SQLite and, in CI, on PostgreSQL 17.2 and, for the dialect MySQL, on MariaDB
// 11.4.5. MySQL's own server was not tried.
package outbox
