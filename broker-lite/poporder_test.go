package brokerlite

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// orderly is popping in order, two messages at most.
func orderly(topic, attempt string) *protocol.PopRequest {
	h := popping(topic)
	h.Order, h.AttemptID, h.MaxMessages = true, attempt, 2
	return h
}

func TestAnOrderlyPopLocksItsQueueUntilAllIsAcknowledged(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		for i := range 5 {
			c.send(sending("orders"), fmt.Sprint(i))
		}
		expect := func(attempt, counts string, want ...string) popped {
			t.Helper()
			synctest.Wait()
			p := c.pop(orderly("orders", attempt))
			if diff := cmp.Diff(append([]string{}, want...), p.bodies()); diff != "" {
				t.Errorf("popped (-want +got):\n%s", diff)
			}
			if len(want) > 0 && (p.ReviveQueueID != 999 || p.OrderCounts != counts) {
				t.Errorf("reviveQid %d, orderCountInfo %q, want %q", p.ReviveQueueID, p.OrderCounts, counts)
			}
			return p
		}
		p := expect("", "0 0 0", "0", "1")
		expect("", "")
		c.ack("orders", p.receipts[1]) // the second first
		expect("", "")
		c.ack("orders", p.receipts[0])
		p = expect("attempt", "0 0 0", "2", "3")
		expect("other attempt", "")
		p = expect("attempt", "0 0 0", "2", "3") // its answer was lost
		c.ack("orders", p.receipts[0])
		time.Sleep(59_999 * time.Millisecond)
		expect("", "")
		time.Sleep(time.Millisecond)
		stale := p
		p = expect("", "0 qo0%3 1;0 0 0", "3", "4") // from the first that is not acknowledged
		c.ack("orders", stale.receipts...)          // of no use
		expect("", "")

		until := c.hide("orders", p.receipts[0], 90*time.Second)
		if until.PopTime != p.PopTime || until.InvisibleTime != 90_000 {
			t.Errorf("the new receipt is %v", until)
		}
		c.hide("orders", p.receipts[1], time.Second)
		time.Sleep(89_999 * time.Millisecond)
		expect("", "")
		time.Sleep(time.Millisecond)
		p = expect("", "0 qo0%3 2;0 qo0%4 1;0 0 1", "3", "4")
		c.ack("orders", p.receipts...)
		time.Sleep(time.Second)
		if n := c.consumerOffset("orders", 0); n != 5 {
			t.Errorf("the consumer offset is %d", n)
		}
		wrong := p.receipts[1]
		p.receipts[1].Offset = 5
		if resp := c.call(protocol.AckMessage, acking("orders", wrong), nil); resp.Code != protocol.Success {
			t.Errorf("an old acknowledgement: %s", protocol.ResponseName(resp.Code))
		}
		if list := c.messages("%RETRY%group_orders", 0); len(list) != 0 {
			t.Errorf("%d messages are in the retry topic", len(list))
		}
	})
}

func TestAnOrderlyPopWaitsForTheLock(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		for i := range 4 {
			c.send(sending("orders"), fmt.Sprint(i))
		}
		p := c.pop(orderly("orders", ""))
		done := make(chan popped, 1)
		d := dial(t, b)
		wait := func() {
			h := orderly("orders", "")
			h.PollTime = 120_000
			go func() { done <- d.pop(h) }()
			synctest.Wait()
		}
		wait()
		begun := time.Now()
		c.ack("orders", p.receipts[0])
		time.Sleep(time.Second)
		c.ack("orders", p.receipts[1])
		synctest.Wait()
		if len(done) != 1 {
			t.Fatal("an acknowledgement does not wake")
		}
		if p = <-done; p.bodies()[0] != "2" || time.Since(begun) != time.Second {
			t.Errorf("%v after %v", p.bodies(), time.Since(begun))
		}
		wait()
		if p = <-done; p.bodies()[0] != "2" || time.Since(begun) != 61*time.Second {
			t.Errorf("%v after %v", p.bodies(), time.Since(begun))
		}
	})
}

func TestAnOrderlyLockSurvivesARestart(t *testing.T) {
	for _, how := range []string{"stop", "kill"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRestart(t)
				c := dial(t, r.b)
				c.createTopic("orders", 1)
				for i := range 4 {
					c.send(sending("orders"), fmt.Sprint(i))
				}
				p := c.pop(orderly("orders", "x"))
				c.ack("orders", p.receipts[0])
				time.Sleep(30 * time.Second)
				c = r.again(how)
				if p := c.pop(orderly("orders", "")); len(p.records) != 0 {
					t.Errorf("popped %v", p.bodies())
				}
				time.Sleep(30 * time.Second)
				synctest.Wait()
				p = c.pop(orderly("orders", ""))
				if diff := cmp.Diff([]string{"1", "2"}, p.bodies()); diff != "" || p.OrderCounts != "0 qo0%1 1;0 0 0" {
					t.Errorf("%s, orderCountInfo %q", diff, p.OrderCounts)
				}
				c.ack("orders", p.receipts...)
			})
		})
	}
}
