package native

import (
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

func TestReceivesWhatIsStored(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		q := message.Queue{Topic: "orders", Broker: "a"}
		b := c.brokers["a"]
		b.produce(q, 100)
		sink := acking()
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		pass(2 * time.Second)
		if got := len(sink.all()); got != 100 {
			t.Fatalf("received %d of 100\n%s", got, c.logs)
		}
		pass(6 * time.Second)
		if got := b.committed("group", q); got != 100 {
			t.Errorf("committed %d, want 100", got)
		}
	})
}
