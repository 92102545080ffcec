// Package rocketkit is a client of Apache RocketMQ with a framework on top:
// typed handlers, retries, transactions, delays and tracing, over a wire client
// of its own. broker-lite, a RocketMQ server in the same module, serves tests
// and laptops.
//
//	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}}, rocketkit.WithLogger(slog.Default()))
//	producer, err := client.NewProducer("pay_group")
//	res, err := producer.Send(ctx, message.New("orders", body))
//
//	mux := consumer.NewMux("pay_consumer_group")
//	consumer.Handle(mux, "orders", onOrder)
//	c, err := client.NewConsumer(mux)
//	err = rocketkit.Run(ctx, producer, c) // until ctx ends, then drains
//
// A Client is one driver and what was made with it. Packages producer, consumer,
// message, delay, retry and txn hold what it works with.
package rocketkit
