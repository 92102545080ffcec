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
	if level, ok := delay.LevelFor(o.settings.orderTimeout); ok {
		return delay.Level(level) // every server has levels
	}
	return delay.After(o.settings.orderTimeout)
}

// routes are what it serves.
func (o *orderService) routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /api/orders", o.create)
	mux.HandleFunc("GET /api/orders/{id}", o.get)
}

// slowest is more than the database takes to keep an order, which waits for locks
// for 5 s at most. A shorter time-out may be over before its order is there.
const slowest = 30 * time.Second

// create makes an order. The time-out is sent first: without an order it does no
// harm, but an order without a time-out would stay unpaid for ever.
func (o *orderService) create(w http.ResponseWriter, r *http.Request) {
	id := rand.Text()
	if _, err := o.producer.Send(r.Context(), message.New(orderTimeoutTopic, []byte(id), message.Key(id), o.delay())); err != nil {
		writeFailure(w, fmt.Errorf("the order's time-out cannot be sent: %w", err))
		return
	}
	now := time.Now()
	if err := o.db.addOrder(r.Context(), order{ID: id, Status: unpaid, Created: now, Closes: now.Add(o.settings.orderTimeout)}); err != nil {
		writeFailure(w, err)
		return
	}
	o.log.Info("order is made", "order", id, "closes", o.settings.orderTimeout)
	w.Header().Set("Location", "/api/orders/"+id)
	writeJSON(w, http.StatusCreated, map[string]string{"id": id})
}

func (o *orderService) get(w http.ResponseWriter, r *http.Request) {
	found, err := o.db.order(r.Context(), r.PathValue("id"))
	if err != nil {
		writeFailure(w, err)
		return
	}
	writeJSON(w, http.StatusOK, found)
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
	case errors.Is(err, errNoOrder) && d.ReconsumeTimes == 0 && o.settings.orderTimeout < slowest:
		return err // the order may be being made just now, see create: look again later
	case errors.Is(err, errNoOrder):
		return retry.Skip(err) // it was never made, see create
	case err != nil:
		return err
	case changed:
		o.log.Info("order is closed: nobody has paid it in time", "order", id, "timeout", o.settings.orderTimeout)
	default:
		o.log.Info("order has not timed out", "order", id, "status", status)
	}
	return nil
}

// Limits on asking the server at the start.
const (
	askTimeout = 30 * time.Second
	askPause   = time.Second
)

// ready waits until the service can start: a time-out that is no delay level needs a
// server with timer messages. No request says whether a server has them and how far
// ahead, so a message with just that delay is sent, which onTimeout passes over. A server
// that cannot be reached yet is waited for.
func (o *orderService) ready(ctx context.Context) error {
	if _, ok := delay.LevelFor(o.settings.orderTimeout); ok {
		return nil
	}
	refuse := func(why string, err error) error {
		return fmt.Errorf("--order-timeout %v is not one of RocketMQ's delay levels, and %s; nearest are %s: %w", o.settings.orderTimeout, why, delay.Describe(o.settings.orderTimeout), err)
	}
	limit, cancel := context.WithTimeout(ctx, o.settings.askTimeout)
	defer cancel()
	var awaiting error // why there is no answer yet
	for {
		_, err := o.producer.Send(limit, message.New(orderTimeoutTopic, []byte("Are there timer messages?"), message.Tag(probeTag), o.delay()))
		switch {
		case err == nil:
			return nil
		case errors.Is(err, message.ErrUnsupported):
			return refuse("this server cannot keep it otherwise", err)
		case awaited(err):
			awaiting = err
		case awaiting == nil || !errors.Is(err, context.DeadlineExceeded):
			return refuse("asking the server whether it can keep it failed", err)
		}
		o.log.Warn("waiting for the server, to ask whether it can keep --order-timeout", "orderTimeout", o.settings.orderTimeout, "error", err)
		select {
		case <-time.After(askPause):
		case <-limit.Done():
			return refuse(fmt.Sprintf("no server said within %v whether it can keep it", o.settings.askTimeout), awaiting)
		}
	}
}

// awaited reports whether a server that is just starting may be the reason.
func awaited(err error) bool {
	return errors.Is(err, message.ErrNoNameServer) || errors.Is(err, message.ErrNoRoute) || errors.Is(err, message.ErrUnreachable)
}
