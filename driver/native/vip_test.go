package native

import (
	"context"
	"testing"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

func TestMessagesGoByTheVIPChannelAndNothingElse(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		cl := newCluster(t, "a") // 10.0.0.1:10911
		cl.addTopic("orders", 1)
		vip := cl.newBroker("a", "10.0.0.1:10909", protocol.VersionV5_4_0)
		c := cl.open(func(cfg *driver.Config) { cfg.VIPChannel = true })
		s := newSender(t, c)
		if _, err := s.sendTest(t, outgoing(s, "orders", "body")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.SendTx(t.Context(), message.Queue{}, outgoing(s, "orders", "half"), func(context.Context, driver.Receipt) driver.TxState { return driver.TxCommit }); err != nil {
			t.Fatal(err)
		}
		if err := s.Probe(t.Context(), orders0); err != nil {
			t.Error(err)
		}
		subscribe(t, c, &collector{}, driver.SubscriptionConfig{}, "orders")
		pass(2 * defaultInterval)
		want := map[protocol.Code][2]bool{ // at the broker's own port, at the other
			protocol.SendMessageV2: {false, true}, protocol.EndTransaction: {false, true},
			protocol.PullMessage: {true, false}, protocol.GetMaxOffset: {true, false}, protocol.Heartbeat: {true, true},
		}
		for code, at := range want {
			if got := [2]bool{len(cl.brokers["a"].requests(code)) > 0, len(vip.requests(code)) > 0}; got != at {
				t.Errorf("%s: %v, want %v", protocol.RequestName(code), got, at)
			}
		}
		before := len(vip.requests(protocol.Heartbeat))
		pass(2 * defaultInterval)
		if n := len(vip.requests(protocol.Heartbeat)) - before; n < 2 {
			t.Errorf("%d heartbeats by the VIP channel in two intervals", n)
		}
	})
}

func TestAddressesOfTheVIPChannel(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{"10.0.0.1:10911": "10.0.0.1:10909", "[::1]:10911": "[::1]:10909", "a:3": "a:1", "a:2": "", "a:x": "", "a": ""} {
		if got := vipAddr(addr); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}
