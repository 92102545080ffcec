package wireset_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/rocketkittest"
	"github.com/rocketkit/rocketkit/wireset"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The injector of examples/payments shows that wire takes the sets; this is what they
// provide.
func TestTheProvidersMakeWhatTheyPromise(t *testing.T) {
	t.Parallel()
	cfg := rocketkit.Config{NameServers: []string{rocketkittest.Start(t).NameServer()}, Producer: config.Producer{Group: "pay_group"}}
	client, end, err := wireset.NewClient(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	p, err := wireset.NewProducer(client)
	if err != nil || p.Group() != "pay_group" {
		t.Fatalf("%v, %v", p, err)
	}
	got := make(chan string, 2)
	mux := func(group, topic string) *consumer.Mux {
		m := consumer.NewMux(group)
		m.Add(consumer.Listener[string]{Topic: topic, Handle: func(_ context.Context, s string) error { got <- s; return nil }})
		return m
	}
	cs, err := wireset.NewConsumers(client, []*consumer.Mux{mux("a", "orders"), mux("b", "stock")}, consumer.From(consumer.First))
	if err != nil || len(cs) != 2 {
		t.Fatalf("%v, %v", cs, err)
	}
	for _, topic := range []string{"orders", "stock"} {
		if _, err := p.Send(t.Context(), message.New(topic, []byte(topic))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- rocketkit.Run(ctx, cs) }()
	for range 2 {
		select {
		case <-got:
		case <-ctx.Done():
			t.Fatal("a consumer does not receive")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := wireset.NewConsumers(client, []*consumer.Mux{consumer.NewMux("c"), consumer.NewMux("d")}); err == nil || strings.Count(err.Error(), "no handler is registered") != 2 {
		t.Errorf("mistakes of both groups: %v", err)
	}
}
