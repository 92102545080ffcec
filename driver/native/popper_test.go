package native

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// The first request to the old address fails, and has the route looked up.
func TestSingleRequestsFindABrokerThatMoved(t *testing.T) {
	orders := driver.TopicFilter{Topic: "orders"}
	for name, ask := range map[string]func(context.Context, *client) error{
		"pull": func(ctx context.Context, c *client) error {
			_, err := c.Pull(ctx, driver.PullRequest{Group: "group", Queue: orders0, Filter: orders, Max: 1})
			return err
		},
		"pop": func(ctx context.Context, c *client) error {
			_, err := c.Pop(ctx, driver.PopRequest{Group: "group", Filter: orders, Broker: "a", Max: 1, Invisible: time.Minute})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCluster(t, "a")
				c.addTopic("orders", 1)
				old := c.brokers["a"]
				old.refuse(protocol.PopMessage, protocol.PollingTimeout) // nothing came
				cl := c.open()
				if err := ask(t.Context(), cl); err != nil {
					t.Fatal(err)
				}
				c.net.Cut(old.addr)
				c.startBroker("a", "10.0.0.7:10911", protocol.VersionV5_4_0).refuse(protocol.PopMessage, protocol.PollingTimeout)
				if err := ask(t.Context(), cl); !errors.Is(err, message.ErrUnreachable) {
					t.Errorf("at the old address: %v, want ErrUnreachable", err)
				}
				pass(time.Second)
				if err := ask(t.Context(), cl); err != nil {
					t.Errorf("a second later: %v", err)
				}
			})
		})
	}
}

// The broker that takes a message at once may give it to another one a second after the
// begin of that millisecond: who has it still must not believe that it is hidden.
func TestAMessageIsNotTakenForHiddenAfterTheBrokersMillisecond(t *testing.T) {
	t.Parallel()
	begin := time.UnixMilli(1_800_000_000_000)
	for _, into := range []time.Duration{0, time.Nanosecond, time.Millisecond - 1} {
		if until := hiddenUntil(begin.Add(into), time.Second); until.After(begin.Add(time.Second)) {
			t.Errorf("asked %s into it: hidden until %s after it began", into, until.Sub(begin))
		}
	}
}
