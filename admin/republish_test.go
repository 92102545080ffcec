package admin_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/admin"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/message"
)

// Thousands of dead letters are sent back one by one: each must not cost a route.
func TestRepublishedMessagesShareARoute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := brokerlite.NewNetwork()
		b, err := brokerlite.Start(t.Context(), brokerlite.InMemory(), brokerlite.VirtualNetwork(n))
		if err != nil {
			t.Fatal(err)
		}
		lookups := 0
		c, err := admin.New(admin.Config{Dial: b.Dial, Lookup: func(context.Context) ([]string, error) {
			lookups++
			return b.NameServers(), nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CreateTopic(t.Context(), orders(2)); err != nil {
			t.Fatal(err)
		}
		d := &message.Delivery{Topic: "orders", ID: "0A", Body: []byte("x"), BornTimestamp: time.Now().UnixMilli()}
		lookups = 0
		republish := func(topic string, want int) {
			t.Helper()
			for i := range 20 {
				d.ID = fmt.Sprint("0A", i)
				if _, err := c.Republish(t.Context(), d, topic); err != nil {
					t.Fatal(err)
				}
			}
			if lookups != want {
				t.Errorf("%d look-ups after 20 messages, want %d", lookups, want)
			}
		}
		republish("orders", 1)
		<-time.After(2 * time.Second)
		republish("orders", 2)
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if _, err := c.Republish(t.Context(), d, "orders"); !errors.Is(err, message.ErrUnreachable) {
			t.Errorf("to a broker that is gone: %v", err)
		}
		if _, err := c.Republish(t.Context(), d, "orders"); !errors.Is(err, message.ErrNoNameServer) {
			t.Errorf("once more, by a new route: %v", err)
		}
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
