package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/retry"
)

// What the order-timeout service is called in RocketMQ.
const (
	orderGroup        = "order_group"
	timeoutConsumer   = "order_timeout_consumer_group"
	orderTimeoutTopic = "order_timeout_topic"
)

// probeTag marks the message that asks whether the server has timer messages.
const probeTag = "probe"

// orderService makes orders and closes those that nobody pays: the message of an
// order's time-out is sent with the order and delivered when its time is over.
type orderService struct {
	db       *database
	log      *slog.Logger
	producer *producer.Producer
	consumer *consumer.Consumer
	timeout  time.Duration
	delay    message.Option
	ask      time.Duration // see settings.askTimeout
}

func newOrderService(s settings, client *rocketkit.Client, db *database, log *slog.Logger) (*orderService, error) {
	o := &orderService{db: db, log: log, timeout: s.orderTimeout, delay: delay.After(s.orderTimeout), ask: s.askTimeout}
	if level, ok := delay.LevelFor(s.orderTimeout); ok {
		o.delay = delay.Level(level) // every server has levels
	}
	var err error
	if o.producer, err = client.NewProducer(orderGroup); err != nil {
		return nil, err
	}
	// From the first: a time-out that was due before this group's first start counts.
	mux, opts := newMux(timeoutConsumer, s, consumer.From(consumer.First))
	consumer.Handle(mux, orderTimeoutTopic, o.onTimeout)
	if o.consumer, err = client.NewConsumer(mux, opts...); err != nil {
		return nil, err
	}
	return o, nil
}

// receiver implements service.
func (o *orderService) receiver() *consumer.Consumer { return o.consumer }

// routes implements service.
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
	if _, err := o.producer.Send(r.Context(), message.New(orderTimeoutTopic, []byte(id), message.Key(id), o.delay)); err != nil {
		writeFailure(w, fmt.Errorf("the order's time-out cannot be sent: %w", err))
		return
	}
	now := time.Now()
	if err := o.db.addOrder(r.Context(), order{ID: id, Status: unpaid, Created: now, Closes: now.Add(o.timeout)}); err != nil {
		writeFailure(w, err)
		return
	}
	o.log.Info("order is made", "order", id, "closes", o.timeout)
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
	case errors.Is(err, errNoOrder) && d.ReconsumeTimes == 0 && o.timeout < slowest:
		return err // the order may be being made just now, see create: look again later
	case errors.Is(err, errNoOrder):
		return retry.Skip(err) // it was never made, see create
	case err != nil:
		return err
	case changed:
		o.log.Info("order is closed: nobody has paid it in time", "order", id, "timeout", o.timeout)
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

// ready implements service: a time-out that is no delay level needs a server with
// timer messages. No request says whether a server has them and how far ahead, so
// a message with just that delay is sent, which onTimeout passes over. A server
// that cannot be reached yet is waited for.
func (o *orderService) ready(ctx context.Context) error {
	if _, ok := delay.LevelFor(o.timeout); ok {
		return nil
	}
	refuse := func(why string, err error) error {
		return fmt.Errorf("--order-timeout %v is not one of RocketMQ's delay levels, and %s; nearest are %s: %w", o.timeout, why, delay.Describe(o.timeout), err)
	}
	limit, cancel := context.WithTimeout(ctx, o.ask)
	defer cancel()
	var awaiting error // why there is no answer yet
	for {
		_, err := o.producer.Send(limit, message.New(orderTimeoutTopic, []byte("Are there timer messages?"), message.Tag(probeTag), o.delay))
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
		o.log.Warn("waiting for the server, to ask whether it can keep --order-timeout", "orderTimeout", o.timeout, "error", err)
		select {
		case <-time.After(askPause):
		case <-limit.Done():
			return refuse(fmt.Sprintf("no server said within %v whether it can keep it", o.ask), awaiting)
		}
	}
}

// awaited reports whether a server that is just starting may be the reason.
func awaited(err error) bool {
	return errors.Is(err, message.ErrNoNameServer) || errors.Is(err, message.ErrNoRoute) || errors.Is(err, message.ErrUnreachable)
}
