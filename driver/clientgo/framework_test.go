package clientgo_test

import (
	"context"
	"errors"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver/clientgo"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

type payment struct {
	Order string `json:"order"`
}

// framework runs producers and consumers, as applications use them, over the
// driver: one option chooses it.
func framework(e *env) {
	client, err := rocketkit.Open(e.Context(), rocketkit.Config{NameServers: []string{e.nameServer}}, rocketkit.WithDriver(clientgo.Name, clientgo.Factory))
	e.must(err)
	defer func() { e.must(client.Close()) }()
	p, err := client.NewProducer(e.name + "_p")
	e.must(err)
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	got, async := make(chan payment, 10), make(chan error, 1)
	mux := consumer.NewMux(e.group())
	consumer.Handle(mux, e.topic(), func(ctx context.Context, v payment) error {
		if d := message.DeliveryFrom(ctx); v.Order == "fails once" && d.ReconsumeTimes == 0 {
			return errors.New("not yet")
		}
		got <- v
		return nil
	}, consumer.Tags("paid"), consumer.Retry(retry.Levels(16)))
	c, err := client.NewConsumer(mux, consumer.From(consumer.First))
	e.must(err)
	e.must(c.Start(ctx))
	for _, body := range []string{`{"order":"1"}`, `{"order":"fails once"}`} {
		_, err := p.Send(ctx, message.New(e.topic(), []byte(body), message.Tag("paid")))
		e.must(err)
	}
	p.SendAsync(ctx, message.New(e.topic(), []byte(`{"order":"2"}`), message.Tag("paid")), func(_ context.Context, _ message.SendResult, err error) { async <- err })
	e.must(<-async)
	want := map[string]bool{"1": true, "2": true, "fails once": true}
	for len(want) > 0 {
		select {
		case v := <-got:
			delete(want, v.Order)
		case <-time.After(patience):
			e.Fatalf("not handled: %v", want)
		}
	}
}
