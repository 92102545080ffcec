package main

import (
	"context"
	"fmt"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/message"
)

func main() { sample.Main(run) }

const (
	topic = "TopicTest1"
	count = 100
)

func run(ctx context.Context, client *rocketkit.Client, say sample.Say) error {
	producer, err := client.NewProducer("pull_producer_group")
	if err != nil {
		return err
	}
	for i := range count {
		m := message.New(topic, fmt.Appendf(nil, "Hello world %d", i), message.Tag("TagA"), message.ShardingKey("one queue"))
		if _, err := producer.Send(ctx, m); err != nil {
			return err
		}
	}

	// PullWait(0): a pull that finds nothing returns at once. Otherwise it waits at the broker.
	puller, err := client.NewPuller("pull_group", consumer.Subscription{Topic: topic}, consumer.PullWait(0))
	if err != nil {
		return err
	}
	queues, err := puller.Queues(ctx)
	if err != nil {
		return err
	}
	offsets := map[message.Queue]int64{} // ours to keep: here or in a database
	for _, q := range queues {
		if err := drain(ctx, puller, q, offsets, say); err != nil {
			return err
		}
	}
	// Committing the offsets to the broker is possible too: puller.Commit.

	picky, err := client.NewPuller("pull_group", consumer.Subscription{Topic: topic, Tags: "TagB"}, consumer.PullWait(0))
	if err != nil {
		return err
	}
	for _, q := range queues {
		if offsets[q] == 0 {
			continue
		}
		if err := show(ctx, picky, q, 0, "nothing has the tag TagB", say); err != nil {
			return err
		}
		if err := show(ctx, puller, q, offsets[q]+1000, "the queue does not go that far", say); err != nil {
			return err
		}
	}
	return nil
}

// drain reads a queue from our offset to its end.
func drain(ctx context.Context, p *consumer.Puller, q message.Queue, offsets map[message.Queue]int64, say sample.Say) error {
	if _, err := p.Seek(ctx, q, consumer.Offset(offsets[q])); err != nil {
		return err
	}
	for {
		got, err := p.Pull(ctx, q, 32)
		if err != nil {
			return err
		}
		say("queue %d from %d: %v, %d messages, next is %d", q.ID, offsets[q], got.Status, len(got.Messages), got.Next)
		if offsets[q] = got.Next; got.Status == consumer.PullNoNewMsg {
			return nil
		} // FOUND goes on, and so does OFFSET_ILLEGAL, when old messages have gone
		if _, err := p.Seek(ctx, q, consumer.Offset(got.Next)); err != nil {
			return err
		}
	}
}

func show(ctx context.Context, p *consumer.Puller, q message.Queue, offset int64, why string, say sample.Say) error {
	if _, err := p.Seek(ctx, q, consumer.Offset(offset)); err != nil {
		return err
	}
	got, err := p.Pull(ctx, q, 32)
	if err != nil {
		return err
	}
	say("queue %d from %d: %v, next is %d: %s", q.ID, offset, got.Status, got.Next, why)
	return nil
}
