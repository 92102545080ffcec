package delay_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
)

// An order that is not paid within 30 minutes is closed; one that is paid calls its
// time-out back.
func ExampleSchedule() {
	ctx := context.Background()
	server, err := brokerlite.Start(ctx, brokerlite.InMemory())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close(ctx)
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: server.NameServers()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	producer, err := client.NewProducer("orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	timeout, err := delay.Schedule(ctx, producer, message.New("order_timeout", []byte("order 17")), delay.After(30*time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	// … the payment arrives:
	switch err := delay.Cancel(ctx, producer, timeout); {
	case err == nil:
		fmt.Println("called back")
	case errors.Is(err, message.ErrTooLate):
		fmt.Println("the handler has it already")
	default:
		fmt.Println(err)
	}
	// Output: called back
}
