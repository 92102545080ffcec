package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// payTopic is the topic of payments.
const payTopic = "pay_test_topic"

const (
	defaultTag = "tag1"
	defaultKey = "1234" // of payments that name no order
	greeting   = "Hello rocketmq = "
	// failing is the text of payments whose consumption fails.
	failing = "fail"
	// payDelay is the delay level of /api/pay/delay: 5 s.
	payDelay = 2
)

// payService sends payments, consumes them, and keeps the dead ones.
type payService struct {
	settings settings
	db       *database
	log      *slog.Logger
	producer *producer.Producer
}

// routes are what it serves.
func (p *payService) routes(mux *http.ServeMux) {
	mux.HandleFunc("/api/pay/pay_cb", answering(p.payCallback))
	mux.HandleFunc("/api/pay/async", answering(p.payAsync))
	mux.HandleFunc("/api/pay/oneway", answering(p.payOneway))
	mux.HandleFunc("/api/pay/delay", answering(p.payDelayed))
	mux.HandleFunc("GET /api/pay/dead", answering(p.dead))
}

// sendResult is a send's result in the words of Apache's Java client.
type sendResult struct {
	SendStatus   message.Status `json:"sendStatus"`
	MsgID        string         `json:"msgId"`
	OffsetMsgID  string         `json:"offsetMsgId"`
	MessageQueue messageQueue   `json:"messageQueue"`
	QueueOffset  int64          `json:"queueOffset"`
}

type messageQueue struct {
	Topic      string `json:"topic"`
	BrokerName string `json:"brokerName"`
	QueueID    int    `json:"queueId"`
}

// payCallback sends and waits.
func (p *payService) payCallback(w http.ResponseWriter, r *http.Request) error {
	m, err := p.payment(r)
	if err != nil {
		return err
	}
	res, err := p.producer.Send(r.Context(), m)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, sendResult{
		res.Status, res.MessageID, res.OffsetMessageID, messageQueue{res.Queue.Topic, res.Queue.Broker, res.Queue.ID}, res.QueueOffset,
	})
	return nil
}

// payAsync answers before the payment is stored; the callback says what became of
// it.
func (p *payService) payAsync(w http.ResponseWriter, r *http.Request) error {
	m, err := p.payment(r)
	if err != nil {
		return err
	}
	p.sendAsync(r, m)
	return nil
}

// payOneway does not hear whether the payment is stored.
func (p *payService) payOneway(w http.ResponseWriter, r *http.Request) error {
	m, err := p.payment(r)
	if err != nil {
		return err
	}
	return p.producer.SendOneway(r.Context(), m)
}

// payDelayed lets the payment be consumed 5 s later. It pays no order.
func (p *payService) payDelayed(w http.ResponseWriter, r *http.Request) error {
	m, err := p.payment(r, delay.Level(payDelay))
	if err != nil {
		return err
	}
	m.Keys = []string{defaultKey}
	p.sendAsync(r, m)
	return nil
}

// sendAsync sends with a ctx of its own: the request's ends with the answer.
func (p *payService) sendAsync(r *http.Request, m *message.Message) {
	p.producer.SendAsync(context.WithoutCancel(r.Context()), m, func(_ context.Context, res message.SendResult, err error) {
		if err != nil {
			// Nobody waits for this any more. A real service would try again later, or
			// tell somebody.
			p.log.Error("send failed", "topic", m.Topic, "keys", m.Keys, "safeToRetry", message.SafeToRetry(err), "error", err)
			return
		}
		p.log.Info(fmt.Sprintf("send result %s, msg=%s", res.Status, res))
	})
}

// errBadRequest: the request itself is wrong.
var errBadRequest = errors.New("bad request")

// payment reads a request's message. All that is wrong with it shows here, before
// anything is sent.
func (p *payService) payment(r *http.Request, opts ...message.Option) (*message.Message, error) {
	err := r.ParseForm()
	if err == nil {
		if err = r.ParseMultipartForm(maxRequestBody); errors.Is(err, http.ErrNotMultipart) {
			err = nil
		}
	}
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return nil, fmt.Errorf("the form is larger than %d bytes: %w", tooLong.Limit, message.ErrBodyTooLarge)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBadRequest, err)
	}
	if !r.Form.Has("text") {
		return nil, fmt.Errorf("%w: text is missing; give it in the query or a form, such as %s?text=hello", errBadRequest, r.URL.Path)
	}
	or := func(name, otherwise string) string {
		if v := r.Form.Get(name); v != "" {
			return v
		}
		return otherwise
	}
	opts = append(opts, message.Tag(or("tag", defaultTag)), message.Key(or("order", defaultKey)))
	m := message.New(payTopic, []byte(greeting+r.Form.Get("text")), opts...)
	return m, m.Validate(int(p.settings.Client.Producer.MaxMessageSize))
}

// onPayment consumes a payment. Its key may be the id of an order, which is paid
// then. It may be called more than once for one payment.
//
//rocketmq:listener topic=pay_test_topic
func (p *payService) onPayment(ctx context.Context, body string) error {
	d := message.DeliveryFrom(ctx)
	p.log.Info(fmt.Sprintf("topic=%s, tags=%s, keys=%s, msg=%s", d.Topic, d.Tag, strings.Join(d.Keys(), " "), body))
	if body == greeting+failing {
		return errors.New("text=fail asks for a payment that fails")
	}
	for _, key := range d.Keys() {
		status, changed, err := p.db.settle(ctx, key, paid)
		switch {
		case errors.Is(err, errNoOrder):
			if key != defaultKey {
				p.log.Warn("payment of an order that is not known here", "order", key, "id", d.ID)
			}
		case err != nil:
			return err
		case changed:
			p.log.Info("order is paid", "order", key)
		case status == closed:
			p.log.Warn("payment came too late: the order is closed and the payment must be refunded", "order", key, "id", d.ID)
		}
	}
	return nil
}
