package producer_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// newDriver stands for what rocketkit.Open gives a client's NewProducer.
func newDriver() driver.Driver { return newScript("broker-a", "broker-b") }

func ExampleNew() {
	p, err := producer.New(newDriver(), "pay_group",
		producer.Retries(3),
		producer.SendTimeout(10*time.Second),
		producer.Breaker(producer.BreakerSettings{Failures: 5, OpenFor: 10 * time.Second}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	fmt.Println(p.Group())
	// Output: pay_group
}

func ExampleProducer_Send() {
	p, err := producer.New(newDriver(), "pay_group")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	res, err := p.Send(context.Background(), message.New("orders", []byte("Hello rocketmq"), message.Tag("paid"), message.Key("1234")))
	switch {
	case err == nil:
		fmt.Println(res.Status, res.MessageID)
	case message.SafeToRetry(err):
		fmt.Println("not stored:", err)
	default:
		fmt.Println("nobody knows:", err)
	}
	// Output: SEND_OK ID1
}

// A message that must be stored safely, however long it takes, from the producer that sends
// everything else.
func ExampleProducer_With() {
	p, err := producer.New(newDriver(), "pay_group")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	safe, err := p.With(producer.RequireDurable(), producer.RetryUnknownOutcome(), producer.SendTimeout(time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := safe.Send(context.Background(), message.New("orders", []byte("paid")))
	fmt.Println(res.Status, err)
	// Output: SEND_OK <nil>
}

func ExampleProducer_SendAsync() {
	p, err := producer.New(newDriver(), "pay_group")
	if err != nil {
		fmt.Println(err)
		return
	}
	p.SendAsync(context.Background(), message.New("orders", []byte("Hello rocketmq")),
		func(_ context.Context, r message.SendResult, err error) {
			fmt.Println(r.Status, err)
		})
	if err := p.Drain(context.Background()); err != nil { // waits for the callback
		fmt.Println(err)
	}
	// Output: SEND_OK <nil>
}

func ExampleProducer_SendOneway() {
	p, err := producer.New(newDriver(), "pay_group")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	fmt.Println(p.SendOneway(context.Background(), message.New("clicks", []byte("home page"))))
	// Output: <nil>
}

func ExampleProducer_SendBatch() {
	p, err := producer.New(newDriver(), "pay_group")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	outcomes, err := p.SendBatch(context.Background(), []*message.Message{
		message.New("orders", []byte("one")),
		message.New("orders", []byte("two")),
	})
	var failed *producer.BatchError
	if errors.As(err, &failed) {
		fmt.Println(failed.Failed, "failed")
	}
	for _, o := range outcomes {
		fmt.Println(o.Result.MessageID, o.Err)
	}
	// Output:
	// ID1 <nil>
	// ID2 <nil>
}

func ExampleSelect() {
	byTenant := func(m *message.Message, queues []message.Queue) int {
		return len(m.Properties["tenant"]) % len(queues)
	}
	p, err := producer.New(newDriver(), "pay_group", producer.Select(byTenant))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	res, err := p.Send(context.Background(), message.New("orders", []byte("b"), message.Property("tenant", "acme")))
	fmt.Println(res.Queue.Broker, res.Queue.ID, err)
	// Output: broker-a 0 <nil>
}

func ExampleIntercept() {
	stamp := producer.Interceptor{
		Before: func(ctx context.Context, o *driver.Outgoing) (context.Context, error) {
			o.Extra = append(o.Extra, driver.Property{Name: "tenant", Value: "acme"})
			return ctx, nil
		},
		After: func(_ context.Context, o *driver.Outgoing, r message.SendResult, err error) {
			fmt.Println(o.Topic, r.Status, err)
		},
	}
	p, err := producer.New(newDriver(), "pay_group", producer.Intercept(stamp))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	if _, err := p.Send(context.Background(), message.New("orders", []byte("b"))); err != nil {
		fmt.Println(err)
	}
	// Output: orders SEND_OK <nil>
}

func ExampleProducer_Request() {
	p, err := producer.New(newDriver(), "asking_group")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// The consumer's handler calls p.Reply(ctx, message.DeliveryFrom(ctx), answer).
	reply, err := p.Request(ctx, message.New("prices", []byte("EURUSD")))
	if errors.Is(err, producer.ErrNoReply) {
		fmt.Println("nobody has answered:", err)
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(reply.Body))
}
