package rocketkittest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

// The code of docs/testing.md: what is tested there, and its tests.

// orders closes those that are not paid within half an hour.
type orders struct {
	send *producer.Producer
	open sync.Map // ids of orders that are neither paid nor closed
}

func newOrders(client *rocketkit.Client) (*orders, *consumer.Mux, error) {
	send, err := client.NewProducer("orders_group")
	o := &orders{send: send}
	mux := consumer.NewMux("orders_consumer_group")
	consumer.Handle(mux, "order_timeout", o.onTimeout)
	return o, mux, err
}

func (o *orders) place(ctx context.Context, id string) error {
	o.open.Store(id, true)
	_, err := o.send.Send(ctx, message.New("order_timeout", []byte(id), message.Key(id), delay.After(30*time.Minute)))
	return err
}

func (o *orders) pay(id string) { o.open.Delete(id) }

func (o *orders) onTimeout(ctx context.Context, id string) error {
	if _, open := o.open.Load(id); !open {
		return nil
	}
	if _, err := o.send.Send(ctx, message.New("order_closed", []byte(`{"order":"`+id+`","reason":"not paid"}`), message.Key(id))); err != nil {
		return err
	}
	o.open.Delete(id)
	return nil
}

func TestAnOrderThatIsNotPaidIsClosedAfterHalfAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		shop, mux, err := newOrders(mq.Client(t))
		if err != nil {
			t.Fatal(err)
		}
		handlers := rocketkittest.Record(mux)
		mq.Consume(t, mux)

		if err := errors.Join(shop.place(t.Context(), "4711"), shop.place(t.Context(), "4712")); err != nil {
			t.Fatal(err)
		}
		mq.Advance(29 * time.Minute)
		shop.pay("4712")
		handlers.Consumed().Exactly(t) // nothing yet

		mq.Advance(time.Minute + 2*time.Second) // timers go by whole seconds
		handlers.Consumed().Exactly(t, rocketkittest.Want{Key: "4711"}, rocketkittest.Want{Key: "4712"})
		mq.SentTo("order_closed").Exactly(t, rocketkittest.Want{Key: "4711"})
		mq.DeadLetters("orders_consumer_group").Exactly(t)
	})
}

func TestAnOrderIsClosedByABrokerThatWasBusy(t *testing.T) {
	t.Parallel()
	mq := rocketkittest.Start(t)
	shop, mux, err := newOrders(mq.Client(t))
	if err != nil {
		t.Fatal(err)
	}
	mq.Break(t, brokerlite.Match{Code: rocketkittest.Send, Topic: "order_closed"}, brokerlite.Answer(2, "busy").Times(2))
	mq.Consume(t, mux)
	if err := shop.place(t.Context(), "4711"); err != nil {
		t.Fatal(err)
	}
	mq.Advance(30*time.Minute + 2*time.Second)
	closed := mq.SentTo("order_closed").Eventually(t, rocketkittest.Want{Key: "4711"})
	rocketkittest.Golden(t, "order_closed", closed)
}
