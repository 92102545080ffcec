package main

import (
	"context"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// native is rocketkit's own client, through its public API.
type native struct {
	client   *rocketkit.Client
	producer *producer.Producer
}

func newNative(ctx context.Context, nameServer string) (*native, error) {
	c, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{nameServer}})
	if err != nil {
		return nil, err
	}
	p, err := c.NewProducer("bench_producer")
	if err != nil {
		return nil, err
	}
	return &native{client: c, producer: p}, nil
}

func (n *native) Sync(ctx context.Context, topic string, body []byte) error {
	_, err := n.producer.Send(ctx, message.New(topic, body))
	return err
}

func (n *native) Async(ctx context.Context, topic string, body []byte, done func(error)) {
	n.producer.SendAsync(ctx, message.New(topic, body), func(_ context.Context, _ message.SendResult, err error) { done(err) })
}

func (n *native) Oneway(ctx context.Context, topic string, body []byte) error {
	return n.producer.SendOneway(ctx, message.New(topic, body))
}

func (n *native) Batch(ctx context.Context, topic string, body []byte, size int) error {
	ms := make([]*message.Message, size)
	for i := range ms {
		ms[i] = message.New(topic, body)
	}
	_, err := n.producer.SendBatch(ctx, ms)
	return err
}

func (n *native) Consume(ctx context.Context, group, topic string, handle func(string)) error {
	mux := consumer.NewMux(group, consumer.From(consumer.First))
	consumer.Handle(mux, topic, func(_ context.Context, text string) error {
		handle(text)
		return nil
	}, consumer.Concurrency(consumeConcurrency))
	c, err := n.client.NewConsumer(mux)
	if err != nil {
		return err
	}
	return c.Start(ctx)
}

func (n *native) Close(ctx context.Context) error { return n.client.Drain(ctx) }
