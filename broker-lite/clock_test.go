package brokerlite

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAManualClockMovesDelaysTimersAndChecks runs outside of a bubble: years pass
// by hand.
func TestAManualClockMovesDelaysTimersAndChecks(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC)
	clk := NewManualClock(begun)
	b := start(t, InMemory(), WithClock(clk))
	c := dial(t, b)
	c.createTopic("orders", 1)
	year := 365 * 24 * time.Hour
	c.send(sending("orders", "TIMER_DELIVER_MS", itoa(begun.Add(30*year).UnixMilli())), "30 years")
	c.send(sending("orders", "TIMER_DELAY_MS", "1"), "1 ms")
	c.send(sending("orders", "DELAY", "18"), "2 h")
	c.send(sending("orders", "DELAY", "1"), "1 s")
	c.send(sending("orders"), "at once")
	expect := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, bodies(c.messages("orders", 0))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	expect("at once")
	clk.Advance(time.Millisecond)
	expect("at once", "1 ms")
	clk.Advance(998 * time.Millisecond)
	expect("at once", "1 ms")
	clk.Advance(time.Millisecond)
	expect("at once", "1 ms", "1 s")
	clk.Advance(10 * year)
	expect("at once", "1 ms", "1 s", "2 h")
	clk.Advance(20*year - time.Second - time.Millisecond)
	expect("at once", "1 ms", "1 s", "2 h")
	clk.Advance(time.Millisecond)
	expect("at once", "1 ms", "1 s", "2 h", "30 years")
	for _, r := range c.messages("orders", 0) {
		want := map[string]time.Duration{"1 ms": time.Millisecond, "1 s": time.Second, "2 h": 2 * time.Hour, "30 years": 30 * year}[string(r.Body)]
		if got := time.UnixMilli(r.StoreTimestamp).Sub(begun); got != want {
			t.Errorf("%s was delivered after %v", r.Body, got)
		}
	}

	c.heartbeat("me", "producers", "")
	half := c.send(sending("orders", "TRAN_MSG", "true", "PGROUP", "producers"), "half")
	clk.Advance(40 * time.Second)
	h := pulling("RMQ_SYS_TRANS_HALF_TOPIC", half.QueueOffset+1, "*")
	if p := c.pull(h); len(p.records) != 1 || prop(p.records[0], "TRANSACTION_CHECK_TIMES") != "1" {
		t.Errorf("%d half messages were checked", len(p.records))
	}
}

func TestAdvanceDeliversInTheOrderOfTheMoments(t *testing.T) {
	t.Parallel()
	clk := NewManualClock(time.Now())
	b := start(t, InMemory(), WithClock(clk))
	c := dial(t, b)
	c.createTopic("orders", 1)
	var want []string
	for i := range 300 {
		ms := (i*7919)%10_000 + 1
		c.send(sending("orders", "TIMER_DELAY_MS", fmt.Sprint(ms)), fmt.Sprintf("%05d", ms))
	}
	for level, ms := range []int{1000, 5000, 10000} {
		c.send(sending("orders", "DELAY", fmt.Sprint(level+1)), fmt.Sprintf("%05d", ms))
	}
	clk.Advance(time.Minute)
	last := int64(0)
	list := c.messages("orders", 0)
	for _, r := range list {
		want = append(want, string(r.Body))
		if r.StoreTimestamp < last {
			t.Errorf("%s was delivered before one that was due earlier", r.Body)
		}
		last = r.StoreTimestamp
	}
	if len(list) != 303 {
		t.Errorf("%d of 303 messages", len(list))
	}
	for i := 1; i < len(want); i++ {
		if want[i] < want[i-1] {
			t.Errorf("%s came after %s", want[i], want[i-1])
		}
	}
}

func TestTwoBrokersShareAManualClock(t *testing.T) {
	t.Parallel()
	clk := NewManualClock(time.Now())
	var clients []*client
	for range 2 {
		c := dial(t, start(t, InMemory(), WithClock(clk)))
		c.createTopic("orders", 1)
		c.send(sending("orders", "DELAY", "2"), "x")
		clients = append(clients, c)
	}
	clk.Advance(5 * time.Second)
	for _, c := range clients {
		if n := len(c.messages("orders", 0)); n != 1 {
			t.Errorf("%d messages", n)
		}
	}
}
