package brokerlite

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// popping is a pop of all queues of a topic, invisible for a minute, that does not
// wait and begins at the beginning.
func popping(topic string) *protocol.PopRequest {
	return &protocol.PopRequest{ConsumerGroup: "group", Topic: topic, QueueID: -1, MaxMessages: 32, InvisibleTime: 60_000, BornTime: time.Now().UnixMilli()}
}

// popped is the answer to a pop.
type popped struct {
	protocol.PopResponse
	code     protocol.Code
	remark   string
	records  []protocol.Record
	receipts []protocol.PopReceipt // of the records
}

func (p popped) bodies() []string { return bodies(p.records) }

func (c *client) pop(h *protocol.PopRequest) popped {
	c.t.Helper()
	return c.popped(h.Topic, c.call(protocol.PopMessage, h, nil))
}

// popped reads an answer as Java's processPopResponse does.
func (c *client) popped(topic string, resp *protocol.Command) popped {
	c.t.Helper()
	p := popped{code: resp.Code, remark: resp.Remark}
	if err := p.DecodeFields(resp.Fields); err != nil {
		c.t.Fatalf("%v (%s: %s)", err, protocol.ResponseName(resp.Code), resp.Remark)
	}
	p.records = c.pulled(&protocol.Command{Code: resp.Code, Body: resp.Body}).records
	starts := map[string]int64{}
	for part := range strings.SplitSeq(p.StartOffsets, ";") {
		if words := strings.Fields(part); len(words) == 3 {
			starts[words[0]+"@"+words[1]], _ = strconv.ParseInt(words[2], 10, 64)
		}
	}
	for _, r := range p.records {
		if r.Topic != topic {
			c.t.Errorf("a record of topic %s", r.Topic)
		}
		receipt := protocol.PopReceipt{PopTime: p.PopTime, InvisibleTime: p.InvisibleTime, ReviveQueueID: p.ReviveQueueID, Retry: "0", BrokerName: "broker-a", QueueID: r.QueueID, Offset: r.QueueOffset}
		if ck := prop(r, "POP_CK"); ck != "" {
			var err error
			if receipt, err = protocol.ParsePopReceipt(ck); err != nil {
				c.t.Fatal(err)
			}
		}
		key := fmt.Sprintf("%s@%d", receipt.Retry, receipt.QueueID)
		start, ok := starts[key]
		if !ok || ok && prop(r, "POP_CK") != "" && start != receipt.StartOffset {
			c.t.Errorf("startOffsetInfo %q does not fit %v", p.StartOffsets, receipt)
		}
		if !strings.Contains(";"+strings.NewReplacer(",", ";", " ", ";").Replace(p.Offsets)+";", fmt.Sprintf(";%d;", receipt.Offset)) {
			c.t.Errorf("msgOffsetInfo %q does not fit %v", p.Offsets, receipt)
		}
		receipt.StartOffset = start
		p.receipts = append(p.receipts, receipt)
	}
	return p
}

// acking is the acknowledgement of a popped message.
func acking(topic string, r protocol.PopReceipt) *protocol.AckRequest {
	real, _ := protocol.PopRealTopic(topic, "group", r.Retry)
	return &protocol.AckRequest{ConsumerGroup: "group", Topic: real, QueueID: r.QueueID, Receipt: r.String(), Offset: r.Offset}
}

func (c *client) ack(topic string, receipts ...protocol.PopReceipt) {
	c.t.Helper()
	for _, r := range receipts {
		c.ok(protocol.AckMessage, acking(topic, r), nil)
	}
}

// hide changes a message's invisible time and returns its new receipt.
func (c *client) hide(topic string, r protocol.PopReceipt, invisible time.Duration) protocol.PopReceipt {
	c.t.Helper()
	resp := c.ok(protocol.ChangeInvisibleTime, &protocol.ChangeInvisibleRequest{AckRequest: *acking(topic, r), InvisibleTime: invisible.Milliseconds()}, nil)
	var h protocol.ChangeInvisibleResponse
	if err := h.DecodeFields(resp.Fields); err != nil {
		c.t.Fatal(err)
	}
	r.PopTime, r.InvisibleTime, r.ReviveQueueID = h.PopTime, h.InvisibleTime, h.ReviveQueueID
	return r
}

// expectPop pops when all is done that is due by now.
func (c *client) expectPop(topic string, want ...string) popped {
	c.t.Helper()
	synctest.Wait()
	p := c.pop(popping(topic))
	if diff := cmp.Diff(append([]string{}, want...), p.bodies()); diff != "" {
		c.t.Errorf("popped (-want +got):\n%s", diff)
	}
	code := protocol.Success
	if len(want) == 0 {
		code = protocol.PollingTimeout
	}
	if p.code != code {
		c.t.Errorf("%s: %s", protocol.ResponseName(p.code), p.remark)
	}
	return p
}

func (c *client) consumerOffset(topic string, queueID int32) int64 {
	c.t.Helper()
	resp := c.call(protocol.QueryConsumerOffset, &protocol.ConsumerOffsetRequest{Code: protocol.QueryConsumerOffset, ConsumerGroup: "group", Topic: topic, QueueID: queueID}, nil)
	if resp.Code != protocol.Success {
		return -1
	}
	var h protocol.OffsetResponse
	if err := h.DecodeFields(resp.Fields); err != nil {
		c.t.Fatal(err)
	}
	return h.Offset
}

func TestAPoppedMessageIsInvisibleUntilItsTimeIsUp(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		c.send(sending("orders", "TAGS", "a", "KEYS", "k"), "1")
		first := c.expectPop("orders", "1")
		begun := now()
		if got := time.UnixMilli(first.PopTime); !got.Equal(begun) || first.InvisibleTime != 60_000 || first.RestNum != 0 {
			t.Errorf("%+v at %v", first.PopResponse, begun)
		}
		c.expectPop("orders")
		time.Sleep(59_999 * time.Millisecond)
		c.expectPop("orders")
		time.Sleep(time.Millisecond)
		second := c.expectPop("orders", "1")
		r := second.records[0]
		want := stamped(map[string]string{
			"TAGS": "a", "KEYS": "k", "UNIQ_KEY": prop(first.records[0], "UNIQ_KEY"), "1ST_POP_TIME": itoa(begun.UnixMilli()), "ORIGIN_GROUP": "group",
			"POP_CK": second.receipts[0].String(),
		})
		if diff := cmp.Diff(want, props(r)); diff != "" {
			t.Errorf("properties (-want +got):\n%s", diff)
		}
		if r.ReconsumeTimes != 1 || !time.UnixMilli(r.StoreTimestamp).Equal(begun.Add(time.Minute)) || second.receipts[0].Retry != "1" {
			t.Errorf("%+v, receipt %v", r, second.receipts[0])
		}
		if list := c.messages("%RETRY%group_orders", 0); len(list) != 1 || prop(list[0], "POP_CK") != "" {
			t.Errorf("the retry topic has %d messages", len(list))
		}
		c.ack("orders", second.receipts...)
		time.Sleep(time.Hour)
		c.expectPop("orders")
	})
}

func TestAnAcknowledgedMessageDoesNotComeAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		for i := range 3 {
			c.send(sending("orders"), fmt.Sprint(i))
		}
		p := c.expectPop("orders", "0", "1", "2")
		c.ack("orders", p.receipts[1])
		c.ack("orders", p.receipts[1]) // once more is no error
		time.Sleep(time.Minute)
		again := c.expectPop("orders", "0", "2")
		c.ack("orders", p.receipts...) // too late: these receipts are of no use
		time.Sleep(time.Minute)
		c.ack("orders", c.expectPop("orders", "0", "2").receipts...)
		c.ack("orders", again.receipts...)
		time.Sleep(time.Hour)
		c.expectPop("orders")
		if n := b.broker.Invisible(); n != 0 {
			t.Errorf("%d messages are invisible", n)
		}
	})
}

func TestABatchIsAcknowledgedAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		for i := range 12 {
			c.send(sending("orders"), fmt.Sprint(i))
		}
		time.Sleep(time.Millisecond)
		p := c.pop(popping("orders"))
		body := protocol.BatchAckBody{BrokerName: "broker-a", Acks: []protocol.BatchAck{
			{ConsumerGroup: "group", Topic: "orders", Retry: "0", StartOffset: 0, PopTime: p.PopTime, InvisibleTime: 60_000},
			{ConsumerGroup: "group", Topic: "orders", Retry: "7", StartOffset: 0, PopTime: p.PopTime, InvisibleTime: 60_000},
		}}
		for i := range 12 {
			if i != 3 && i != 11 {
				body.Acks[0].BitSet.Set(i)
			}
		}
		data, err := protocol.EncodeBody(body)
		if err != nil {
			t.Fatal(err)
		}
		c.ok(protocol.BatchAckMessage, nil, data)
		time.Sleep(time.Minute)
		c.expectPop("orders", "3", "11")
		if resp := c.call(protocol.BatchAckMessage, nil, nil); resp.Code != protocol.NoMessage {
			t.Errorf("nothing is acknowledged with %s", protocol.ResponseName(resp.Code))
		}
	})
}

func TestABatchLargerThanPopsAreAcknowledgesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		c.send(sending("orders"), "stays")
		time.Sleep(time.Millisecond)
		p := c.pop(popping("orders"))
		for name, acks := range map[string]struct{ pops, messages int }{"of one pop": {1, 1025}, "of many": {65, 1024}} {
			var body protocol.BatchAckBody
			for range acks.pops {
				for _, revive := range []int32{0, protocol.PopOrderReviveQueue} {
					a := protocol.BatchAck{ConsumerGroup: "group", Topic: "orders", Retry: "0", PopTime: p.PopTime, InvisibleTime: 60_000, ReviveQueueID: revive}
					a.BitSet.Set(acks.messages - 1)
					for i := range acks.messages {
						a.BitSet.Set(i)
					}
					body.Acks = append(body.Acks, a)
				}
			}
			data, err := protocol.EncodeBody(body)
			if err != nil {
				t.Fatal(err)
			}
			if resp := c.call(protocol.BatchAckMessage, nil, data); resp.Code != protocol.MessageIllegal || !strings.Contains(resp.Remark, "1024 of one pop") {
				t.Errorf("%s: %s %q", name, protocol.ResponseName(resp.Code), resp.Remark)
			}
		}
		if n := b.broker.Invisible(); n != 1 {
			t.Errorf("%d messages are invisible", n)
		}
	})
}

func TestInvisibleTimeCanBeChanged(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		for _, body := range []string{"sooner", "later", "as it was"} {
			c.send(sending("orders"), body)
		}
		p := c.expectPop("orders", "sooner", "later", "as it was")
		time.Sleep(10 * time.Second)
		c.hide("orders", p.receipts[0], 5*time.Second)
		later := c.hide("orders", p.receipts[1], 100*time.Second)
		if later.PopTime == p.PopTime || later.InvisibleTime != 100_000 {
			t.Errorf("the new receipt is %v", later)
		}
		c.ack("orders", p.receipts[1]) // this receipt is of no use any more
		time.Sleep(5 * time.Second)
		c.ack("orders", c.expectPop("orders", "sooner").receipts...)
		time.Sleep(45 * time.Second)
		c.ack("orders", c.expectPop("orders", "as it was").receipts...)
		time.Sleep(49_999 * time.Millisecond)
		c.expectPop("orders")
		time.Sleep(time.Millisecond)
		got := c.expectPop("orders", "later")
		c.ack("orders", c.hide("orders", got.receipts[0], time.Second))
		time.Sleep(time.Hour)
		c.expectPop("orders")
	})
}

func TestAMessageIsDeliveredSeventeenTimesAndThenDead(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		c.send(sending("orders"), "bad")
		for n := range 17 {
			p := c.expectPop("orders", "bad")
			if len(p.records) != 1 || p.records[0].ReconsumeTimes != int32(n) {
				t.Fatalf("delivery %d: %+v", n, p.records)
			}
			if n < 16 {
				time.Sleep(time.Minute)
				continue
			}
			c.ok(protocol.SendMessageBack, &protocol.SendBackRequest{Offset: p.records[0].PhysicalOffset, Group: "group", DelayLevel: -1, OriginTopic: "orders"}, nil)
			c.ack("orders", p.receipts...)
		}
		time.Sleep(time.Hour)
		c.expectPop("orders")
		if list := c.messages("%DLQ%group", 0); len(list) != 1 || list[0].ReconsumeTimes != 17 {
			t.Errorf("%d dead letters", len(list))
		}
	})
}

func TestAPopOfAllQueuesTakesOfEach(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 4)
		var want []string
		for i := range 20 {
			h := sending("orders")
			h.QueueID = int32(i % 4)
			want = append(want, fmt.Sprintf("%02d", i))
			c.send(h, want[i])
		}
		var got []string
		for _, left := range []int64{13, 6, 0} {
			h := popping("orders")
			h.MaxMessages = 7
			p := c.pop(h)
			if p.RestNum != left {
				t.Errorf("%d are left of 20 after %d, want %d", p.RestNum, len(got)+len(p.records), left)
			}
			got = append(got, p.bodies()...)
			c.ack("orders", p.receipts...)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		h := popping("orders")
		h.ConsumerGroup, h.QueueID = "other", 2
		if diff := cmp.Diff([]string{"02", "06", "10", "14", "18"}, c.pop(h).bodies()); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Second)
		for q := range int32(4) {
			if n := c.consumerOffset("orders", q); n != 5 {
				t.Errorf("the consumer offset of queue %d is %d", q, n)
			}
		}
	})
}

func TestAPopTakesWhatItsTagsMatch(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		for i := range 2000 { // more than one read looks at
			c.send(sending("orders", "TAGS", "no"), fmt.Sprint(i))
		}
		c.send(sending("orders", "TAGS", "yes"), "yes")
		h := popping("orders")
		h.ExpressionType, h.Expression, h.PollTime = "TAG", "yes || other", 5000
		p := c.pop(h)
		if diff := cmp.Diff([]string{"yes"}, p.bodies()); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Minute)
		h.BornTime = 0
		if p := c.pop(h); len(p.records) != 1 || p.records[0].ReconsumeTimes != 1 {
			t.Errorf("again: %+v", p)
		}
		h.Expression = "||"
		if p := c.pop(h); p.code != protocol.SubscriptionParse {
			t.Errorf("a bad expression: %s", protocol.ResponseName(p.code))
		}
	})
}

func TestAPopWaitsForAMessage(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 4)
		waiting := func(h *protocol.PopRequest) chan popped {
			done := make(chan popped, 1)
			d := dial(t, b)
			go func() { done <- d.pop(h) }()
			synctest.Wait()
			return done
		}
		h := popping("orders")
		h.PollTime, h.Expression, h.ExpressionType = 20_000, "a", "TAG"
		begun := time.Now()
		p := <-waiting(h)
		if got := time.Since(begun); got != 20*time.Second || p.code != protocol.PollingTimeout || p.remark != "NO_MESSAGE_IN_QUEUE" {
			t.Errorf("%s after %v: %s", protocol.ResponseName(p.code), got, p.remark)
		}

		h.BornTime, begun = time.Now().UnixMilli(), time.Now()
		one, two := waiting(h), waiting(h)
		resp := c.ok(protocol.PollingInfo, &protocol.PeekRequest{Code: protocol.PollingInfo, ConsumerGroup: "group", Topic: "orders", QueueID: -1}, nil)
		if v := resp.Fields.Value("pollingNum"); v != "2" {
			t.Errorf("%s pops wait", v)
		}
		c.send(sending("orders", "TAGS", "b"), "not for them")
		time.Sleep(time.Second)
		c.send(sending("orders", "TAGS", "a"), "for one")
		synctest.Wait()
		if len(one)+len(two) != 1 {
			t.Fatalf("a message was answered %d times", len(one)+len(two))
		}
		if len(two) == 1 {
			one, two = two, one
		}
		if p := <-one; p.bodies()[0] != "for one" || time.Since(begun) != time.Second {
			t.Errorf("%v after %v", p.bodies(), time.Since(begun))
		}
		h.QueueID = 3
		if p := <-two; p.code != protocol.PollingTimeout || time.Since(begun) != 20*time.Second {
			t.Errorf("%s after %v", protocol.ResponseName(p.code), time.Since(begun))
		}

		// One that waits is woken by what is visible again, too.
		h.BornTime, h.QueueID, h.PollTime, begun = time.Now().UnixMilli(), -1, 60_000, time.Now()
		if p := <-waiting(h); p.bodies()[0] != "for one" || time.Since(begun) != 41*time.Second {
			t.Errorf("%v after %v", p.bodies(), time.Since(begun))
		}
	})
}

func TestManyPopsThatWaitGetEachMessageOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 4)
		const consumers, messages = 16, 400
		got := make(chan string, messages*2)
		stop := make(chan struct{})
		var ended [consumers]chan struct{}
		for i := range consumers {
			ended[i] = make(chan struct{})
			d := dial(t, b)
			go func() {
				defer close(ended[i])
				for {
					select {
					case <-stop:
						return
					default:
					}
					h := popping("orders")
					h.PollTime, h.MaxMessages = 5_000, 3
					p := d.pop(h)
					for j, r := range p.records {
						got <- string(r.Body)
						d.ack("orders", p.receipts[j])
					}
				}
			}()
		}
		var want []string
		for i := range messages {
			h := sending("orders")
			h.QueueID = int32(i % 4)
			want = append(want, fmt.Sprintf("%03d", i))
			c.send(h, want[i])
			if i%10 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		time.Sleep(time.Second) // none has to wait for a timeout
		synctest.Wait()
		var list []string
		for len(got) > 0 {
			list = append(list, <-got)
		}
		slices.Sort(list)
		if diff := cmp.Diff(want, list); diff != "" {
			t.Errorf("popped (-want +got):\n%s", diff)
		}
		close(stop)
		for _, e := range ended {
			<-e
		}
		time.Sleep(10 * time.Minute)
		c.expectPop("orders")
	})
}

// Only heartbeats make a group be online: 5.4.0 keeps what it learns of groups that
// just pop beside (ConsumerManager.consumerCompensationTable), where code 203 does not
// look.
func TestAGroupThatOnlyPopsIsNotOnline(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		c.createTopic("orders", 1)
		c.send(sending("orders"), "x")
		c.ack("orders", c.pop(popping("orders")).receipts...)
		online := func() *protocol.Command {
			return c.call(protocol.GetConsumerConnections, &protocol.ConsumerListRequest{ConsumerGroup: "group"}, nil)
		}
		if resp := online(); resp.Code != protocol.ConsumerNotOnline || resp.Remark != "the consumer group[group] not online" {
			t.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
		}
		c.heartbeat("me", "", "group", subscription(t, "orders", "*"))
		if resp := online(); resp.Code != protocol.Success {
			t.Errorf("after a heartbeat: %s: %s", protocol.ResponseName(resp.Code), resp.Remark)
		}
	})
}
