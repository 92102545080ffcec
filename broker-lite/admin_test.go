package brokerlite

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

func TestATopicMadeByHandCanBeRoutedToAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.ok(protocol.UpdateAndCreateTopic, &protocol.CreateTopicRequest{
			Topic: "orders", DefaultTopic: "orders", ReadQueueNums: 8, WriteQueueNums: 6, Perm: 6, TopicFilterType: protocol.SingleTag,
			Attributes: "+message.type=FIFO",
		}, nil)
		r := route(t, b, "orders")
		if r == nil || r.QueueDatas[0].ReadQueueNums != 8 || r.QueueDatas[0].WriteQueueNums != 6 || r.BrokerDatas[0].BrokerAddrs[0] != b.Addr() {
			t.Fatalf("%+v", r)
		}
		var config protocol.TopicConfig
		if err := protocol.DecodeBody(c.ok(protocol.GetTopicConfig, &protocol.TopicRequest{Topic: "orders"}, nil).Body, &config); err != nil {
			t.Fatal(err)
		}
		want := protocol.TopicConfig{TopicName: "orders", ReadQueueNums: 8, WriteQueueNums: 6, Perm: 6, TopicFilterType: protocol.SingleTag, Attributes: map[string]string{"message.type": "FIFO"}}
		if diff := cmp.Diff(want, config); diff != "" {
			t.Error(diff)
		}
		for _, test := range []struct{ topic, attributes, want string }{
			{"a b", "", "INVALID_PARAMETER: The specified topic: a b, contains illegal characters"},
			{"TBW102", "", "INVALID_PARAMETER: The topic[TBW102] is conflict with system topic."},
			{"x", "nonsense", "SYSTEM_ERROR: topic x: "},
		} {
			resp := c.call(protocol.UpdateAndCreateTopic, &protocol.CreateTopicRequest{
				Topic: test.topic, DefaultTopic: "x", ReadQueueNums: 1, WriteQueueNums: 1, Perm: 6, TopicFilterType: protocol.SingleTag, Attributes: test.attributes,
			}, nil)
			if got := protocol.ResponseName(resp.Code) + ": " + resp.Remark; !strings.HasPrefix(got, test.want) {
				t.Errorf("%s: %s", test.topic, got)
			}
		}
	})
}

func TestATopicsFigures(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 2)
		c.send(sending("orders"), "1")
		time.Sleep(time.Minute)
		c.send(sending("orders"), "2")
		stats, err := protocol.DecodeTopicStats(c.ok(protocol.GetTopicStats, &protocol.TopicRequest{Topic: "orders"}, nil).Body)
		if err != nil {
			t.Fatal(err)
		}
		queue := func(id int32) protocol.MessageQueue {
			return protocol.MessageQueue{Topic: "orders", BrokerName: b.Name(), QueueID: id}
		}
		want := map[protocol.MessageQueue]protocol.TopicOffset{
			queue(0): {MaxOffset: 2, LastUpdateTimestamp: now().UnixMilli()}, queue(1): {},
		}
		if diff := cmp.Diff(want, stats.Offsets); diff != "" {
			t.Error(diff)
		}
		for _, code := range []protocol.Code{protocol.GetTopicStats, protocol.GetTopicConfig} {
			if resp := c.call(code, &protocol.TopicRequest{Topic: "none"}, nil); resp.Code != protocol.TopicNotExist {
				t.Errorf("%s: %s", protocol.RequestName(code), protocol.ResponseName(resp.Code))
			}
		}
	})
}

func TestTheBrokersFigures(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		table := func() map[string]string {
			t.Helper()
			var kv protocol.KVTable
			if err := protocol.DecodeBody(c.ok(protocol.GetBrokerRuntimeInfo, nil, nil).Body, &kv); err != nil {
				t.Fatal(err)
			}
			return kv.Table
		}
		for name, want := range map[string]string{
			"brokerVersionDesc": "V5_4_0", "brokerActive": "true", "putTps": "0.00 0.00 0.00", "getTransferredTps": "0.00 0.00 0.00", "getTransferedTps": "0.00 0.00 0.00",
			"commitLogDiskRatio": "0.01", "putMessageAverageSize": "0.0", "msgPutTotalTodayNow": "0", "runtime": "[ 0 days, 0 hours, 0 minutes, 0 seconds ]", "commitLogMaxOffset": "0",
			"sendThreadPoolQueueSize": "0", "sendThreadPoolQueueHeadWaitTimeMills": "0", "pageCacheLockTimeMills": "0", "timerReadBehind": "0",
		} {
			if got := table()[name]; got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		earliest := now().UnixMilli()
		for range 60 {
			for range 5 {
				c.send(sending("orders"), "x")
			}
			time.Sleep(time.Second)
		}
		h := pulling("orders", 0, "*")
		for h.QueueOffset < 300 {
			h.QueueOffset = c.pull(h).NextBeginOffset
		}
		c.send(sending("orders", "DELAY", "3"), "x")
		got := table()
		for name, want := range map[string]string{
			"putTps": "5.00 5.00 5.00", "msgPutTotalTodayNow": "301", "msgGetTotalTodayNow": "300", "earliestMessageTimeStamp": itoa(earliest),
			"scheduleMessageOffset_3": "0,1", "putMessageTimesTotal": "301", "runtime": "[ 0 days, 0 hours, 1 minutes, 0 seconds ]",
		} {
			if name == "putTps" {
				if !strings.HasPrefix(got[name], "4.") && !strings.HasPrefix(got[name], "5.") {
					t.Errorf("%s is %q", name, got[name])
				}
				continue
			}
			if got[name] != want {
				t.Errorf("%s is %q, want %q", name, got[name], want)
			}
		}
		time.Sleep(time.Hour)
		if got := table()["putTps"]; got != "0.00 0.00 0.00" {
			t.Errorf("putTps an hour later: %s", got)
		}
	})
}

func TestAnUnknownRequestIsAnsweredWithThree(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		for _, c := range []*client{c, dialAddr(t, b, b.NameServer())} {
			for _, codec := range []protocol.Codec{protocol.JSON, protocol.Binary} {
				c.codec = codec
				for _, code := range []protocol.Code{9999, 0, -1} {
					if resp := c.call(code, nil, nil); resp.Code != protocol.CodeNotSupported || !strings.HasSuffix(resp.Remark, " not supported") || !strings.HasPrefix(resp.Remark, " request type ") {
						t.Errorf("%d: %s: %q", code, protocol.ResponseName(resp.Code), resp.Remark)
					}
				}
			}
		}
	})
}

func TestTheNameServerKnowsTheBroker(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		ns := dialAddr(t, b, b.NameServer())
		info, err := protocol.DecodeClusterInfo(ns.ok(protocol.GetClusterInfo, nil, nil).Body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string][]string{"east": {"b1"}}, info.Clusters); diff != "" {
			t.Error(diff)
		}
		if b.Name() != "b1" || b.Cluster() != "east" || info.BrokerAddrs["b1"].BrokerAddrs[0] != b.Addr() {
			t.Errorf("%+v", info)
		}
		for _, topic := range []string{"east", "b1", "east_REPLY_TOPIC", "TBW102"} {
			if route(t, b, topic) == nil {
				t.Errorf("no route of %s", topic)
			}
		}
	}, Name("b1", "east"))
}
