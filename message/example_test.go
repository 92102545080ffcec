package message_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/rocketkit/rocketkit/message"
)

// A handler reads what it needs to know about its message; a test that calls the
// handler itself puts the message there.
func ExampleDeliveryFrom() {
	handle := func(ctx context.Context, order string) error {
		d := message.DeliveryFrom(ctx)
		fmt.Println(order, d.Tag, "failed", d.ReconsumeTimes, "times")
		return nil
	}
	ctx := message.WithDelivery(context.Background(), &message.Delivery{ID: "1", Topic: "orders", Tag: "paid", ReconsumeTimes: 2})
	fmt.Println(handle(ctx, "order 17"))
	// Output:
	// order 17 paid failed 2 times
	// <nil>
}

// The steps of one order go to one queue.
func ExampleShardingKey() {
	for _, step := range []string{"created", "paid"} {
		m := message.New("orders", []byte(step), message.ShardingKey("order 17"))
		fmt.Println(string(m.Body), "by", m.ShardingKey)
	}
	// Output:
	// created by order 17
	// paid by order 17
}

func ExampleBrokerError() {
	err := fmt.Errorf("pay: %w", &message.BrokerError{
		Code: 16, Name: "NO_PERMISSION", Remark: "the broker is read only", Broker: "broker-a", Addr: "127.0.0.1:10911", Op: "send to topic orders",
	})
	var refused *message.BrokerError
	if errors.As(err, &refused) {
		fmt.Println(refused.Name, refused.Broker, message.SafeToRetry(err))
	}
	// Output: NO_PERMISSION broker-a true
}

func ExampleCheckTopic() {
	fmt.Println(message.CheckTopic("orders"))
	fmt.Println(errors.Is(message.CheckTopic("orders paid"), message.ErrInvalidTopic))
	fmt.Println(message.RetryTopic("pay_group"), message.DLQTopic("pay_group"))
	// Output:
	// <nil>
	// true
	// %RETRY%pay_group %DLQ%pay_group
}
