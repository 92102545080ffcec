package brokerlite

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// answered is a response's code and remark, or its body.
func answered(resp *protocol.Command) string {
	if resp.Code != protocol.Success || resp.Remark != "" {
		return protocol.ResponseName(resp.Code) + ": " + resp.Remark
	}
	return string(resp.Body)
}

func (c *client) commit(group, topic string, queueID int32, offset int64) *protocol.Command {
	c.t.Helper()
	return c.call(protocol.UpdateConsumerOffset, &protocol.ConsumerOffsetRequest{
		Code: protocol.UpdateConsumerOffset, ConsumerGroup: group, Topic: topic, QueueID: queueID, CommitOffset: offset,
	}, nil)
}

// offset is what code 14 says.
func (c *client) offset(group, topic string, queueID int32) string {
	c.t.Helper()
	resp := c.call(protocol.QueryConsumerOffset, &protocol.ConsumerOffsetRequest{Code: protocol.QueryConsumerOffset, ConsumerGroup: group, Topic: topic, QueueID: queueID}, nil)
	if resp.Code != protocol.Success {
		return protocol.ResponseName(resp.Code)
	}
	return resp.Fields.Value("offset")
}

// fill makes a topic with messages in queue 0, a minute apart, and the group
// "consumers".
func (c *client) fill(topic string, queues int32, messages int) {
	c.t.Helper()
	c.createTopic(topic, queues)
	for i := range messages {
		c.send(sending(topic), fmt.Sprint(i))
		time.Sleep(time.Minute)
	}
	c.pull(pulling(topic, 0, "*"))
}

func TestToolsSeeWhoIsConnected(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		one := dial(t, b)
		one.heartbeat("one", "producers", "consumers", subscription(t, "orders", "a || b"))
		addr := one.conn.LocalAddr().String()
		connection := fmt.Sprintf(`{"clientAddr":%q,"clientId":"one","language":"JAVA","version":493}`, addr)
		sub := `{"classFilterMode":false,"codeSet":[97,98],"expressionType":"TAG","subString":"a || b","subVersion":1,"tagsSet":["a","b"],"topic":"orders"}`
		c.createTopic("orders", 1)
		c.send(sending("orders"), "x")
		c.pull(pulling("orders", 0, "*")) // makes the group
		c.commit("consumers", "orders", 0, 1)
		other := pulling("orders", 0, "*")
		other.ConsumerGroup = "others"
		c.pull(other)
		c.commit("others", "orders", 0, 1)
		for _, test := range []struct {
			code protocol.Code
			h    protocol.Header
			want string
		}{
			{protocol.GetConsumerConnections, &protocol.ConsumerListRequest{ConsumerGroup: "consumers"},
				`{"connectionSet":[` + connection + `],"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING","subscriptionTable":{"orders":` + sub + `}}`},
			{protocol.GetConsumerConnections, &protocol.ConsumerListRequest{ConsumerGroup: "none"}, "CONSUMER_NOT_ONLINE: the consumer group[none] not online"},
			{protocol.GetProducerConnections, &protocol.ProducerGroupRequest{ProducerGroup: "producers"}, `{"connectionSet":[` + connection + `]}`},
			{protocol.GetProducerConnections, &protocol.ProducerGroupRequest{ProducerGroup: "none"}, "SYSTEM_ERROR: the producer group[none] not exist"},
			{protocol.GetAllProducers, nil, fmt.Sprintf(`{"data":{"producers":[{"clientId":"one","language":"JAVA","lastUpdateTimestamp":%d,"remoteIP":%q,"version":493}]}}`, now().UnixMilli(), "/"+addr)},
			{protocol.QueryTopicConsumers, &protocol.TopicRequest{Topic: "orders"}, `{"groupList":["consumers","others"]}`},
			{protocol.QueryTopicConsumers, &protocol.TopicRequest{Topic: "none"}, `{"groupList":[]}`},
			{protocol.QueryTopicsByConsumer, &protocol.GroupTopicRequest{Group: "others"}, fmt.Sprintf(`{"brokerAddr":%q,"topicList":["orders"]}`, b.Addr())},
			{protocol.QuerySubscription, &protocol.GroupTopicRequest{Group: "consumers", Topic: "orders"}, `{"group":"consumers","subscriptionData":` + sub + `,"topic":"orders"}`},
			{protocol.QuerySubscription, &protocol.GroupTopicRequest{Group: "others", Topic: "orders"}, `{"group":"others","topic":"orders"}`},
		} {
			if got := answered(c.call(test.code, test.h, nil)); got != test.want {
				t.Errorf("%s:\n%s, want\n%s", protocol.RequestName(test.code), got, test.want)
			}
		}
	})
}

func TestToolsSeeHowFarGroupsHaveCome(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		begun := now().UnixMilli()
		c.fill("orders", 2, 4)
		c.createTopic("bills", 1)
		c.commit("consumers", "orders", 0, 2)
		c.commit("consumers", "bills", 0, 0)
		c.pull(pulling("orders", 2, "*"))
		queue := func(topic string, id int32) protocol.MessageQueue {
			return protocol.MessageQueue{Topic: topic, BrokerName: b.Name(), QueueID: id}
		}
		orders := map[protocol.MessageQueue]protocol.ConsumeOffset{
			queue("orders", 0): {BrokerOffset: 4, ConsumerOffset: 2, PullOffset: 4, LastTimestamp: begun + 60_000}, queue("orders", 1): {},
		}
		both := map[protocol.MessageQueue]protocol.ConsumeOffset{queue("bills", 0): {}}
		for q, o := range orders {
			both[q] = o
		}
		stats := func(h *protocol.ConsumeStatsRequest) map[protocol.MessageQueue]protocol.ConsumeOffset {
			t.Helper()
			s, err := protocol.DecodeConsumeStats(c.ok(protocol.GetConsumeStats, h, nil).Body)
			if err != nil {
				t.Fatal(err)
			}
			return s.Offsets
		}
		none := map[protocol.MessageQueue]protocol.ConsumeOffset{}
		for name, test := range map[string]struct {
			got, want map[protocol.MessageQueue]protocol.ConsumeOffset
		}{
			"one topic":     {stats(&protocol.ConsumeStatsRequest{ConsumerGroup: "consumers", Topic: "orders"}), orders},
			"all topics":    {stats(&protocol.ConsumeStatsRequest{ConsumerGroup: "consumers"}), both},
			"no such topic": {stats(&protocol.ConsumeStatsRequest{ConsumerGroup: "consumers", Topic: "none"}), none},
			"no such group": {stats(&protocol.ConsumeStatsRequest{ConsumerGroup: "none"}), none},
		} {
			if diff := cmp.Diff(test.want, test.got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		c.heartbeat("me", "", "consumers", subscription(t, "orders", "*"))
		for name, test := range map[string]struct {
			got, want map[protocol.MessageQueue]protocol.ConsumeOffset
		}{
			"what it subscribes to": {stats(&protocol.ConsumeStatsRequest{ConsumerGroup: "consumers"}), orders},
			"what it does not":      {stats(&protocol.ConsumeStatsRequest{ConsumerGroup: "consumers", Topic: "bills"}), none},
			"a list is not held against it": {
				stats(&protocol.ConsumeStatsRequest{ConsumerGroup: "consumers", TopicList: "orders;bills;none;orders"}), both,
			},
		} {
			if diff := cmp.Diff(test.want, test.got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		all := answered(c.call(protocol.GetBrokerConsumeStats, &protocol.BrokerConsumeStatsRequest{}, nil))
		ordersText := string(protocol.EncodeConsumeStats(&protocol.ConsumeStats{Offsets: orders, TPS: 6})) // two pulls within a second
		if !strings.Contains(all, `{"consumers":[`+ordersText+`]}`) || !strings.HasSuffix(all, `"totalDiff":2,"totalInflightDiff":2}`) {
			t.Error(all)
		}
		if all := answered(c.call(protocol.GetBrokerConsumeStats, &protocol.BrokerConsumeStatsRequest{OrderedOnly: true}, nil)); strings.Contains(all, "orders") {
			t.Error(all)
		}
		spans := answered(c.call(protocol.QueryConsumeTimeSpan, &protocol.GroupTopicRequest{Group: "consumers", Topic: "orders"}, nil))
		want := fmt.Sprintf(`{"consumeTimeSpanSet":[{"consumeTimeStamp":%d,"delayTime":120000,"maxTimeStamp":%d,"messageQueue":{"brokerName":"broker-a","queueId":0,"topic":"orders"},"minTimeStamp":%d},`+
			`{"consumeTimeStamp":-1,"delayTime":0,"maxTimeStamp":-1,"messageQueue":{"brokerName":"broker-a","queueId":1,"topic":"orders"},"minTimeStamp":-1}]}`, begun+60_000, begun+180_000, begun)
		if spans != want {
			t.Errorf("%s, want\n%s", spans, want)
		}
	})
}

func TestOffsetsAreComparedAndCopied(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.fill("orders", 2, 4)
		for group, offset := range map[string]int64{"consumers": 2, "fast": 4, "slow": 1} {
			h := pulling("orders", 0, "*")
			h.ConsumerGroup = group
			c.pull(h)
			c.commit(group, "orders", 0, offset)
		}
		c.commit("fast", "orders", 1, 3)
		correction := func(compare, without string) string {
			t.Helper()
			return answered(c.call(protocol.QueryCorrectionOffset, &protocol.CorrectionOffsetRequest{Topic: "orders", CompareGroup: compare, FilterGroups: without}, nil))
		}
		for _, test := range []struct{ name, got, want string }{
			{"the smallest", correction("", ""), `{"correctionOffsets":{0:1,1:3}}`},
			{"one left out", correction("", "slow,x"), `{"correctionOffsets":{0:2,1:3}}`},
			{"the compared one is behind", correction("slow", "slow"), fmt.Sprintf(`{"correctionOffsets":{0:%d,1:3}}`, int64(math.MaxInt64))},
			{"and its offset is still there", c.offset("slow", "orders", 0), "1"},
		} {
			if test.got != test.want {
				t.Errorf("%s: %s, want %s", test.name, test.got, test.want)
			}
		}
		clone := func(from, to, topic string, offline bool) string {
			t.Helper()
			return answered(c.call(protocol.CloneGroupOffset, &protocol.CloneOffsetRequest{From: from, To: to, Topic: topic, Offline: offline}, nil))
		}
		c.heartbeat("me", "", "fast", subscription(t, "bills", "*"))
		for _, test := range []struct{ name, got, want string }{
			{"one topic", clone("consumers", "copy", "orders", false) + c.offset("copy", "orders", 0), "2"},
			{"the source does not subscribe", clone("fast", "copy2", "orders", false) + c.offset("copy2", "orders", 1), "QUERY_NOT_FOUND"},
			{"and need not", clone("fast", "copy2", "orders", true) + c.offset("copy2", "orders", 1), "3"},
			{"all topics", clone("slow", "copy3", "", true) + c.offset("copy3", "orders", 0), "1"},
			{"a source without offsets changes nothing", clone("none", "copy", "orders", true) + c.offset("copy", "orders", 0), "2"},
			{"a bad name", clone("slow", "a b", "orders", true), "INVALID_PARAMETER"},
		} {
			if !strings.HasPrefix(test.got, test.want) {
				t.Errorf("%s: %s, want %s", test.name, test.got, test.want)
			}
		}
	})
}

func TestAResetMovesARunningGroup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		begun := now().UnixMilli()
		c.fill("orders", 2, 4)
		c.commit("consumers", "orders", 0, 4)

		parked := pulling("orders", 4, "*")
		parked.SysFlag |= protocol.PullSuspend
		parked.SuspendTimeout = 15_000
		type result struct {
			p  pulled
			at time.Time
		}
		woken := make(chan result, 1)
		member := dial(t, b)
		go func() { woken <- result{member.pull(parked), time.Now()} }()
		synctest.Wait()

		admin := dial(t, b)
		reset := func(h *protocol.ResetOffsetRequest) string {
			t.Helper()
			return answered(admin.call(protocol.ResetOffset, h, nil))
		}
		at := time.Now()
		want := `{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"orders"}:1,{"brokerName":"broker-a","queueId":1,"topic":"orders"}:0}}`
		if got := reset(&protocol.ResetOffsetRequest{Group: "consumers", Topic: "orders", QueueID: -1, Timestamp: begun + 1, Force: true}); got != want {
			t.Errorf("%s, want\n%s", got, want)
		}
		r := <-woken
		if r.p.code != protocol.PullOffsetMoved || r.p.remark != "OFFSET_RESET" || r.p.NextBeginOffset != 1 || r.p.MaxOffset != 4 || !r.at.Equal(at) {
			t.Errorf("the parked pull got %+v after %s", r.p, r.at.Sub(at))
		}
		if got := c.offset("consumers", "orders", 0); got != "1" {
			t.Errorf("offset %s", got)
		}
		// It was told; from now on its commits count.
		c.commit("consumers", "orders", 0, 2)
		if got := c.offset("consumers", "orders", 0); got != "2" {
			t.Errorf("offset %s after a commit", got)
		}

		// A commit of where the client was, alone or with a pull, does not count.
		if got := reset(&protocol.ResetOffsetRequest{Group: "consumers", Topic: "orders", QueueID: 0, Offset: protocol.SomeInt64(3), Timestamp: 0}); !strings.HasSuffix(got, `:3}}`) || strings.Contains(got, `"queueId":1`) {
			t.Error(got)
		}
		if resp := c.commit("consumers", "orders", 0, 4); answered(resp) != "SUCCESS: Offset has been previously reset" {
			t.Error(answered(resp))
		}
		late := pulling("orders", 4, "*")
		late.SysFlag |= protocol.PullCommitOffset
		late.CommitOffset = 4
		if p := c.pull(late); p.code != protocol.PullOffsetMoved || p.NextBeginOffset != 3 {
			t.Errorf("%+v", p)
		}
		if got := c.offset("consumers", "orders", 0); got != "3" {
			t.Errorf("offset %s after a pull that carried another", got)
		}
		if p := c.pull(pulling("orders", 3, "*")); p.code != protocol.Success || len(p.records) != 1 {
			t.Errorf("%+v", p)
		}

		if got := reset(&protocol.ResetOffsetRequest{Group: "consumers", Topic: "orders", QueueID: 0, Timestamp: protocol.LatestOffset}); !strings.HasSuffix(got, `:4}}`) {
			t.Error(got)
		}
		for name, test := range map[string]struct {
			h    protocol.ResetOffsetRequest
			want string
		}{
			"no topic": {protocol.ResetOffsetRequest{Group: "consumers", Topic: "none", QueueID: -1}, "TOPIC_NOT_EXIST: Topic none does not exist"},
			"no group": {protocol.ResetOffsetRequest{Group: "none", Topic: "orders", QueueID: -1}, "SUBSCRIPTION_GROUP_NOT_EXIST: Group none does not exist"},
			"no queue": {protocol.ResetOffsetRequest{Group: "consumers", Topic: "orders", QueueID: 2}, "SYSTEM_ERROR: Topic orders has no queue 2"},
			"too far": {protocol.ResetOffsetRequest{Group: "consumers", Topic: "orders", QueueID: 0, Offset: protocol.SomeInt64(6)},
				"SYSTEM_ERROR: Target offset 6 not in consume queue range [0-4]"},
			"below": {protocol.ResetOffsetRequest{Group: "consumers", Topic: "orders", QueueID: 0, Offset: protocol.SomeInt64(-2)},
				"SYSTEM_ERROR: Target offset -2 not in consume queue range [0-4]"},
		} {
			if got := reset(&test.h); got != test.want {
				t.Errorf("%s: %s", name, got)
			}
		}
	})
}

func TestAResetOfTheOldKindTellsTheMembers(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		begun := now().UnixMilli()
		c.fill("orders", 1, 4)
		h := &protocol.ResetOffsetRequest{Group: "consumers", Topic: "orders", QueueID: -1, Timestamp: begun + 1}
		if got := answered(c.call(protocol.ResetOffset, h, nil)); got != "SYSTEM_ERROR: THe consumer group <consumers> not exist" {
			t.Error(got)
		}
		c.commit("consumers", "orders", 0, 2)
		if got, want := answered(c.call(protocol.ResetOffset, h, nil)), fmt.Sprintf("CONSUMER_NOT_ONLINE: Consumer not online, so can not reset offset, Group: consumers Topic: orders Timestamp: %d", begun+1); got != want {
			t.Error(got)
		}
		none := *h
		none.Topic = "none"
		if got := answered(c.call(protocol.ResetOffset, &none, nil)); got != "TOPIC_NOT_EXIST: [reset-offset] reset offset failed, no topic in this broker. topic=none" {
			t.Error(got)
		}
		one, two := dial(t, b), dial(t, b)
		one.heartbeat("one", "", "consumers", subscription(t, "orders", "*"))
		two.heartbeat("two", "", "consumers", subscription(t, "orders", "*"))
		table := func(offset int64) string {
			return fmt.Sprintf(`{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"orders"}:%d}}`, offset)
		}
		latest := *h
		latest.Timestamp = protocol.LatestOffset // not further than it is, unless it is forced
		forced := latest
		forced.Force = true
		for i, test := range []struct {
			h    *protocol.ResetOffsetRequest
			want string
		}{{h, table(1)}, {&latest, table(2)}, {&forced, table(4)}} {
			if got := answered(c.call(protocol.ResetOffset, test.h, nil)); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			synctest.Wait()
			for _, member := range []*client{one, two} {
				told := member.requests(protocol.ResetClientOffset)
				if len(told) != i+1 || string(told[i].Body) != test.want || !told[i].IsOneway() ||
					told[i].Fields.Value("group") != "consumers" || told[i].Fields.Value("topic") != "orders" || told[i].Fields.Value("timestamp") != itoa(test.h.Timestamp) {
					t.Errorf("told %d times: %+v", len(told), told)
				}
			}
		}
		if got := c.offset("consumers", "orders", 0); got != "2" {
			t.Errorf("offset %s: the members commit it, not the broker", got)
		}
		cmd := protocol.Command{Code: protocol.ResetOffset, Language: protocol.LanguageCPP, Version: protocol.VersionV5_4_0}
		resp, err := c.conn.Call(t.Context(), &cmd, h)
		if err != nil || answered(resp) != table(1) {
			t.Error(resp, err)
		}
		synctest.Wait()
		if told := one.requests(protocol.ResetClientOffset); string(told[3].Body) != `{"offsetTable":[{"brokerName":"broker-a","offset":1,"queueId":0,"topic":"orders"}]}` {
			t.Errorf("%s", told[3].Body)
		}
	}, Conf("useServerSideResetOffset=false\n"))
}

func TestOffsetsAreOfQueuesThatATopicHasOrHad(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 8)
		c.heartbeat("me", "", "consumers", subscription(t, "orders", "*"))
		h := sending("orders")
		h.QueueID = 6
		c.send(h, "hello")
		c.createTopic("orders", 4)
		for queue, want := range map[int32]string{3: "1", 6: "1", 5: "QUERY_NOT_FOUND", 8: "QUERY_NOT_FOUND", math.MaxInt32: "QUERY_NOT_FOUND"} {
			resp := c.commit("consumers", "orders", queue, 1)
			if got := c.offset("consumers", "orders", queue); got != want || (resp.Code == protocol.Success) != (want == "1") {
				t.Errorf("queue %d: %s, and offset %s, want %s", queue, answered(resp), got, want)
			}
		}
	})
}
