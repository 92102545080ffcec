package brokerlite

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// again stops or kills the server and starts it anew.
func (r *restart) again(how string) *client {
	r.t.Helper()
	synctest.Wait()
	if how == "kill" {
		r.kill()
	} else {
		r.stop()
	}
	return r.start()
}

func TestWhatIsInvisibleSurvivesARestart(t *testing.T) {
	for _, how := range []string{"stop", "kill", "kill at once"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRestart(t)
				c := dial(t, r.b)
				c.createTopic("orders", 1)
				for i := range 6 {
					c.send(sending("orders"), fmt.Sprint(i))
				}
				h := popping("orders")
				h.MaxMessages = 4
				p := c.pop(h) // 0 to 3
				c.ack("orders", p.receipts[0])
				changed := c.hide("orders", p.receipts[1], 90*time.Second)
				if how != "kill at once" {
					time.Sleep(30 * time.Second)
				}
				passed := time.Since(time.UnixMilli(p.PopTime))
				restarted := how
				if how == "kill at once" {
					restarted = "kill"
				}
				c = r.again(restarted)
				if n := r.b.broker.Invisible(); n != 3 {
					t.Errorf("%d messages are invisible", n)
				}
				if n := c.consumerOffset("orders", 0); n != 4 {
					t.Errorf("the consumer offset is %d", n)
				}
				c.ack("orders", c.expectPop("orders", "4", "5").receipts...)
				c.ack("orders", p.receipts[2]) // of before the restart
				time.Sleep(time.Minute - passed)
				c.ack("orders", c.expectPop("orders", "3").receipts...)
				c = r.again(restarted)
				time.Sleep(30*time.Second + time.Millisecond)
				c.expectPop("orders", "1")
				c.ack("orders", changed) // too late
				c = r.again(restarted)
				time.Sleep(time.Minute)
				c.ack("orders", c.expectPop("orders", "1").receipts...)
				c = r.again(restarted)
				time.Sleep(time.Hour)
				c.expectPop("orders")
				if n := r.b.broker.Invisible(); n != 0 {
					t.Errorf("%d messages are invisible", n)
				}
			})
		})
	}
}

func TestWhatFellDueWhileTheServerWasDownComesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRestart(t)
		c := dial(t, r.b)
		c.createTopic("orders", 1)
		var want []string
		for i := range 300 { // more than a turn
			want = append(want, fmt.Sprintf("%03d", i))
			c.send(sending("orders"), want[i])
		}
		for range 10 {
			if p := c.pop(popping("orders")); len(p.records) == 0 {
				t.Error("nothing was popped")
			}
		}
		r.kill()
		time.Sleep(time.Hour)
		c = r.start()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		var got []string
		for range 10 {
			got = append(got, c.pop(popping("orders")).bodies()...)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAConsumerOffsetThatIsMovedIsFollowed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		for i := range 6 {
			c.send(sending("orders"), fmt.Sprint(i))
		}
		reset := func(offset int64) {
			time.Sleep(time.Second)
			c.ok(protocol.UpdateConsumerOffset, &protocol.ConsumerOffsetRequest{Code: protocol.UpdateConsumerOffset, ConsumerGroup: "group", Topic: "orders", CommitOffset: offset}, nil)
		}
		h := popping("orders")
		h.MaxMessages = 4
		first := c.pop(h)
		reset(2)
		second := c.expectPop("orders", "2", "3", "4", "5")
		c.ack("orders", first.receipts[2:]...) // those were popped again
		if n := b.broker.Invisible(); n != 6 {
			t.Errorf("%d messages are invisible", n)
		}
		c.ack("orders", first.receipts[:2]...)
		c.ack("orders", second.receipts...)
		reset(5)
		c.ack("orders", c.expectPop("orders", "5").receipts...)
		reset(0)
		h.QueueID = 0
		c.ack("orders", c.pop(h).receipts...)
		reset(6)
		time.Sleep(time.Hour)
		c.expectPop("orders")
	})
}

func TestAPopFollowsAServerSideReset(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		for i := range 4 {
			c.send(sending("orders"), fmt.Sprint(i))
		}
		c.ack("orders", c.expectPop("orders", "0", "1", "2", "3").receipts...)
		time.Sleep(time.Second)
		c.ok(protocol.ResetOffset, &protocol.ResetOffsetRequest{Group: "group", Topic: "orders", QueueID: 0, Offset: protocol.SomeInt64(2)}, nil)
		for range 3 { // once only
			if p := c.pop(popping("orders")); len(p.records) > 0 {
				if diff := cmp.Diff([]string{"2", "3"}, p.bodies()); diff != "" {
					t.Error(diff)
				}
				c.ack("orders", p.receipts...)
			}
			time.Sleep(time.Second)
			c.expectPop("orders")
		}
		if n := c.consumerOffset("orders", 0); n != 4 {
			t.Errorf("the consumer offset is %d", n)
		}
	})
}

func TestWhereAGroupBeginsToPop(t *testing.T) {
	for _, c := range []struct {
		name string
		mode int32
		opts []Option
		want []string
	}{
		{"at the beginning", protocol.PopFromMin, nil, []string{"0", "1", "2"}},
		{"at the end of a young queue", protocol.PopFromMax, nil, []string{"0", "1", "2"}},
		{"strictly at the end", protocol.PopFromMax, []Option{StrictConsumeFrom()}, []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *Broker, cl *client) {
				cl.createTopic("orders", 1)
				for i := range 3 {
					cl.send(sending("orders"), fmt.Sprint(i))
				}
				h := popping("orders")
				h.InitMode = c.mode
				if diff := cmp.Diff(c.want, cl.pop(h).bodies()); diff != "" {
					t.Error(diff)
				}
				cl.send(sending("orders"), "new")
				cl.expectPop("orders", "new")
			}, c.opts...)
		})
	}
}

func TestAQueueWithTooManyInvisibleMessagesHasNothingToPop(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		for i := range 6 {
			c.send(sending("orders"), fmt.Sprint(i))
		}
		h := popping("orders")
		h.MaxMessages = 2
		p := c.pop(h)
		c.pop(h)
		c.expectPop("orders")
		done := make(chan popped, 1)
		d := dial(t, b)
		h.PollTime = 60_000
		go func() { done <- d.pop(h) }()
		time.Sleep(time.Second)
		if len(done) > 0 {
			t.Error("it does not wait")
		}
		c.ack("orders", p.receipts[0])
		synctest.Wait()
		if len(done) != 1 {
			t.Fatal("an acknowledgement does not wake it")
		}
		if diff := cmp.Diff([]string{"4", "5"}, (<-done).bodies()); diff != "" {
			t.Error(diff)
		}
	}, Conf("popInflightMessageThreshold=4"))
}

func TestAPopThatLeavesSomethingWakesTheNext(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		for i := range 6 {
			c.send(sending("orders"), fmt.Sprint(i))
		}
		h := popping("orders")
		h.MaxMessages = 4
		p := c.pop(h)
		h.MaxMessages, h.PollTime = 1, 60_000
		done := make(chan popped, 2)
		for range 2 {
			d := dial(t, b)
			go func() { done <- d.pop(h) }()
		}
		synctest.Wait()
		body := protocol.BatchAckBody{Acks: []protocol.BatchAck{{ConsumerGroup: "group", Topic: "orders", Retry: "0", PopTime: p.PopTime, BitSet: protocol.BitSet{3}}}}
		data, err := protocol.EncodeBody(body)
		if err != nil {
			t.Fatal(err)
		}
		c.ok(protocol.BatchAckMessage, nil, data) // makes room for two, and wakes one
		synctest.Wait()
		if len(done) != 2 {
			t.Errorf("%d of 2 pops are answered", len(done))
		}
		for range 2 {
			<-done
		}
	}, Conf("popInflightMessageThreshold=4"))
}

func TestOnlySoManyPopsWait(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		h := popping("orders")
		h.PollTime = 10_000
		done := make(chan popped, 4)
		for range 3 {
			d := dial(t, b)
			go func() { done <- d.pop(h) }()
		}
		synctest.Wait()
		if p := c.pop(h); p.code != protocol.PollingFull || time.Now().UnixMilli() != h.BornTime {
			t.Errorf("%s", protocol.ResponseName(p.code))
		}
		for range 3 {
			if p := <-done; p.code != protocol.PollingTimeout {
				t.Errorf("%s", protocol.ResponseName(p.code))
			}
		}
		time.Sleep(time.Second)
		if p := c.pop(h); p.code != protocol.PollingTimeout || p.remark != "the broker[127.0.0.1] pop message is timeout too much" {
			t.Errorf("%s: %s", protocol.ResponseName(p.code), p.remark)
		}
	}, Conf("maxPopPollingSize=3"))
}

func TestPopsAndAcknowledgementsAreChecked(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		c.send(sending("orders"), "1")
		p := c.expectPop("orders", "1")
		pop := func(edit func(*protocol.PopRequest)) func() (protocol.Code, string) {
			return func() (protocol.Code, string) {
				h := popping("orders")
				edit(h)
				got := c.pop(h)
				return got.code, got.remark
			}
		}
		ack := func(edit func(*protocol.AckRequest)) func() (protocol.Code, string) {
			return func() (protocol.Code, string) {
				h := acking("orders", p.receipts[0])
				edit(h)
				resp := c.call(protocol.AckMessage, h, nil)
				return resp.Code, resp.Remark
			}
		}
		for name, test := range map[string]struct {
			call func() (protocol.Code, string)
			code protocol.Code
		}{
			"no topic":       {pop(func(h *protocol.PopRequest) { h.Topic = "none" }), protocol.TopicNotExist},
			"no queue":       {pop(func(h *protocol.PopRequest) { h.QueueID = 1 }), protocol.InvalidParameter},
			"too many":       {pop(func(h *protocol.PopRequest) { h.MaxMessages = 33 }), protocol.InvalidParameter},
			"long attempt":   {pop(func(h *protocol.PopRequest) { h.Order, h.AttemptID = true, strings.Repeat("x", 300) }), protocol.InvalidParameter},
			"bad group":      {pop(func(h *protocol.PopRequest) { h.ConsumerGroup = "a b" }), protocol.GroupNotExist},
			"ack no topic":   {ack(func(h *protocol.AckRequest) { h.Topic = "none" }), protocol.TopicNotExist},
			"ack no queue":   {ack(func(h *protocol.AckRequest) { h.QueueID = 1 }), protocol.MessageIllegal},
			"ack no offset":  {ack(func(h *protocol.AckRequest) { h.Offset = 2 }), protocol.NoMessage},
			"ack nonsense":   {ack(func(h *protocol.AckRequest) { h.Receipt = "nonsense" }), protocol.SystemError},
			"ack for others": {ack(func(h *protocol.AckRequest) { h.ConsumerGroup = "other" }), protocol.Success},
		} {
			if code, remark := test.call(); code != test.code {
				t.Errorf("%s: %s: %s", name, protocol.ResponseName(code), remark)
			}
		}
		if resp := c.call(protocol.PopRollback, nil, nil); resp.Code != protocol.CodeNotSupported {
			t.Errorf("a rollback: %s", protocol.ResponseName(resp.Code))
		}
		if n := b.broker.Invisible(); n != 1 {
			t.Errorf("%d messages are invisible", n)
		}
	})
}

func TestPeeksAndNotificationsTakeNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 2)
		peek := func(want ...string) {
			t.Helper()
			synctest.Wait()
			resp := c.call(protocol.PeekMessage, &protocol.PeekRequest{Code: protocol.PeekMessage, ConsumerGroup: "group", Topic: "orders", QueueID: -1, MaxMessages: 8}, nil)
			got := c.pulled(&protocol.Command{Body: resp.Body})
			if diff := cmp.Diff(append([]string{}, want...), bodies(got.records)); diff != "" {
				t.Errorf("peeked (-want +got):\n%s", diff)
			}
			var h protocol.PopResponse
			if err := h.DecodeFields(resp.Fields); err != nil || h.RestNum != int64(len(want)) {
				t.Errorf("%+v, %v", h, err)
			}
			if code := resp.Code; (code == protocol.PullNotFound) != (len(want) == 0) {
				t.Errorf("%s", protocol.ResponseName(code))
			}
		}
		notification := func(d *client, poll time.Duration) bool {
			h := &protocol.NotificationRequest{ConsumerGroup: "group", Topic: "orders", QueueID: -1, PollTime: poll.Milliseconds(), BornTime: time.Now().UnixMilli()}
			var r protocol.NotificationResponse
			if err := r.DecodeFields(d.ok(protocol.Notification, h, nil).Fields); err != nil {
				t.Error(err)
			}
			return r.HasMessage
		}
		peek()
		if begun := time.Now(); notification(c, 5*time.Second) || time.Since(begun) != 5*time.Second {
			t.Errorf("a notification after %v", time.Since(begun))
		}
		told := make(chan bool, 1)
		d := dial(t, b)
		go func() { told <- notification(d, 5*time.Second) }()
		synctest.Wait()
		c.send(sending("orders"), "1")
		if begun := time.Now(); !<-told || time.Since(begun) != 0 {
			t.Errorf("no notification after %v", time.Since(begun))
		}
		peek("1")
		peek("1")
		p := c.expectPop("orders", "1")
		peek()
		if notification(c, 0) {
			t.Error("what is invisible is told of")
		}
		time.Sleep(time.Minute)
		peek("1") // from the retry topic
		if !notification(c, 0) {
			t.Error("what is visible again is not told of")
		}
		c.ack("orders", p.receipts...)
		c.ack("orders", c.expectPop("orders", "1").receipts...)
		peek()
	})
}

// Messages may be invisible for years; a topic or group that goes takes them along.
func TestWhatIsGoneHasNothingInvisible(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRestart(t)
		c := dial(t, r.b)
		for _, topic := range []string{"orders", "kept", "bills"} {
			c.createTopic(topic, 2)
			c.send(sending(topic), "1")
			h := popping(topic)
			h.InvisibleTime = 1 << 40
			if topic == "bills" {
				h.ConsumerGroup = "bookkeepers"
			}
			if p := c.pop(h); len(p.records) != 1 {
				t.Fatalf("%s %s", protocol.ResponseName(p.code), p.remark)
			}
		}
		c.ok(protocol.DeleteTopicInBroker, &protocol.TopicRequest{Topic: "orders"}, nil)
		c.ok(protocol.DeleteGroup, fields{"groupName": "bookkeepers", "cleanOffset": "true"}, nil)
		for _, how := range []string{"", "stop", "kill"} {
			if how != "" {
				c = r.again(how)
			}
			if n := r.b.broker.Invisible(); n != 1 {
				t.Errorf("%q: %d messages are invisible, want the one of kept", how, n)
			}
		}
		if got := c.consumerOffset("orders", 0); got != -1 {
			t.Errorf("the group has offset %d of a topic that is gone", got)
		}
		c.createTopic("orders", 1)
		c.send(sending("orders"), "anew")
		c.expectPop("orders", "anew")
	})
}
