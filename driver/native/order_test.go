package native

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

func orderedConfig() driver.SubscriptionConfig {
	return driver.SubscriptionConfig{From: driver.FromFirst, Ordered: true}
}

// story is what a sink got: bodies with their attempts.
func (c *collector) story() string {
	var words []string
	for _, d := range c.all() {
		words = append(words, fmt.Sprintf("%s/%d", d.Body, d.ReconsumeTimes))
	}
	return strings.Join(words, " ")
}

func TestFault2AFailedOrderedMessageKeepsItsPlace(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, _ := orderedCluster(t, 1)
		b.produce(orders0, 4)
		sink := &collector{handle: func(d delivery) {
			if string(d.Body) == "1" && d.ReconsumeTimes < 2 {
				d.settle(driver.Verdict{})
				return
			}
			d.ack()
		}}
		s := subscribe(t, c.open(), sink, orderedConfig(), "orders")
		pass(900 * time.Millisecond)
		if got, want := sink.story(), "0/0 1/0"; got != want {
			t.Errorf("before the suspension is over: %s, want %s", got, want)
		}
		pass(10 * time.Second)
		if got, want := sink.story(), "0/0 1/0 1/1 1/2 2/0 3/0"; got != want {
			t.Fatalf("%s, want %s\n%s", got, want, c.logs)
		}
		got := sink.all()
		for i := 2; i < 4; i++ {
			if gap := got[i].at.Sub(got[i-1].at); gap != time.Second {
				t.Errorf("attempt %d came %s after the one before, want 1s", i, gap)
			}
		}
		if err := s.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if n := b.committed("group", orders0); n != 4 {
			t.Errorf("committed %d, want 4", n)
		}
		if rs := b.requests(protocol.SendMessageBack); len(rs) > 0 {
			t.Errorf("%d messages were handed back", len(rs))
		}
	})
}

func TestTheOffsetDoesNotPassAnOrderedMessageThatFails(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, l := orderedCluster(t, 1)
		b.produce(orders0, 10)
		sink := ackingBut("3", driver.Verdict{Delay: time.Hour})
		s := subscribe(t, c.open(), sink, orderedConfig(), "orders")
		pass(time.Minute)
		if n := b.committed("group", orders0); n != 3 {
			t.Errorf("committed %d, want 3", n)
		}
		if err := s.Drain(t.Context()); err != nil { // does not wait for the hour
			t.Error(err)
		}
		if n, owner := b.committed("group", orders0), l.of(orders0); n != 3 || owner != "" {
			t.Errorf("committed %d, want 3; locked by %q", n, owner)
		}
	})
}

func TestFault4OrderedRetriesAreApartAndEndInTheDeadLetters(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, _ := orderedCluster(t, 1)
		b.produce(orders0, 2)
		sink := ackingBut("0", driver.Verdict{})
		cfg := orderedConfig()
		cfg.MaxRetries, cfg.Suspend = 3, 5*time.Second
		subscribe(t, c.open(), sink, cfg, "orders")
		pass(time.Minute)
		if got, want := sink.story(), "0/0 0/1 0/2 0/3 1/0"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		got := sink.all()
		if d := got[3].at.Sub(got[0].at); d != 15*time.Second {
			t.Errorf("three retries took %s, want 15s", d)
		}
		backs := b.requests(protocol.SendMessageBack)
		if len(backs) != 1 || backs[0].fields["delayLevel"] != "-1" {
			t.Errorf("handed back: %v, want once with level -1", backs)
		}
		if sends := b.requests(protocol.SendMessageV2); len(sends) > 0 {
			t.Errorf("%d sends; an ordered group never sends to its retry topic", len(sends))
		}
	})
}

func TestOrderedRetriesHaveNoEndUnlessToldSo(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, _ := orderedCluster(t, 1)
		b.produce(orders0, 1)
		sink := &collector{handle: func(d delivery) { d.settle(driver.Verdict{}) }}
		subscribe(t, c.open(), sink, orderedConfig(), "orders")
		pass(5 * time.Minute)
		if n := len(sink.all()); n < 290 {
			t.Errorf("%d attempts in 5 minutes", n)
		}
	})
}

func TestAnOrderedDeadLetterThatIsRefusedKeepsItsPlace(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, _ := orderedCluster(t, 1)
		b.produce(orders0, 2)
		b.refuse(protocol.SendMessageBack, protocol.SystemError)
		sink := ackingBut("0", driver.Verdict{Action: driver.ActionDeadLetter})
		subscribe(t, c.open(), sink, orderedConfig(), "orders")
		pass(time.Minute)
		if got, want := sink.story(), "0/0"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if sends := b.requests(protocol.SendMessageV2); len(sends) > 0 {
			t.Errorf("%d sends; an ordered group never sends to its retry topic", len(sends))
		}
		b.on(protocol.SendMessageBack, nil)
		pass(6 * time.Second)
		if got, want := sink.story(), "0/0 1/0"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

func TestOneMessageOfAnOrderedQueueIsOutAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, _ := orderedCluster(t, 2)
		b.produce(orders0, 3)
		b.produce(orders1, 3)
		sink := new(collector)
		subscribe(t, c.open(), sink, orderedConfig(), "orders")
		pass(time.Second)
		for i := range 3 {
			got := sink.all()
			if len(got) != 2*(i+1) {
				t.Fatalf("%d delivered, want %d: one of each queue more", len(got), 2*(i+1))
			}
			for _, d := range got[2*i:] {
				if d.QueueOffset != int64(i) {
					t.Errorf("offset %d, want %d", d.QueueOffset, i)
				}
				d.ack()
			}
			synctest.Wait()
		}
		b.produce(orders1, 2) // into a queue that was done
		synctest.Wait()
		if n := len(sink.all()); n != 7 {
			t.Fatalf("%d delivered, want 7", n)
		}
		sink.all()[6].ack()
		synctest.Wait()
		sink.all()[7].ack()
	})
}

func TestKeysAreOrderedEachForItself(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, _ := orderedCluster(t, 1)
		b.produce(orders0, 12) // keys 0 1 2 by turns
		cfg := orderedConfig()
		cfg.OrderKey = func(d *message.Delivery) string { return fmt.Sprint(d.QueueOffset % 3) }
		failing := true
		sink := &collector{handle: func(d delivery) {
			if failing && d.QueueOffset == 4 {
				d.settle(driver.Verdict{})
				return
			}
			d.ack()
		}}
		subscribe(t, c.open(), sink, cfg, "orders")
		pass(8500 * time.Millisecond)
		failing = false
		if n := b.committed("group", orders0); n != 4 {
			t.Errorf("committed %d while 4 fails, want 4", n)
		}
		byKey := func() map[int64][]int64 {
			keys := map[int64][]int64{}
			for _, d := range sink.all() {
				k := d.QueueOffset % 3
				if offsets := keys[k]; len(offsets) == 0 || offsets[len(offsets)-1] != d.QueueOffset {
					keys[k] = append(keys[k], d.QueueOffset)
				}
			}
			return keys
		}
		if diff := cmp.Diff(map[int64][]int64{0: {0, 3, 6, 9}, 1: {1, 4}, 2: {2, 5, 8, 11}}, byKey()); diff != "" {
			t.Errorf("while a key fails (-want +got)\n%s", diff)
		}
		pass(10 * time.Second)
		if diff := cmp.Diff([]int64{1, 4, 7, 10}, byKey()[1]); diff != "" {
			t.Errorf("then (-want +got)\n%s", diff)
		}
		if n := b.committed("group", orders0); n != 12 {
			t.Errorf("committed %d, want 12", n)
		}
	})
}

func TestAResetOfAnOrderedQueueWaitsForItsHandler(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, _ := orderedCluster(t, 1)
		b.produce(orders0, 5)
		sink := new(collector)
		s := subscribe(t, c.open(), sink, orderedConfig(), "orders")
		pass(time.Second)
		s.reset(map[protocol.MessageQueue]int64{wireQueue(orders0): 3})
		pass(time.Second)
		if n := len(sink.all()); n != 1 || sink.all()[0].ctx.Err() == nil {
			t.Fatalf("%d delivered at the same time, or the ctx goes on", n)
		}
		sink.all()[0].settle(driver.Verdict{})
		synctest.Wait()
		if got, want := sink.story(), "0/0 3/0"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		sink.handle = delivery.ack
		sink.all()[1].ack()
		pass(6 * time.Second)
		if n := b.committed("group", orders0); n != 5 {
			t.Errorf("committed %d, want 5", n)
		}
	})
}

// A key of an ordered topic goes nowhere else while its broker is gone.
func TestAKeyOfAnOrderedTopicWaitsForItsBroker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		c.addTopic("orders", 1, "a", "b")
		c.mu.Lock()
		c.order = map[string]string{"orders": "a:1;b:1"}
		c.mu.Unlock()
		s := newSender(t, c.open())
		qs, err := s.Queues(t.Context(), "orders")
		if err != nil || len(qs) != 2 {
			t.Fatal(qs, err)
		}
		c.addTopic("orders", 1, "a") // b is lost
		pass(time.Minute)
		again, err := s.Queues(t.Context(), "orders")
		if err != nil || !slices.Equal(again, qs) {
			t.Fatalf("queues %v, %v, want %v", again, err, qs)
		}
		if err := (<-s.startTest(t.Context(), qs[1], outgoing(s, "orders", "x"))).err; !errors.Is(err, message.ErrUnreachable) || !message.SafeToRetry(err) {
			t.Errorf("send to the broker that is gone: %v, want ErrUnreachable, safe to retry", err)
		}
	})
}
