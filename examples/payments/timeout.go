package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/retry"
)

// orderTimeoutTopic is the topic of orders' time-outs.
const orderTimeoutTopic = "order_timeout_topic"

// probeTag marks the message that asks whether the server has timer messages.
const probeTag = "probe"

// orderService makes orders and closes those that nobody pays: the message of an
// order's time-out is sent with the order and delivered when its time is over.
type orderService struct {
	settings settings
	db       *database
	log      *slog.Logger
	producer *producer.Producer
}

// delay lets a message be delivered when an order's time is over.
func (o *orderService) delay() message.Option {
	if level, ok := delay.LevelFor(o.settings.OrderTimeout); ok {
		return delay.Level(level) // every server has levels
	}
	return delay.After(o.settings.OrderTimeout)
}

// routes are what it serves.
func (o *orderService) routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /api/orders", answering(o.create))
	mux.HandleFunc("GET /api/orders/{id}", answering(o.get))
}

// slowest is more than the database takes to keep an order, which waits for locks
// for 5 s at most. A shorter time-out may be over before its order is there.
const slowest = 30 * time.Second

// create makes an order. The time-out is sent first: without an order it does no
// harm, but an order without a time-out would stay unpaid for ever.
func (o *orderService) create(w http.ResponseWriter, r *http.Request) error {
	id := rand.Text()
	if _, err := o.producer.Send(r.Context(), message.New(orderTimeoutTopic, []byte(id), message.Key(id), o.delay())); err != nil {
		return fmt.Errorf("the order's time-out cannot be sent: %w", err)
	}
	now := time.Now()
	if err := o.db.addOrder(r.Context(), order{ID: id, Status: unpaid, Created: now, Closes: now.Add(o.settings.OrderTimeout)}); err != nil {
		return err
	}
	o.log.Info("order is made", "order", id, "closes", o.settings.OrderTimeout)
	w.Header().Set("Location", "/api/orders/"+id)
	writeJSON(w, http.StatusCreated, map[string]string{"id": id})
	return nil
}

func (o *orderService) get(w http.ResponseWriter, r *http.Request) error {
	found, err := o.db.order(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, found)
	return nil
}

// onTimeout closes an order that is still unpaid.
//
//rocketmq:listener topic=order_timeout_topic
func (o *orderService) onTimeout(ctx context.Context, _ string) error {
	d := message.DeliveryFrom(ctx)
	if d.Tag == probeTag {
		return nil
	}
	if len(d.Keys()) != 1 {
		return retry.Permanent(fmt.Errorf("the time-out's key must be one order, not %q", d.Keys()))
	}
	id := d.Keys()[0]
	switch status, changed, err := o.db.settle(ctx, id, closed); {
	case errors.Is(err, errNoOrder) && d.ReconsumeTimes == 0 && o.settings.OrderTimeout < slowest:
		return err // the order may be being made just now, see create: look again later
	case errors.Is(err, errNoOrder):
		return retry.Skip(err) // it was never made, see create
	case err != nil:
		return err
	case changed:
		o.log.Info("order is closed: nobody has paid it in time", "order", id, "timeout", o.settings.OrderTimeout)
	default:
		o.log.Info("order has not timed out", "order", id, "status", status)
	}
	return nil
}

// ready fails when no server keeps a message for --order-timeout. Every server has the delay
// levels; other times need timer messages, of which no request says whether a server has
// them and how far ahead. So a message with just that delay is sent, which onTimeout passes
// over.
func (o *orderService) ready(ctx context.Context) error {
	timeout := o.settings.OrderTimeout
	if _, isLevel := delay.LevelFor(timeout); isLevel || !o.settings.Runs(serviceOrderTimeout) {
		return nil
	}
	probe := message.New(orderTimeoutTopic, []byte("Are there timer messages?"), message.Tag(probeTag), o.delay())
	if _, err := o.producer.Send(ctx, probe); err != nil {
		return fmt.Errorf("--order-timeout %v is not one of RocketMQ's delay levels, and no server took a message with that delay; nearest are %s: %w", timeout, delay.Describe(timeout), err)
	}
	return nil
}
