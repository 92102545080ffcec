package producer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

type order struct {
	ID    string  `json:"id"`
	Price float64 `json:"price"`
}

// describe takes a message's keys from the order.
func describe(o order) []message.Option { return []message.Option{message.Key(o.ID)} }

// nan is an order that JSON has no form for.
func nan(id string) order { zero := 0.0; return order{ID: id, Price: zero / zero} }

func TestEveryMistakeInAPublisherIsReported(t *testing.T) {
	t.Parallel()
	p := start(t, newScript("a"))
	_, err := producer.NewPublisher[order](nil, "orders!", nil, producer.PublishAs(codec.Text{}), producer.PublishWith(nil),
		producer.Each(func(string) []message.Option { return nil }))
	want := `publisher of producer_test.order to topic "orders!": an option is nil; remove it
the producer is nil; make one with Client.NewProducer
invalid topic: "orders!" has '!' at byte 6; allowed are letters, digits and %|_-
PublishWith was given a nil option; remove it
codec text: type does not fit the codec: text carries a string or []byte, not producer_test.order; use JSON for it
Each takes a func(string) []message.Option; write a func(producer_test.order) []message.Option`
	if err == nil || err.Error() != want || !errors.Is(err, message.ErrInvalidTopic) || !errors.Is(err, codec.ErrType) {
		t.Errorf("%v\nwant %s", err, want)
	}
	if _, err := producer.NewPublisher[order](p, "orders", producer.PublishAs(nil)); err == nil || !strings.Contains(err.Error(), "PublishAs(nil): name a codec") {
		t.Error(err)
	}
}

func TestAValueThatCannotBeSentIsRefusedByEverySend(t *testing.T) {
	t.Parallel()
	s := newScript("a")
	pub, err := producer.NewPublisher[order](start(t, s), "orders", producer.Each(describe))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	called := make(chan error, 1)
	pub.SendAsync(ctx, nan("1"), func(_ context.Context, _ message.SendResult, err error) { called <- err })
	_, send := pub.Send(ctx, nan("1"))
	_, request := pub.Request(ctx, nan("1"))
	_, reply := producer.RequestFor[chan int](ctx, pub, order{})
	_, option := pub.Send(ctx, order{}, nil)
	outcomes, batch := pub.SendBatch(ctx, []order{{ID: "1"}, nan("2")})
	for name, err := range map[string]error{
		"Send": send, "SendAsync": <-called, "SendOneway": pub.SendOneway(ctx, nan("1")), "Request": request, "RequestFor": reply, "SendBatch": batch, "option": option,
	} {
		if !errors.Is(err, message.ErrInvalidMessage) || !message.SafeToRetry(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if want := `topic "orders": producer_test.order by codec json: json: unsupported value: NaN`; !strings.HasSuffix(send.Error(), want) {
		t.Errorf("%v, want %s", send, want)
	}
	if len(outcomes) != 2 || outcomes[0].Err == nil || outcomes[1].Err == nil {
		t.Errorf("outcomes %v", outcomes)
	}
	if len(s.tried()) != 0 {
		t.Error("something was sent")
	}
}

func TestAPublisherMakesMessages(t *testing.T) {
	t.Parallel()
	p := start(t, newScript("a"))
	pub, err := producer.NewPublisher[order](p, "orders", producer.PublishWith(message.Tag("new"), message.Property("shop", "7")), producer.Each(describe))
	if err != nil {
		t.Fatal(err)
	}
	m, err := pub.Message(order{ID: "1", Price: 2}, message.Tag("paid"), message.Key("2"))
	if err != nil {
		t.Fatal(err)
	}
	want := message.New("orders", []byte(`{"id":"1","price":2}`), message.Tag("paid"), message.Property("shop", "7"), message.Key("1", "2"), message.Property(codec.ContentTypeProperty, "application/json"))
	if d := cmp.Diff(want, m, cmp.AllowUnexported(message.Delay{})); d != "" {
		t.Errorf("message (-want +got):\n%s", d)
	}
	if with, err := pub.With(producer.Retries(-1)); err == nil {
		t.Errorf("%v", with)
	}
}

// What a publisher sends arrives as the same type, and requests are answered in types.
func TestAPublishersValuesArrive(t *testing.T) {
	t.Parallel()
	client := rocketkittest.Start(t).Client(t)
	p, err := client.NewProducer("pay_group")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 8)
	mux := consumer.NewMux("pay", consumer.From(consumer.First))
	consumer.Handle(mux, "orders", func(ctx context.Context, o order) error {
		d := message.DeliveryFrom(ctx)
		got <- fmt.Sprint(o.ID, d.Keys(), d.Tag)
		return nil
	})
	consumer.Handle(mux, "prices", func(ctx context.Context, symbol string) error {
		_, err := p.Reply(ctx, message.DeliveryFrom(ctx), []byte(`{"id":"`+symbol+`","price":1.5}`))
		return err
	})
	c, err := client.NewConsumer(mux)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pub, err := producer.NewPublisher[order](p, "orders", producer.Each(describe))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := pub.Send(ctx, order{ID: "1"}, message.Tag("a")); err != nil {
		t.Error(err)
	}
	if _, err := pub.SendBatch(ctx, []order{{ID: "2"}, {ID: "3"}}, message.Tag("b")); err != nil {
		t.Error(err)
	}
	if err := pub.SendOneway(ctx, order{ID: "4"}); err != nil {
		t.Error(err)
	}
	urgent, err := pub.With(producer.Retries(0))
	if err != nil {
		t.Fatal(err)
	}
	urgent.SendAsync(ctx, order{ID: "5"}, nil)
	var arrived []string
	for len(arrived) < 5 {
		select {
		case s := <-got:
			arrived = append(arrived, s)
		case <-ctx.Done():
			t.Fatalf("only %q", arrived)
		}
	}
	slices.Sort(arrived)
	if d := cmp.Diff([]string{"1[1]a", "2[2]b", "3[3]b", "4[4]", "5[5]"}, arrived); d != "" {
		t.Errorf("arrived (-want +got):\n%s", d)
	}
	prices, err := producer.NewPublisher[string](p, "prices")
	if err != nil {
		t.Fatal(err)
	}
	if o, err := producer.RequestFor[order](ctx, prices, "EURUSD"); err != nil || o != (order{ID: "EURUSD", Price: 1.5}) {
		t.Errorf("%v, %v", o, err)
	}
	if _, err := producer.RequestFor[int](ctx, prices, "EURUSD"); err == nil || !strings.Contains(err.Error(), "bytes as int by codec json") {
		t.Errorf("a reply of another type: %v", err)
	}
}

func ExampleNewPublisher() {
	type Order struct {
		ID       string
		Customer string
	}
	p, err := producer.New(newDriver(), "pay_group")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	orders, err := producer.NewPublisher[Order](p, "orders", producer.Each(func(o Order) []message.Option {
		return []message.Option{message.Key(o.ID), message.ShardingKey(o.Customer)}
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := orders.Send(context.Background(), Order{ID: "o-1", Customer: "c-7"}, message.Tag("paid"))
	fmt.Println(res.Status, err)
	// Output: SEND_OK <nil>
}
