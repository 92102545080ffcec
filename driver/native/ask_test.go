package native

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// ask sends a question to a member, as brokers do for administrators.
func ask(t *testing.T, conn *remoting.Conn, code protocol.Code, h protocol.Header, body []byte) *protocol.Command {
	t.Helper()
	cmd := protocol.ClientRequest(code)
	resp, err := conn.Call(t.Context(), &cmd, h, body)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestAConsumerTellsWhereAndHowItIs(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 2)
		b := c.brokers["a"]
		b.produce(orders0, 5)
		conns := b.greeters()
		began := time.Now().UnixMilli()
		sink := &collector{}
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		pass(2 * time.Second)
		for i, d := range sink.all() {
			if i != 2 {
				d.ack()
			}
		}
		settled := time.Now().UnixMilli()
		pass(time.Second)
		conn := conns()[0]
		resp := ask(t, conn, protocol.GetClientStatus, &protocol.GroupTopicRequest{Group: "group", Topic: "orders"}, nil)
		offsets, err := protocol.DecodeClientOffsets(resp.Body)
		want := map[protocol.MessageQueue]int64{{Topic: "orders", BrokerName: "a"}: 2, {Topic: "orders", BrokerName: "a", QueueID: 1}: 0}
		if diff := cmp.Diff(want, offsets); diff != "" || err != nil {
			t.Error(diff, err)
		}

		resp = ask(t, conn, protocol.GetClientRunningInfo, &protocol.RunningInfoRequest{ConsumerGroup: "group", ClientID: "x"}, nil)
		body, err := protocol.NormalizeJSON(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var info struct {
			Queues        map[string]protocol.ProcessQueue `json:"mqTable"`
			Properties    map[string]string                `json:"properties"`
			Subscriptions []protocol.SubscriptionData      `json:"subscriptionSet"`
		}
		if err := json.Unmarshal(body, &info); err != nil {
			t.Fatal(err)
		}
		q := info.Queues[`{"brokerName":"a","queueId":0,"topic":"orders"}`]
		if q.LastPullMs < began || q.LastConsumeMs != settled {
			t.Errorf("%+v", q)
		}
		q.LastPullMs, q.LastConsumeMs = 0, 0
		if diff := cmp.Diff(protocol.ProcessQueue{CommitOffset: 2, CachedCount: 1, CachedMin: 2, CachedMax: 4}, q); diff != "" {
			t.Error(diff)
		}
		if info.Properties[protocol.RunningConsumeType] != protocol.ConsumePassively || info.Properties[protocol.RunningSince] == "" || len(info.Subscriptions) != 2 || info.Subscriptions[1].Topic != "orders" {
			t.Errorf("%+v", info)
		}
		for _, resp := range []*protocol.Command{
			ask(t, conn, protocol.GetClientStatus, &protocol.GroupTopicRequest{Group: "none", Topic: "orders"}, nil),
			ask(t, conn, protocol.GetClientRunningInfo, &protocol.RunningInfoRequest{ConsumerGroup: "none", ClientID: "x"}, nil),
			ask(t, conn, protocol.ConsumeDirectly, &protocol.ConsumeDirectlyRequest{ConsumerGroup: "none"}, nil),
		} {
			if resp.Code != protocol.SystemError || resp.Remark != "The Consumer Group <none> not exist in this consumer" {
				t.Errorf("%+v", resp)
			}
		}
	})
}

func TestAQueueThatDoesNotAnswerIsLeftOut(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.ignore(protocol.QueryConsumerOffset) // the queue looks for its offset for ever
		conns := b.greeters()
		subscribe(t, c.open(), acking(), driver.SubscriptionConfig{}, "orders")
		pass(2 * time.Second)
		began := time.Now()
		resp := ask(t, conns()[0], protocol.GetClientStatus, &protocol.GroupTopicRequest{Group: "group", Topic: "orders"}, nil)
		if resp.Code != protocol.Success || string(resp.Body) != `{"messageQueueTable":{}}` || time.Since(began) > askTime+time.Second {
			t.Errorf("%s after %s", resp.Body, time.Since(began))
		}
	})
}

func TestAMessageIsHandledDirectlyOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		conns := b.greeters()
		verdict := driver.Verdict{Action: driver.ActionAck}
		sink := &collector{handle: func(d delivery) { d.settle(verdict) }}
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{}, "orders")
		pass(2 * time.Second)
		record, err := protocol.AppendRecord(nil, &protocol.Record{
			Topic: "%DLQ%group", QueueID: 3, Body: []byte("x"), Properties: []byte("UNIQ_KEY\x01id\x02RETRY_TOPIC\x01orders\x02"), ReconsumeTimes: 17,
		})
		if err != nil {
			t.Fatal(err)
		}
		h := &protocol.ConsumeDirectlyRequest{ConsumerGroup: "group", ClientID: "x", BrokerName: "a"}
		for _, test := range []struct {
			verdict driver.Verdict
			want    string
		}{
			{driver.Verdict{Action: driver.ActionAck}, `{"autoCommit":true,"consumeResult":"CR_SUCCESS","order":false,"spentTimeMills":0}`},
			{driver.Verdict{}, `{"autoCommit":true,"consumeResult":"CR_LATER","order":false,"spentTimeMills":0}`},
			{driver.Verdict{Action: driver.ActionDeadLetter}, `{"autoCommit":true,"consumeResult":"CR_LATER","order":false,"remark":"it would go to the dead letters","spentTimeMills":0}`},
		} {
			verdict = test.verdict
			before := len(sink.all())
			resp := ask(t, conns()[0], protocol.ConsumeDirectly, h, record)
			if string(resp.Body) != test.want {
				t.Errorf("%+v: %s", test.verdict, resp.Body)
			}
			got := sink.all()[before:]
			if len(got) != 1 || got[0].Topic != "orders" || got[0].ID != "id" || string(got[0].Body) != "x" || got[0].Group != "group" || got[0].Queue.ID != 3 {
				t.Errorf("delivered %+v", got)
			}
			if got[0].ctx.Err() == nil {
				t.Error("the handler's ctx goes on for ever")
			}
		}
		pass(10 * time.Second)
		if n := len(b.requests(protocol.SendMessageBack)); n != 0 {
			t.Errorf("%d messages were sent back", n)
		}
		if resp := ask(t, conns()[0], protocol.ConsumeDirectly, h, []byte("nonsense")); resp.Code != protocol.SystemError || !strings.HasPrefix(resp.Remark, "the message cannot be read: ") {
			t.Errorf("%+v", resp)
		}
	})
}

func TestMessagesThatAreHandledDirectlyAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		conns := c.brokers["a"].greeters()
		sink := &collector{}
		subscribe(t, c.open(), sink, driver.SubscriptionConfig{}, "orders")
		pass(2 * time.Second)
		record, err := protocol.AppendRecord(nil, &protocol.Record{Topic: "orders", Body: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		h := &protocol.ConsumeDirectlyRequest{ConsumerGroup: "group"}
		conn := conns()[0]
		for range maxDirects {
			cmd := protocol.ClientRequest(protocol.ConsumeDirectly)
			if err := conn.Oneway(t.Context(), &cmd, h, record); err != nil {
				t.Fatal(err)
			}
		}
		if resp := ask(t, conn, protocol.ConsumeDirectly, h, record); resp.Code != protocol.SystemBusy {
			t.Errorf("%+v", resp)
		}
		for _, d := range sink.all() {
			d.ack()
		}
		sink.handle = delivery.ack
		if resp := ask(t, conn, protocol.ConsumeDirectly, h, record); resp.Code != protocol.Success {
			t.Errorf("%+v", resp)
		}
	})
}
