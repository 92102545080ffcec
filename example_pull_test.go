package rocketkit_test

import (
	"context"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
)

func ExampleClient_NewFetcher() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close() // drains the fetcher too

	f, err := client.NewFetcher("report_group", []consumer.Subscription{{Topic: "pay_test_topic", Tags: "paid || refunded"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := f.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	for {
		ds, err := f.Fetch(ctx, 100)
		if err != nil {
			return // ctx has ended
		}
		fmt.Println(len(ds), "payments at once")
		if err := f.Ack(ds...); err != nil {
			fmt.Println(err) // some have moved to another member, which gets them again
		}
	}
}

func ExampleClient_NewPuller() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	p, err := client.NewPuller("audit_group", consumer.Subscription{Topic: "pay_test_topic"}, consumer.PullWait(0))
	if err != nil {
		fmt.Println(err)
		return
	}
	queues, err := p.Queues(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, q := range queues { // the last hour, again
		if _, err := p.Seek(ctx, q, consumer.Time(time.Now().Add(-time.Hour))); err != nil {
			fmt.Println(err)
			return
		}
		for {
			got, err := p.Pull(ctx, q, 32)
			if err != nil || got.Status == consumer.PullNoNewMsg || got.Status == consumer.PullOffsetIllegal {
				break
			}
			for _, d := range got.Messages {
				fmt.Println(d.Queue, d.QueueOffset, string(d.Body))
			}
		}
	}
}

func ExampleClient_NewSimpleConsumer() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	sc, err := client.NewSimpleConsumer("render_group", []consumer.Subscription{{Topic: "videos"}}, consumer.Invisible(5*time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	ds, err := sc.Receive(ctx, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range ds {
		fmt.Println("rendering", string(d.Body))
		if err := sc.Extend(ctx, time.Hour, d); err != nil { // a long one
			fmt.Println(err)
		}
		if err := sc.Ack(ctx, d); err != nil {
			fmt.Println(err)
		}
	}
}
