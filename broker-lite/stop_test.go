package brokerlite

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// A server that stops while much falls due does not deliver all of it first: the next
// one does the rest, once.
func TestAStopDoesNotWaitForAllThatIsDue(t *testing.T) {
	const n = 1500
	for name, due := range map[string]func(c *client, i int64){
		"delay levels": func(c *client, i int64) { c.send(sending("orders", "DELAY", "5"), itoa(i)) },
		"invisible": func(c *client, i int64) {
			c.send(sending("orders"), itoa(i))
			c.pop(popping("orders"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk, net := newStallingDisk(), NewNetwork()
				open := func() (*Broker, *client) {
					b := start(t, withFiles(disk.fs), VirtualNetwork(net))
					return b, dial(t, b)
				}
				b, c := open()
				t.Cleanup(disk.resume)
				c.createTopic("orders", 1)
				for i := range int64(n) {
					due(c, i)
				}
				time.Sleep(50 * time.Second)
				disk.stall()
				time.Sleep(11 * time.Second) // a turn's writes
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					stop(t, b)
				}()
				synctest.Wait()
				disk.resume()
				<-ended

				topic := "orders"
				if name == "invisible" {
					topic = protocol.PopRetryTopic("orders", "group", false)
				}
				time.Sleep(time.Second)
				reopened, before := time.Now().UnixMilli(), 0
				_, c = open()
				time.Sleep(time.Minute)
				list := c.messages(topic, 0)
				for _, m := range list {
					if m.StoreTimestamp < reopened {
						before++
					}
				}
				got := bodies(list)
				all := len(got)
				slices.Sort(got)
				if got = slices.Compact(got); len(got) != n || all != n {
					t.Errorf("%d messages, %d distinct, want %d", all, len(got), n)
				}
				if before == n {
					t.Error("all was delivered before the server stopped")
				}
			})
		})
	}
}
