package main

import (
	"context"
	"fmt"
	"sync/atomic"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

// clientGo is rocketmq-client-go, used as its examples use it.
type clientGo struct {
	names    primitive.NsResolver
	producer rocketmq.Producer
	consumer rocketmq.PushConsumer
}

func newClientGo(nameServer string) (*clientGo, error) {
	rlog.SetLogLevel("error")
	names := primitive.NewPassthroughResolver([]string{nameServer})
	p, err := rocketmq.NewProducer(
		producer.WithNsResolver(names),
		producer.WithGroupName("bench_producer"),
		producer.WithRetry(2),
	)
	if err != nil {
		return nil, err
	}
	if err := p.Start(); err != nil {
		return nil, err
	}
	return &clientGo{names: names, producer: p}, nil
}

func (c *clientGo) Sync(ctx context.Context, topic string, body []byte) error {
	return sent(c.producer.SendSync(ctx, primitive.NewMessage(topic, body)))
}

// sent makes an error of a status that is not OK.
func sent(r *primitive.SendResult, err error) error {
	if err == nil && r.Status != primitive.SendOK {
		return fmt.Errorf("send status %d", r.Status)
	}
	return err
}

// Async calls done once; rocketmq-client-go calls back twice for a send that
// fails, or returns the error.
func (c *clientGo) Async(ctx context.Context, topic string, body []byte, done func(error)) {
	var called atomic.Bool
	once := func(err error) {
		if !called.Swap(true) {
			done(err)
		}
	}
	err := c.producer.SendAsync(ctx, func(_ context.Context, r *primitive.SendResult, err error) {
		once(sent(r, err))
	}, primitive.NewMessage(topic, body))
	if err != nil {
		once(err)
	}
}

func (c *clientGo) Oneway(ctx context.Context, topic string, body []byte) error {
	return c.producer.SendOneWay(ctx, primitive.NewMessage(topic, body))
}

func (c *clientGo) Batch(ctx context.Context, topic string, body []byte, n int) error {
	ms := make([]*primitive.Message, n)
	for i := range ms {
		ms[i] = primitive.NewMessage(topic, body)
	}
	return sent(c.producer.SendSync(ctx, ms...))
}

func (c *clientGo) Consume(_ context.Context, group, topic string, handle func(string)) error {
	pc, err := rocketmq.NewPushConsumer(
		consumer.WithNsResolver(c.names),
		consumer.WithGroupName(group),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		consumer.WithConsumeGoroutineNums(consumeConcurrency),
	)
	if err != nil {
		return err
	}
	err = pc.Subscribe(topic, consumer.MessageSelector{}, func(_ context.Context, ms ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, m := range ms {
			handle(string(m.Body))
		}
		return consumer.ConsumeSuccess, nil
	})
	if err != nil {
		return err
	}
	c.consumer = pc
	return pc.Start()
}

func (c *clientGo) Close(context.Context) error {
	if c.consumer != nil {
		if err := c.consumer.Shutdown(); err != nil {
			return err
		}
	}
	return c.producer.Shutdown()
}
