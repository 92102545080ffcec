package native

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

func brokerData(name string, addrs map[int64]string) protocol.BrokerData {
	return protocol.BrokerData{BrokerName: name, BrokerAddrs: addrs}
}

func queueData(name string, perm, read, write int32) protocol.QueueData {
	return protocol.QueueData{BrokerName: name, Perm: perm, ReadQueueNums: read, WriteQueueNums: write}
}

func ids(topic string, pairs ...any) []message.Queue {
	var qs []message.Queue
	for i := 0; i < len(pairs); i += 2 {
		qs = append(qs, message.Queue{Topic: topic, Broker: pairs[i].(string), ID: pairs[i+1].(int)})
	}
	return qs
}

func TestRouteFollowsPermissionsAndQueueNumbers(t *testing.T) {
	t.Parallel()
	const r, w = protocol.PermRead, protocol.PermWrite
	master := map[int64]string{0: "10.0.0.1:10911"}
	tests := []struct {
		name               string
		data               protocol.TopicRoute
		publish, subscribe []message.Queue
	}{
		{
			"both, sorted by broker",
			protocol.TopicRoute{
				QueueDatas:  []protocol.QueueData{queueData("b", r|w, 1, 1), queueData("a", r|w, 2, 2)},
				BrokerDatas: []protocol.BrokerData{brokerData("b", master), brokerData("a", master)},
			},
			ids("t", "a", 0, "a", 1, "b", 0), ids("t", "a", 0, "a", 1, "b", 0),
		},
		{
			"fewer write than read queues",
			protocol.TopicRoute{QueueDatas: []protocol.QueueData{queueData("a", r|w, 3, 1)}, BrokerDatas: []protocol.BrokerData{brokerData("a", master)}},
			ids("t", "a", 0), ids("t", "a", 0, "a", 1, "a", 2),
		},
		{
			"read only",
			protocol.TopicRoute{QueueDatas: []protocol.QueueData{queueData("a", r, 1, 1)}, BrokerDatas: []protocol.BrokerData{brokerData("a", master)}},
			nil, ids("t", "a", 0),
		},
		{
			"write only",
			protocol.TopicRoute{QueueDatas: []protocol.QueueData{queueData("a", w, 1, 1)}, BrokerDatas: []protocol.BrokerData{brokerData("a", master)}},
			ids("t", "a", 0), nil,
		},
		{
			"a slave without its master can be read",
			protocol.TopicRoute{QueueDatas: []protocol.QueueData{queueData("a", r|w, 1, 1)}, BrokerDatas: []protocol.BrokerData{brokerData("a", map[int64]string{1: "10.0.0.2:10911"})}},
			nil, ids("t", "a", 0),
		},
		{
			"queues of a broker without an address",
			protocol.TopicRoute{QueueDatas: []protocol.QueueData{queueData("gone", r|w, 1, 1)}},
			nil, nil,
		},
		{
			"an ordered topic keeps the queues of a broker that is gone, in the order that was written down",
			protocol.TopicRoute{
				OrderTopicConf: "gone:2;a:1",
				QueueDatas:     []protocol.QueueData{queueData("a", r|w, 4, 4)}, BrokerDatas: []protocol.BrokerData{brokerData("a", master)},
			},
			ids("t", "gone", 0, "gone", 1, "a", 0), ids("t", "a", 0, "a", 1, "a", 2, "a", 3),
		},
		{
			"an order that cannot be read is none",
			protocol.TopicRoute{
				OrderTopicConf: "a:1;b:many",
				QueueDatas:     []protocol.QueueData{queueData("a", r|w, 1, 2)}, BrokerDatas: []protocol.BrokerData{brokerData("a", master)},
			},
			ids("t", "a", 0, "a", 1), ids("t", "a", 0),
		},
		{
			"an order without bounds is none",
			protocol.TopicRoute{
				OrderTopicConf: "a:65536;b:1",
				QueueDatas:     []protocol.QueueData{queueData("a", w, 0, 1)}, BrokerDatas: []protocol.BrokerData{brokerData("a", master)},
			},
			ids("t", "a", 0), nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := newRoute("t", &tt.data)
			if diff := cmp.Diff(tt.publish, got.publish); diff != "" {
				t.Errorf("publish: %s", diff)
			}
			if diff := cmp.Diff(tt.subscribe, got.subscribe); diff != "" {
				t.Errorf("subscribe: %s", diff)
			}
		})
	}
}

func TestAutoRouteHasAtMostFourQueuesOfTheDefaultTopic(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ read, want int32 }{{8, 4}, {2, 2}} {
		data := &protocol.TopicRoute{
			QueueDatas:  []protocol.QueueData{queueData("a", 7, tt.read, 8)},
			BrokerDatas: []protocol.BrokerData{brokerData("a", map[int64]string{0: "10.0.0.1:10911"})},
		}
		r := autoRoute("fresh", data)
		if len(r.publish) != int(tt.want) || r.publish[0].Topic != "fresh" || len(r.subscribe) != 0 || !r.auto {
			t.Errorf("%d queues: %+v", tt.read, r)
		}
		if data.QueueDatas[0].WriteQueueNums != 8 {
			t.Error("the default topic's own answer was changed")
		}
	}
}

func TestReaderPrefersTheSuggestedBroker(t *testing.T) {
	t.Parallel()
	both := &brokerAddrs{addrs: map[int64]string{0: "master", 1: "slave 1", 2: "slave 2"}}
	slaves := &brokerAddrs{addrs: map[int64]string{2: "slave 2", 1: "slave 1"}}
	tests := []struct {
		b      *brokerAddrs
		id     int64
		addr   string
		master bool
	}{
		{both, 0, "master", true}, {both, 2, "slave 2", false}, {both, 7, "master", true},
		{slaves, 0, "slave 1", false}, {slaves, 2, "slave 2", false}, {&brokerAddrs{}, 0, "", false},
	}
	for _, tt := range tests {
		if addr, master := tt.b.reader(tt.id); addr != tt.addr || master != tt.master {
			t.Errorf("id %d of %v: %q %v", tt.id, tt.b.addrs, addr, master)
		}
	}
}
