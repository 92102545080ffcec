package native

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

func TestPullsAgainAfterEveryRefusal(t *testing.T) {
	tests := []struct {
		code  protocol.Code
		beats bool // the broker must be told of the subscription
		asks  bool // the route must be asked for
	}{
		{protocol.SystemError, false, false},
		{protocol.SystemBusy, false, false},
		{protocol.FlowControl, false, false},
		{protocol.NoPermission, false, false},
		{protocol.TopicNotExist, false, true},
		{protocol.SubscriptionParse, false, false},
		{protocol.SubscriptionNotExist, true, false},
		{protocol.SubscriptionNotLatest, true, false},
		{protocol.GroupNotExist, false, false},
		{protocol.FilterDataNotExist, true, false},
		{protocol.FilterDataNotLatest, true, false},
		{99, false, false},
	}
	for _, tt := range tests {
		t.Run(protocol.ResponseName(tt.code), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCluster(t, "a")
				c.addTopic("orders", 1)
				b := c.brokers["a"]
				b.refuse(protocol.PullMessage, tt.code)
				sink := acking()
				subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
				pass(2 * time.Second)
				beats := len(b.requests(protocol.Heartbeat))
				c.mu.Lock()
				asked := len(c.asked)
				c.mu.Unlock()
				pass(14 * time.Second) // a broker that waits for a heartbeat is not spoken of before
				if n := len(b.requests(protocol.PullMessage)); n < 5 || n > 30 {
					t.Errorf("%d pulls of two queues in 16 s, want some, with pauses", n)
				}
				if got := len(b.requests(protocol.Heartbeat)) > beats; got != tt.beats {
					t.Errorf("heartbeat: %v, want %v", got, tt.beats)
				}
				c.mu.Lock()
				if got := len(c.asked) > asked; got != tt.asks {
					t.Errorf("asked for the route: %v, want %v", got, tt.asks)
				}
				c.mu.Unlock()
				if n := strings.Count(c.logs.String(), "pull failed"); n == 0 || !strings.Contains(c.logs.String(), "level=WARN msg=\"pull failed") {
					t.Error("nothing was logged")
				}
				b.on(protocol.PullMessage, nil)
				b.produce(orders0, 1)
				pass(4 * time.Second)
				if n := len(sink.all()); n != 1 {
					t.Errorf("received %d after the broker recovered", n)
				}
			})
		})
	}
}

func TestGoesOnWhereTheBrokerSays(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.produce(orders0, 5)
		b.setOffset("group", orders0, 50) // beyond the end: the log was lost
		sink := acking()
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{}, "orders")
		pass(2 * time.Second)
		b.produce(orders0, 1)
		pass(time.Second)
		if got := sink.all(); len(got) != 1 || got[0].QueueOffset != 5 {
			t.Errorf("%d deliveries, want the one after the end", len(got))
		}
		pass(6 * time.Second)
		if o := b.committed("group", orders0); o != 6 {
			t.Errorf("committed %d, want 6", o)
		}
	})
}

// A master that lags asks its readers to go to a slave. Offsets stay with the
// master.
func TestPullsFromTheBrokerThatIsSuggested(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		slave := c.startSlave("a", "10.0.0.2:10911")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.produce(orders0, 1)
		slave.produce(orders0, 5)
		suggest := func(b *scripted, id int64) {
			b.on(protocol.PullMessage, func(conn *remoting.Conn, cmd *protocol.Command) bool {
				var h protocol.PullRequest
				b.decode(&h, cmd)
				recs := b.stored(t, b.queue(h.Topic, h.QueueID))
				if h.QueueOffset >= int64(len(recs)) {
					return false
				}
				b.mu.Lock()
				body := b.queues[b.queue(h.Topic, h.QueueID)][h.QueueOffset]
				b.mu.Unlock()
				b.reply(conn, cmd, protocol.Success, &protocol.PullResponse{SuggestBroker: id, NextBeginOffset: h.QueueOffset + 1}, body)
				return true
			})
		}
		suggest(b, 1)
		suggest(slave, 1)
		sink := acking()
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		pass(10 * time.Second)
		if n := len(sink.all()); n != 5 {
			t.Errorf("received %d, want 1 of the master and 4 of the slave", n)
		}
		for _, r := range slave.requests(protocol.PullMessage) {
			if r.fields["sysFlag"] != "2" {
				t.Errorf("a slave is asked to keep an offset: %v", r.fields)
			}
		}
		if o := b.committed("group", orders0); o != 5 {
			t.Errorf("the master has %d, want 5", o)
		}
		if n := len(slave.requests(protocol.UpdateConsumerOffset)); n != 0 {
			t.Errorf("%d commits to the slave", n)
		}
	})
}

func TestResetForgetsWhatIsAtWork(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.produce(orders0, 5)
		sink := &collector{}
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		pass(2 * time.Second)
		old := sink.all()
		b.mu.Lock()
		for _, conn := range b.members["group"] {
			cmd := protocol.ClientRequest(protocol.ResetClientOffset)
			cmd.Fields = protocol.Fields{{Key: "group", Value: "group"}, {Key: "topic", Value: "orders"}}
			body := protocol.EncodeOffsetTable(map[protocol.MessageQueue]int64{{Topic: "orders", BrokerName: "a"}: 3})
			if err := conn.Oneway(t.Context(), &cmd, nil, body); err != nil {
				t.Error(err)
			}
		}
		b.mu.Unlock()
		pass(time.Second)
		for _, d := range old {
			if d.ctx.Err() == nil {
				t.Error("the handlers' ctx goes on")
			}
			d.ack()
		}
		pass(time.Second)
		got := sink.all()[5:]
		if len(got) != 2 || got[0].QueueOffset != 3 {
			t.Fatalf("%d deliveries after the reset, want those from 3 on", len(got))
		}
		pass(6 * time.Second)
		if o := b.committed("group", orders0); o != 3 {
			t.Errorf("committed %d, want 3: what was settled late does not count", o)
		}
	})
}

// An answer that was on its way when the queue was moved does not move it again.
func TestAnswersFromBeforeAResetDoNotCount(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.produce(orders0, 5)
		sink := acking()
		s := subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		pass(2 * time.Second) // a pull from 5 on is parked
		b.ignore(protocol.PullMessage)
		s.reset(map[protocol.MessageQueue]int64{{Topic: "orders", BrokerName: "a"}: 3})
		pass(time.Second)
		b.produce(orders0, 1)
		pass(time.Second)
		b.on(protocol.PullMessage, nil)
		pass(time.Minute)
		var got []int64
		for _, d := range sink.all()[5:] {
			got = append(got, d.QueueOffset)
		}
		if diff := cmp.Diff([]int64{3, 4, 5}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// A broker that answers at once although nothing is there, because long polling
// is off, is not asked in a loop.
func TestBrokersWithoutLongPollingAreAskedWithPauses(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.on(protocol.PullMessage, func(conn *remoting.Conn, cmd *protocol.Command) bool {
			cmd.Fields = append(cmd.Fields, protocol.Field{Key: "sysFlag", Value: "0"}) // not to wait
			b.pull(conn, cmd)
			return true
		})
		sink := acking()
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{}, "orders")
		pass(30 * time.Second)
		if n := len(b.requests(protocol.PullMessage)); n > 60 {
			t.Errorf("%d pulls in 30 s", n)
		}
		b.produce(orders0, 1)
		pass(4 * time.Second)
		if n := len(sink.all()); n != 1 {
			t.Errorf("received %d", n)
		}
	})
}

// Records that cannot be read stop the queue, loudly: what is behind them is not
// skipped in silence.
func TestACorruptRecordStopsItsQueue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.produce(orders0, 3)
		b.mu.Lock()
		whole := b.queues[orders0][1]
		b.queues[orders0][1] = make([]byte, len(whole))
		b.mu.Unlock()
		sink := acking()
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		pass(20 * time.Second)
		if n := len(sink.all()); n != 1 {
			t.Errorf("%d deliveries, want the one before", n)
		}
		if o := b.committed("group", orders0); o != 1 {
			t.Errorf("committed %d, want 1", o)
		}
		if !strings.Contains(c.logs.String(), "cannot be read") {
			t.Error("nothing was logged")
		}
		b.mu.Lock()
		b.queues[orders0][1] = whole
		b.mu.Unlock()
		pass(4 * time.Second)
		if n := len(sink.all()); n != 3 {
			t.Errorf("%d deliveries once it was repaired", n)
		}
	})
}

func TestOffsetsTravelWithPulls(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.produce(orders0, 5)
		sink := &collector{}
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst, CommitInterval: time.Hour}, "orders")
		pass(2 * time.Second)
		for _, d := range sink.all()[:4] {
			d.ack()
		}
		synctest.Wait()
		b.produce(orders0, 1) // ends the pull; the next one carries the offset
		synctest.Wait()
		if o := b.committed("group", orders0); o != 4 {
			t.Errorf("committed %d, want 4", o)
		}
	})
}

func TestCommitsAreRepeatedUntilTheBrokerTakesThem(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.produce(orders0, 1)
		b.refuse(protocol.UpdateConsumerOffset, protocol.SystemBusy)
		subscribe(t, c.open(), acking(), driver.SubscriptionConfig{From: driver.FromFirst, CommitInterval: 2 * time.Second, SuspendTimeout: time.Hour}, "orders")
		pass(10 * time.Second)
		if n := len(b.requests(protocol.UpdateConsumerOffset)); n < 3 || n > 10 {
			t.Errorf("%d commits of two queues in 10 s", n)
		}
		b.on(protocol.UpdateConsumerOffset, nil)
		pass(4 * time.Second)
		if o := b.committed("group", orders0); o != 1 {
			t.Errorf("committed %d, want 1", o)
		}
		n := len(b.requests(protocol.UpdateConsumerOffset))
		pass(time.Minute)
		if m := len(b.requests(protocol.UpdateConsumerOffset)); m != n {
			t.Errorf("%d commits of what was committed already", m-n)
		}
	})
}
