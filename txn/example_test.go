package txn_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/txn"
)

// accounts stands for the application's database.
type accounts struct{}

func (accounts) Pay(context.Context, string) error              { return nil }
func (accounts) Status(context.Context, string) (string, error) { return "paid", nil }

var errNoMoney = errors.New("no money")

func ExampleKind_Send() {
	ctx, db := context.Background(), accounts{}
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	paid := txn.NewKind("order-paid", "orders", func(ctx context.Context, d *message.Delivery) error {
		switch status, err := db.Status(ctx, d.Keys()[0]); {
		case err != nil:
			return err // not known: the broker asks again
		case status != "paid":
			return txn.Abort(nil)
		}
		return nil
	})
	producer, err := client.NewProducer("pay_group", txn.Kinds(paid))
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := paid.Send(ctx, producer, message.New("orders", []byte("paid"), message.Key("1234")),
		func(ctx context.Context, _ message.SendResult) error {
			err := db.Pay(ctx, "1234")
			if errors.Is(err, errNoMoney) {
				return txn.Abort(err) // certain that nothing happened
			}
			return err
		})
	fmt.Println(res.Decision, err)
}

// The check of a kind can take the message's value, and its topic be configured.
func ExampleNewKindOf() {
	type order struct{ ID string }
	db := accounts{}
	check := func(ctx context.Context, o order) error {
		switch status, err := db.Status(ctx, o.ID); {
		case err != nil:
			return err // not known: the broker asks again
		case status != "paid":
			return txn.Abort(nil)
		}
		return nil
	}
	lookup := map[string]string{"orders.topic": "orders_eu"} // as config/load's Lookup finds it
	paid := txn.NewKindOf("order-paid", "${orders.topic:orders}", check, txn.Placeholders(func(key string) (string, bool) {
		value, ok := lookup[key]
		return value, ok
	}))
	fmt.Println(paid.Topic()) // for message.New
	// Output: orders_eu
}
