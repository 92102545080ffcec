package generate_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/internal/generate/testdata/pay"
	"github.com/rocketkit/rocketkit/message"
)

// avro is a codec that the generated code knows by its name only.
type avro struct{ codec.Text }

func (avro) Name() string { return "avro" }

func TestGeneratedListenersReceive(t *testing.T) {
	t.Parallel()
	b, err := brokerlite.Start(t.Context(), brokerlite.InMemory())
	if err != nil {
		t.Fatal(err)
	}
	client, err := rocketkit.Open(t.Context(), rocketkit.Config{NameServers: []string{b.NameServer()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := &pay.Service{Calls: make(chan string, 3)}
	lookup := func(key string) (string, bool) { return "payments", key == "pay.topic" }
	mux := consumer.NewMux("pay", consumer.From(consumer.First), consumer.Placeholders(lookup), consumer.Codecs(avro{}))
	mux.Add(pay.NewServiceListeners(s)...)
	mux.Add(pay.NewListeners()...)
	c, err := client.NewConsumer(mux)
	if err != nil {
		t.Fatal(err)
	}
	p, err := client.NewProducer("pay_group")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*message.Message{
		message.New("payments", []byte(`{"order":"o1"}`), message.Tag("tag2")),
		message.New("refunds", []byte("r1")),
		message.New("payments", []byte("no JSON"), message.Tag("tag1")), // dead at once
	} {
		if _, err := p.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for deadline := time.After(30 * time.Second); len(got) < 3; {
		select {
		case call := <-s.Calls:
			got = append(got, call)
		case <-deadline:
			t.Fatalf("only %q", got)
		}
	}
	slices.Sort(got)
	if d := cmp.Diff([]string{"dead no JSON", "paid o1", "text r1"}, got); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}
