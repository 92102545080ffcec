package rocketkit_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/trace"
)

// run starts a consumer of the topic orders and waits until its handler was called n times.
func (s telemetry) run(n int, mux *consumer.Mux) error {
	calls := make(chan struct{}, 100)
	mux.Use(func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d *message.Delivery) error {
			defer func() { calls <- struct{}{} }()
			return next(ctx, d)
		}
	})
	c, err := s.NewConsumer(mux)
	if err != nil {
		return err
	}
	if err := c.Start(s.t.Context()); err != nil {
		return err
	}
	for range n {
		select {
		case <-calls:
		case <-time.After(patience):
			return errors.New("the handler was not called")
		}
	}
	return c.Drain(s.t.Context())
}

func handled(opts ...consumer.GroupOption) func(telemetry) error { return handledBy(1, nil, opts...) }

func handledBy(n int, result error, opts ...consumer.GroupOption) func(telemetry) error {
	return func(s telemetry) error {
		mux := consumer.NewMux("shop", append(opts, consumer.From(consumer.First))...)
		consumer.Handle(mux, "orders", func(context.Context, string) error { return result })
		return s.run(n, mux)
	}
}

func processed(more ...attrs) view {
	return span("process", "consumer", append([]attrs{one("normal"), by("shop")}, more...)...).in("send orders").to("send orders")
}

// reply is the sending of one, to the topic of the requester's cluster.
func reply() view {
	v := sent(attrs{"messaging.message.conversation_id": true, "messaging.destination.name": "DefaultCluster_REPLY_TOPIC"}).in("process orders")
	v.Name = "send DefaultCluster_REPLY_TOPIC"
	return v
}

func nacked(more ...attrs) view {
	return span("nack", "client", append([]attrs{one("normal"), by("shop"), peer()}, more...)...).in("send orders").to("send orders")
}

func TestSpansOfEveryKindOfConsumption(t *testing.T) {
	subs := []consumer.Subscription{{Topic: "orders"}}
	// Of a retried message its queue is the group's, and what it was nobody knows.
	again := attrs{"messaging.rocketmq.message.type": nil}
	for name, tc := range map[string]struct {
		consume func(telemetry) error
		want    []view // but the send's
		opts    []message.Option
		link    bool
	}{
		"handled":      {handled(), []view{processed(attrs{"messaging.rocketmq.message.tag": "paid", "messaging.rocketmq.message.keys": []string{"1", "2"}})}, []message.Option{message.Tag("paid"), message.Key("1", "2")}, false},
		"ordered":      {handled(consumer.Ordered()), []view{processed(one("fifo"), attrs{"messaging.rocketmq.message.group": "k"})}, []message.Option{message.ShardingKey("k")}, false},
		"level":        {handled(), []view{processed(one("delay"), attrs{"messaging.rocketmq.message.delay_time_level": int64(3)})}, []message.Option{delay.Level(3)}, false},
		"timer":        {handled(), []view{processed(one("delay"), attrs{"messaging.rocketmq.message.delivery_timestamp": true})}, []message.Option{delay.After(time.Minute)}, false},
		"link only":    {handled(), []view{processed().in("")}, nil, true},
		"broadcasting": {handled(consumer.Broadcast(), consumer.OffsetDir(t.TempDir())), []view{processed(attrs{"messaging.rocketmq.consumption_model": "broadcasting"})}, nil, false},
		"retried and given up": {handledBy(2, errors.New("boom"), consumer.MaxRetries(1)), []view{
			nacked(), nacked(again), processed().failed("_OTHER"), processed(again).failed("_OTHER"),
		}, nil, false},
		"retried exactly": {handledBy(1, retry.After(errors.New("boom"), time.Hour)), []view{nacked(), processed().failed("_OTHER")}, nil, false},
		"batch": {func(s telemetry) error {
			mux, done := consumer.NewMux("shop", consumer.From(consumer.First)), make(chan struct{})
			consumer.HandleBatchRaw(mux, "orders", func(context.Context, *consumer.Batch[*message.Delivery]) error {
				close(done)
				return nil
			})
			c, err := s.NewConsumer(mux)
			if err != nil {
				return err
			}
			err = c.Start(s.t.Context())
			<-done
			return errors.Join(err, c.Drain(s.t.Context()))
		}, []view{span("process", "consumer", many(1), by("shop")).to("send orders")}, nil, false},
		"pulled": {func(s telemetry) error {
			p, err := s.NewPuller("shop", subs[0], consumer.From(consumer.First), consumer.PullWait(0))
			if err != nil {
				return err
			}
			qs, err := p.Queues(s.t.Context())
			if err != nil {
				return err
			}
			for _, q := range qs {
				first, end, err := s.bounds(p, q)
				if err != nil || first == end {
					continue
				}
				_, err1 := p.Pull(s.t.Context(), q, 1)
				_, err2 := p.Pull(s.t.Context(), q, 1)
				return errors.Join(err1, err2, p.Commit(s.t.Context(), q))
			}
			return errors.New("no queue has the message")
		}, []view{
			span("commit", "client", by("shop"), peer()),
			span("receive", "client", many(1), by("shop"), peer()).to("send orders"),
			span("receive", "client", many(0), by("shop"), peer()),
		}, nil, false},
		"fetched": {func(s telemetry) error {
			f, err := s.NewFetcher("shop", subs, consumer.From(consumer.First))
			if err != nil {
				return err
			}
			if err := f.Start(s.t.Context()); err != nil {
				return err
			}
			ds, err1 := f.Fetch(s.t.Context(), 1)
			err2 := f.Retry(0, ds...)
			ds, err3 := f.Fetch(s.t.Context(), 1)
			err4 := f.Ack(ds...)
			err5 := f.Commit(s.t.Context())
			if s.driver != nil && errors.Is(err5, message.ErrUnsupported) { // as driver/clientgo says
				err5 = nil
			}
			return errors.Join(err1, err2, err3, err4, err5)
		}, []view{
			span("commit", "client", by("shop"), nowhere()), nacked(),
			span("receive", "client", many(1), by("shop")).to("send orders"), span("receive", "client", many(1), by("shop")).to("send orders"),
		}, nil, false},
		"pulled in vain": {func(s telemetry) error {
			p, err := s.NewPuller("shop", subs[0], consumer.PullWait(0))
			if err != nil {
				return err
			}
			qs, err := p.Queues(s.t.Context())
			if err != nil {
				return err
			}
			if _, err := p.Seek(s.t.Context(), qs[0], consumer.Begin()); err != nil {
				return err
			}
			const pull, commitOffset, busy = 11, 15, 2
			s.Fault(brokerlite.Match{Code: pull}, brokerlite.Answer(busy, "no"))
			s.Fault(brokerlite.Match{Code: commitOffset}, brokerlite.Answer(busy, "no"))
			_, err = p.Pull(s.t.Context(), qs[0], 1)
			if err2 := p.Commit(s.t.Context(), qs[0]); err == nil || err2 == nil {
				return errors.New("it was not refused")
			}
			return nil
		}, []view{
			span("commit", "client", by("shop"), peer()).failed("SYSTEM_BUSY"),
			span("receive", "client", many(0), by("shop"), peer()).failed("SYSTEM_BUSY"),
		}, nil, false},
		"popped in vain": {func(s telemetry) error {
			c, err := s.NewSimpleConsumer("shop", subs, consumer.From(consumer.First))
			if err != nil {
				return err
			}
			ds, err := c.Receive(s.t.Context(), 1)
			if err != nil {
				return err
			}
			const pop, ack, busy = 200050, 200051, 2
			for _, code := range []int{pop, ack} {
				s.Fault(brokerlite.Match{Code: code}, brokerlite.Answer(busy, "no"))
			}
			_, err = c.Receive(s.t.Context(), 1)
			if err2 := c.Ack(s.t.Context(), ds...); err == nil || err2 == nil {
				return errors.New("it was not refused")
			}
			return nil
		}, []view{
			span("ack", "client", one("normal"), by("shop"), peer()).to("send orders").failed("SYSTEM_BUSY"),
			span("receive", "client", many(1), by("shop"), peer()).to("send orders"),
			span("receive", "client", many(0), by("shop"), peer(), attrs{"messaging.destination.partition.id": nil}).failed("SYSTEM_BUSY"),
		}, nil, false},
		"replied to": {func(s telemetry) error {
			p, err := s.NewProducer("desk")
			if err != nil {
				return err
			}
			first := make(chan struct{})
			mux := consumer.NewMux("shop", consumer.From(consumer.First), consumer.Concurrency(1))
			consumer.HandleRaw(mux, "orders", func(ctx context.Context, d *message.Delivery) error {
				if string(d.Body) != "question" {
					close(first)
					return nil
				}
				_, err := p.Reply(ctx, d, []byte("answer"))
				return err
			})
			c, err := s.NewConsumer(mux)
			if err != nil {
				return err
			}
			if err := c.Start(s.t.Context()); err != nil {
				return err
			}
			<-first
			_, err = p.Request(s.t.Context(), message.New("orders", []byte("question")))
			return errors.Join(err, c.Drain(s.t.Context()))
		}, []view{
			processed(), processed(attrs{"messaging.message.conversation_id": true}),
			reply(),
		}, nil, false},
		"popped": {func(s telemetry) error {
			c, err := s.NewSimpleConsumer("shop", subs, consumer.From(consumer.First))
			if err != nil {
				return err
			}
			ds, err := c.Receive(s.t.Context(), 1)
			return errors.Join(err, c.Ack(s.t.Context(), ds...), c.DeadLetter(s.t.Context(), ds...))
		}, []view{
			span("ack", "client", one("normal"), by("shop"), peer()).to("send orders"),
			nacked().in(""),
			span("receive", "client", many(1), by("shop"), peer()).to("send orders"),
		}, nil, false},
	} {
		for _, leg := range legs() {
			t.Run(name+"/"+leg.name, func(t *testing.T) {
				leg.in(t, func(t *testing.T, s cluster) {
					s.createOrders()
					o := s.observed(trace.Options{LinkOnly: tc.link})
					_, err := newProducer(t, o.Client, "pay").Send(t.Context(), message.New("orders", []byte("b"), tc.opts...))
					if err == nil {
						err = tc.consume(o)
					}
					if err := o.Close(); err != nil {
						t.Error(err)
					}
					if s.hasNot(err, name, "ordered", "timer", "broadcasting", "pulled", "popped", "pulled in vain", "popped in vain", "replied to") {
						return
					}
					if err != nil {
						t.Error(err)
					}
					got := slices.DeleteFunc(o.spans(), func(v view) bool { return v.Name == "send orders" })
					if diff := cmp.Diff(leg.tells(name, tc.want), got); diff != "" {
						t.Errorf("spans (-want +got):\n%s", diff)
					}
					o.measured()
				})
			})
		}
	}
}

// bounds are the offsets of a queue's first message and behind its last.
func (s telemetry) bounds(p *consumer.Puller, q message.Queue) (first, end int64, err error) {
	first, err1 := p.Seek(s.t.Context(), q, consumer.Begin())
	end, err2 := p.Seek(s.t.Context(), q, consumer.End())
	_, err3 := p.Seek(s.t.Context(), q, consumer.Begin())
	return first, end, errors.Join(err1, err2, err3)
}
