package native

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

var orders0 = message.Queue{Topic: "orders", Broker: "a"}
var orders1 = message.Queue{Topic: "orders", Broker: "a", ID: 1}

func TestReceivesInOrderAndCommits(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.produce(orders0, 100)
		sink := acking()
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		pass(2 * time.Second)
		got := sink.all()
		if len(got) != 100 {
			t.Fatalf("received %d of 100\n%s", len(got), c.logs)
		}
		for i, d := range got {
			if string(d.Body) != fmt.Sprint(i) || d.QueueOffset != int64(i) || d.Queue != orders0 || d.Group != "group" || d.Topic != "orders" {
				t.Errorf("message %d: %+v", i, d.Delivery)
			}
		}
		b.produce(orders0, 1)
		synctest.Wait()
		if n := len(sink.all()); n != 101 {
			t.Error("a new message did not end the long poll")
		}
		pass(6 * time.Second)
		if got := b.committed("group", orders0); got != 101 {
			t.Errorf("committed %d, want 101", got)
		}
	})
}

func TestBeginsWhereRocketMQBegins(t *testing.T) {
	retry := message.Queue{Topic: message.RetryTopic("group"), Broker: "a"}
	tests := []struct {
		name   string
		from   driver.From
		stored int64 // the group's offset, -1 for none
		want   int   // messages of the 10 before the start, and 1 retried
	}{
		{"first, a new group", driver.FromFirst, -1, 11},
		{"last, a new group: retried messages are never passed over", driver.FromLast, -1, 1},
		{"first, a known group goes on", driver.FromFirst, 7, 4},
		{"last, a known group goes on", driver.FromLast, 7, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCluster(t, "a")
				c.addTopic("orders", 1)
				b := c.brokers["a"]
				b.produce(orders0, 10)
				b.put(retry, protocol.Record{Body: []byte("again"), ReconsumeTimes: 1, Properties: props("RETRY_TOPIC=orders;UNIQ_KEY=R;")})
				if tt.stored >= 0 {
					b.setOffset("group", orders0, tt.stored)
				}
				sink := acking()
				subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: tt.from}, "orders")
				pass(10 * time.Second)
				if n := len(sink.all()); n != tt.want {
					t.Errorf("received %d, want %d", n, tt.want)
				}
				b.produce(orders0, 1)
				synctest.Wait()
				if n := len(sink.all()); n != tt.want+1 {
					t.Errorf("received %d after one more, want %d", n, tt.want+1)
				}
				pass(6 * time.Second)
				if got := b.committed("group", orders0); got != 11 {
					t.Errorf("committed %d, want 11", got)
				}
			})
		})
	}
}

// A queue that moves to another member takes nothing of the others' progress
// with it, and the other member goes on where this one was.
func TestFault1GivingUpAQueueKeepsEveryOffset(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 2)
		b := c.brokers["a"]
		b.produce(orders0, 10)
		b.produce(orders1, 20)
		cfg := driver.SubscriptionConfig{From: driver.FromFirst, CommitInterval: time.Hour}
		first := acking()
		member := subscribe(t, c.open(instance("1")), first, cfg, "orders")
		pass(3 * time.Second)
		if n := len(first.all()); n != 30 {
			t.Fatalf("the first member received %d", n)
		}

		second := acking()
		subscribe(t, c.open(instance("2")), second, cfg, "orders")
		pass(2 * time.Second)
		if got := b.committed("group", orders1); got != 20 {
			t.Errorf("the queue that was given up: committed %d, want its 20", got)
		}
		b.produce(orders0, 5)
		b.produce(orders1, 5)
		pass(time.Second)
		if n := len(second.all()); n != 5 || second.all()[0].Queue != orders1 {
			t.Errorf("the second member received %d, want the 5 new ones of its queue", n)
		}
		if n := len(first.all()); n != 35 {
			t.Errorf("the first member received %d, want 35", n)
		}
		for _, r := range b.requests(protocol.UpdateConsumerOffset) {
			if r.fields["queueId"] == "0" && r.fields["commitOffset"] < "10" {
				t.Errorf("the queue that was kept went back: %v", r.fields)
			}
		}
		if err := member.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if got := b.committed("group", orders0); got != 15 {
			t.Errorf("the queue that was kept: committed %d, want its 15", got)
		}
	})
}

func TestNothingOfARevokedQueueCounts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 2)
		b := c.brokers["a"]
		b.produce(orders1, 4)
		sink := &collector{}
		cl := c.open(instance("1"))
		subscribe(t, cl, sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		pass(2 * time.Second)
		got := sink.all()
		if len(got) != 4 {
			t.Fatalf("received %d", len(got))
		}
		got[0].ack()
		synctest.Wait()
		b.join("group", cl.id+"x") // sorts after this client: takes queue 1
		synctest.Wait()
		if got[1].ctx.Err() == nil {
			t.Error("the handlers' ctx goes on")
		}
		if o := b.committed("group", orders1); o != 1 {
			t.Errorf("committed %d, want the 1 that was settled before", o)
		}
		for _, d := range got[1:] {
			d.ack()
		}
		got[1].settle(driver.Verdict{}) // and a retry
		pass(time.Minute)
		if o := b.committed("group", orders1); o != 1 {
			t.Errorf("committed %d after the queue was given up", o)
		}
		if n := len(b.requests(protocol.SendMessageBack)); n != 0 {
			t.Errorf("%d messages were sent back after the queue was given up", n)
		}
	})
}

func TestFault6ASlowHandlerKeepsItsQueue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.produce(orders0, 3)
		sink := &collector{}
		// Three are all that it takes at a time: while the first is at work it does not pull.
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst, MaxUnsettled: 3}, "orders")
		pass(2 * time.Second)
		got := sink.all()
		got[1].ack()
		got[2].ack()
		pass(time.Hour)
		if n := len(sink.all()); n != 3 {
			t.Errorf("%d deliveries, want 3: nothing was delivered again", n)
		}
		if got[0].ctx.Err() != nil {
			t.Error("the slow handler's ctx has ended")
		}
		if o := b.committed("group", orders0); o > 0 {
			t.Errorf("committed %d past the slow message", o)
		}
		got[0].ack()
		pass(6 * time.Second)
		if o := b.committed("group", orders0); o != 3 {
			t.Errorf("committed %d, want 3", o)
		}
	})
}

func TestFault13FlowControlStaysAsConfigured(t *testing.T) {
	tests := []struct {
		name  string
		cfg   driver.SubscriptionConfig
		limit int // messages out at once
	}{
		{"by count", driver.SubscriptionConfig{MaxUnsettled: 50, PullBatch: 10}, 50},
		{"by count, below a batch", driver.SubscriptionConfig{MaxUnsettled: 3}, 3},
		// A pull more than the limit: 10 messages of about 1 KiB.
		{"by size", driver.SubscriptionConfig{MaxUnsettledBytes: 20 << 10, PullBatch: 10}, 30},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCluster(t, "a")
				c.addTopic("orders", 2)
				b := c.brokers["a"]
				for range 200 {
					b.put(orders0, protocol.Record{Body: []byte(strings.Repeat("x", 1024))})
				}
				sink := &collector{}
				tt.cfg.From = driver.FromFirst
				cl := c.open()
				subscribe(t, cl, sink, tt.cfg, "orders")
				pass(2 * time.Second)
				if n := len(sink.all()); n == 0 || n > tt.limit {
					t.Fatalf("%d messages out, at most %d", n, tt.limit)
				}
				// Others come and go: the queues are shared anew.
				b.join("group", cl.id+"x")
				pass(time.Minute)
				if n := len(sink.all()); n > tt.limit {
					t.Errorf("%d messages out after a rebalance, at most %d", n, tt.limit)
				}
				settled := 0
				for settled < 200 {
					got := sink.all()
					if out := len(got) - settled; out > tt.limit {
						t.Fatalf("%d messages out, at most %d", out, tt.limit)
					}
					if settled == len(got) {
						t.Fatalf("no message came after %d", settled)
					}
					got[settled].ack()
					settled++
					synctest.Wait()
				}
			})
		})
	}
}

func TestFlowControlBySpan(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		c.brokers["a"].produce(orders0, 1000)
		sink := &collector{handle: func(d delivery) {
			if d.QueueOffset != 0 {
				d.ack()
			}
		}}
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst, MaxSpan: 100, PullBatch: 10}, "orders")
		pass(time.Minute)
		if n := len(sink.all()); n < 100 || n > 110 {
			t.Errorf("%d delivered while the first is unsettled, want about 100", n)
		}
		sink.all()[0].ack()
		pass(time.Second)
		if n := len(sink.all()); n != 1000 {
			t.Errorf("%d delivered, want all", n)
		}
	})
}

func TestFault19StartsBeforeItsTopicAndItsNameServer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		b := c.brokers["a"]
		c.net.Cut(nameServer)
		sink := acking()
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		pass(time.Minute)
		c.net.Restore(nameServer)
		pass(time.Minute)
		c.addTopic("orders", 1)
		b.produce(orders0, 1)
		pass(6 * time.Second)
		if n := len(sink.all()); n != 1 {
			t.Fatalf("received %d within seconds of the topic's birth\n%s", n, c.logs)
		}
	})
}

func TestTakesExactlyTheTagsAskedFor(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		// "Aa" and "BB" have the same hash, so that a broker lets both pass.
		for _, tag := range []string{"Aa", "BB", "c", ""} {
			b.put(orders0, protocol.Record{Body: []byte(tag + "!"), Properties: protocol.AppendProperty(nil, protocol.PropTags, tag)})
		}
		sink := acking()
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{
			From: driver.FromFirst, Topics: []driver.TopicFilter{{Topic: "orders", Expression: "Aa || c"}},
		})
		pass(10 * time.Second)
		var got []string
		for _, d := range sink.all() {
			got = append(got, d.Tag)
		}
		if diff := cmp.Diff([]string{"Aa", "c"}, got); diff != "" {
			t.Error(diff)
		}
		if o := b.committed("group", orders0); o != 4 {
			t.Errorf("committed %d, want past what was filtered out", o)
		}
	})
}

func TestMembersShareTheQueuesAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		c.addTopic("orders", 4)
		cfg := driver.SubscriptionConfig{From: driver.FromFirst}
		var sinks []*collector
		var subs []*subscription
		owners := func() (n []int) {
			before := make([]int, len(sinks))
			for i, s := range sinks {
				before[i] = len(s.all())
			}
			for _, name := range []string{"a", "b"} {
				for id := range 4 {
					c.brokers[name].produce(message.Queue{Topic: "orders", Broker: name, ID: id}, 1)
				}
			}
			pass(time.Second)
			for i, s := range sinks {
				n = append(n, len(s.all())-before[i])
			}
			return n
		}
		for i := range 3 {
			sinks = append(sinks, acking())
			subs = append(subs, subscribe(t, c.open(instance(fmt.Sprint(i))), sinks[i], cfg, "orders"))
			pass(2 * time.Second)
		}
		if diff := cmp.Diff([]int{3, 3, 2}, owners()); diff != "" {
			t.Errorf("three members: %s", diff)
		}
		if err := subs[0].Drain(t.Context()); err != nil {
			t.Error(err)
		}
		// No code 40: the timer does it.
		pass(shareInterval)
		if diff := cmp.Diff([]int{0, 4, 4}, owners()); diff != "" {
			t.Errorf("after one left: %s", diff)
		}
	})
}

func TestKeepsItsQueuesWhileABrokerDoesNotListIt(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		sink := acking()
		cl := c.open()
		subscribe(t, cl, sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		pass(2 * time.Second)
		beats := len(b.requests(protocol.Heartbeat))
		b.mu.Lock()
		delete(b.members["group"], cl.id)
		b.members["group"]["other"] = nil
		b.mu.Unlock()
		pass(shareInterval)
		if n := len(b.requests(protocol.Heartbeat)); n == beats {
			t.Error("the broker was not told again")
		}
		b.mu.Lock()
		delete(b.members["group"], "other")
		b.mu.Unlock()
		b.produce(orders0, 1)
		pass(time.Second)
		if n := len(sink.all()); n != 1 {
			t.Errorf("received %d", n)
		}
	})
}

func TestASecondMembershipOfOneClientIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		cl := c.open()
		subscribe(t, cl, acking(), driver.SubscriptionConfig{}, "orders")
		s, err := cl.NewSubscription(driver.SubscriptionConfig{Group: "group", Topics: []driver.TopicFilter{{Topic: "orders"}}}, acking())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err == nil {
			t.Error("two members of one group in one client")
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestRefusesSubscriptionsThatCannotWork(t *testing.T) {
	t.Parallel()
	topic := func(name, expr string) driver.TopicFilter { return driver.TopicFilter{Topic: name, Expression: expr} }
	tests := []struct {
		name string
		cfg  driver.SubscriptionConfig
	}{
		{"no topics", driver.SubscriptionConfig{Group: "g"}},
		{"no group", driver.SubscriptionConfig{Topics: []driver.TopicFilter{topic("t", "")}}},
		{"a topic twice", driver.SubscriptionConfig{Group: "g", Topics: []driver.TopicFilter{topic("t", "a"), topic("t", "b")}}},
		{"an impossible topic", driver.SubscriptionConfig{Group: "g", Topics: []driver.TopicFilter{topic("a b", "")}}},
		{"an expression without a tag", driver.SubscriptionConfig{Group: "g", Topics: []driver.TopicFilter{topic("t", "||")}}},
		{"an SQL92 expression of nothing", sqlConfig("")},
		{"an unknown expression type", driver.SubscriptionConfig{Group: "g", Topics: []driver.TopicFilter{{Topic: "t", Type: "XPATH"}}}},
	}
	c := newCluster(t).open()
	for _, tt := range tests {
		if _, err := c.NewSubscription(tt.cfg, acking()); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}
