// Command payments is a small payment service over HTTP: payments are sent,
// consumed, retried and dead-lettered, and orders that nobody pays are closed.
//
//	go run ./examples/payments                       RocketMQ runs in the process
//	go run ./examples/payments --order-timeout 5s    watch an order time out
//	NAMESRV_ADDR=127.0.0.1:9876 go run ./examples/payments
//
// # What it serves
//
//	POST     /api/orders         makes an order: {"id":"…"}
//	GET      /api/orders/{id}    its status: unpaid, paid or closed
//	any      /api/pay/pay_cb     sends a payment and answers where it is stored
//	any      /api/pay/async      sends it without waiting; the callback logs
//	any      /api/pay/oneway     sends it without an answer from the server
//	any      /api/pay/delay      sends it to be consumed 5 s later
//	GET      /api/pay/dead       payments that failed for the last time
//	GET      /livez, /readyz     how it is, for probes; with ?format=text for people
//
// Payments take text, a tag (tag1 by default) and, all but delay, the id of the
// order that they pay, from the query or a form. A payment with text=fail fails
// when it is consumed, is retried --retries times and then is dead.
//
// # Two services
//
// --service says which of the two services a process runs: pay or order-timeout,
// or all of both. Run apart they need one RocketMQ (--name-servers) and, since
// payments change orders, one database (--db):
//
//	go run ./examples/payments --service order-timeout
//	go run ./examples/payments --service pay --addr 127.0.0.1:8081 --name-servers <what the first one printed>
//
// # What it keeps
//
// Orders and dead payments are in an SQLite file, payments-data/payments.db in
// the working directory unless --db says otherwise. RocketMQ in the process keeps
// its messages beside it, in payments-data/broker-lite, so that orders still time
// out after a restart.
//
// # Where to look
//
// pay.go sends and consumes payments, timeout.go times orders out, dead.go keeps the dead
// ones, and the lines //rocketmq: above their handlers say of what. payments.yaml has the
// configuration, settings.go its own section and the flags over it; wire.go says what the
// service is made of, app.go in which order that starts and ends. After a change of wire.go
// or a handler run go generate.
package main
