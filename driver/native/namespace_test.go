package native

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// Whatever is asked of name servers and brokers, no name travels without its namespace.
func TestNoNameTravelsWithoutItsNamespace(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		cl := newCluster(t, "a")
		cl.addTopic("shop%orders", 1)
		cl.addRetryTopic("shop%pay", "a")
		c := cl.open(func(cfg *driver.Config) { cfg.Namespace = "shop" })
		s := newSender(t, c)
		for _, act := range []driver.Verdict{{}, {Action: driver.ActionDeadLetter}, {Delay: 7 * time.Second}} {
			sink := &collector{handle: func(d delivery) { d.settle(act) }}
			sub := subscribe(t, c, sink, driver.SubscriptionConfig{Group: "pay", From: driver.FromFirst}, "orders")
			if _, err := s.sendTest(t, outgoing(s, "orders", "body")); err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.SendTx(t.Context(), message.Queue{}, outgoing(s, "orders", "half"), func(context.Context, driver.Receipt) driver.TxState { return driver.TxCommit }); err != nil {
				t.Fatal(err)
			}
			pass(10 * time.Second)
			if err := sub.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		}
		b := cl.brokers["a"]
		for _, code := range []protocol.Code{protocol.SendMessageV2, protocol.EndTransaction, protocol.SendMessageBack, protocol.PullMessage, protocol.UpdateConsumerOffset, protocol.Heartbeat, protocol.UnregisterClient} {
			if len(b.requests(code)) == 0 {
				t.Errorf("%s was not asked for", protocol.RequestName(code))
			}
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, r := range b.log {
			for field, value := range r.fields {
				switch value {
				case "orders", "producers", "pay", message.RetryTopic("pay"):
					t.Errorf("%s: %s is %q", protocol.RequestName(r.code), field, value)
				}
			}
			for _, name := range []string{`"orders"`, `"pay"`, `"producers"`, `"%RETRY%pay"`} {
				if bytes.Contains(r.body, []byte(name)) {
					t.Errorf("%s: the body has %s: %s", protocol.RequestName(r.code), name, r.body)
				}
			}
		}
		for line := range strings.Lines(cl.logs.String()) { // what is logged is for people, who know their own names
			if strings.Contains(line, "shop%") {
				t.Errorf("logged: %s", line)
			}
		}
		for _, topic := range cl.asked {
			if topic != protocol.DefaultTopic && message.WithNamespace("shop", topic) != topic {
				t.Errorf("the name server was asked for %q", topic)
			}
		}
	})
}
