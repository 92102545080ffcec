package generate_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/internal/generate/testdata/pay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/rocketkittest"
	"github.com/rocketkit/rocketkit/txn"
)

// avro is a codec that the generated code knows by its name only.
type avro struct{ codec.Text }

func (avro) Name() string { return "avro" }

func TestGeneratedListenersReceive(t *testing.T) {
	t.Parallel()
	client := rocketkittest.Start(t).Client(t)
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

func TestGeneratedTransactionsAreSent(t *testing.T) {
	t.Parallel()
	client := rocketkittest.Start(t).Client(t)
	kinds := pay.NewChecksTransactions(pay.Checks{}, txn.Placeholders(func(key string) (string, bool) { return "stock_eu", key == "stock.topic" }))
	p, err := kinds.NewProducer(client)
	if err != nil || p.Group() != "pay_group" {
		t.Fatalf("%v, %v", p, err)
	}
	ran := 0
	local := func(context.Context, message.SendResult) error { ran++; return nil }
	for _, send := range []struct {
		kind  *txn.Kind
		topic string
	}{{kinds.CheckPaid, "orders"}, {kinds.CheckStock, "stock_eu"}} {
		if _, err := send.kind.Send(t.Context(), p, message.New(send.topic, []byte("o1")), local); err != nil {
			t.Error(err)
		}
	}
	if ran != 2 {
		t.Errorf("%d local transactions ran", ran)
	}
}
