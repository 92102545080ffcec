package brokerlite

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// fields are the header of a request that no type describes.
type fields map[string]string

func (f fields) AppendFields(w *protocol.FieldWriter) {
	for k, v := range f {
		w.String(k, v)
	}
}

// refused calls the broker and wants a code, and a remark with words.
func (c *client) refused(code protocol.Code, h protocol.Header, body string, with protocol.Code, words string) {
	c.t.Helper()
	resp := c.call(code, h, []byte(body))
	if resp.Code != with || !strings.Contains(resp.Remark, words) {
		c.t.Errorf("%s is answered with %s: %s; want %s: %s", protocol.RequestName(code), protocol.ResponseName(resp.Code), resp.Remark, protocol.ResponseName(with), words)
	}
}

func TestADeletedTopicTakesItsMessagesAndOffsets(t *testing.T) {
	var log logs
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 4)
		c.createTopic("%RETRY%consumers_orders", 1)
		c.createTopic("kept", 1)
		c.send(sending("orders"), "old")
		c.send(sending("kept"), "kept")
		c.heartbeat("c1", "", "consumers", subscription(t, "orders", "*"))
		c.ok(protocol.UpdateConsumerOffset, &protocol.ConsumerOffsetRequest{Code: protocol.UpdateConsumerOffset, ConsumerGroup: "consumers", Topic: "orders", CommitOffset: 1}, nil)
		c.refused(protocol.DeleteTopicInBroker, fields{"topic": "TBW102"}, "", protocol.InvalidParameter, "The topic[TBW102] is conflict with system topic.")
		c.refused(protocol.DeleteTopicInBroker, fields{"topic": " "}, "", protocol.InvalidParameter, "The specified topic is blank.")
		c.ok(protocol.DeleteTopicInBroker, fields{"topic": "orders"}, nil)
		c.ok(protocol.DeleteTopicInBroker, fields{"topic": "no such"}, nil)
		for _, topic := range []string{"orders", "%RETRY%consumers_orders"} {
			c.refused(protocol.GetTopicConfig, &protocol.TopicRequest{Topic: topic}, "", protocol.TopicNotExist, topic)
		}
		if p := c.pull(pulling("orders", 0, "*")); p.code != protocol.TopicNotExist {
			t.Errorf("a pull is answered with %s", protocol.ResponseName(p.code))
		}
		c.createTopic("orders", 4)
		c.refused(protocol.QueryConsumerOffset, &protocol.ConsumerOffsetRequest{Code: protocol.QueryConsumerOffset, ConsumerGroup: "consumers", Topic: "orders"}, "", protocol.QueryNotFound, "")
		if got := c.send(sending("orders"), "new").QueueOffset; got != 0 {
			t.Errorf("the first message of the new topic has the offset %d", got)
		}
		if got := bodies(c.messages("orders", 0)); !slices.Equal(got, []string{"new"}) {
			t.Errorf("the new topic holds %q", got)
		}
		if got := bodies(c.messages("kept", 0)); !slices.Equal(got, []string{"kept"}) {
			t.Errorf("the other topic holds %q", got)
		}
		if !strings.Contains(log.String(), `msg="admin change" request=DELETE_TOPIC_IN_BROKER peer=127.0.0.1:`) {
			t.Errorf("the log does not tell of the deletion:\n%s", log.String())
		}
	}, WithLogger(log.logger()))
}

func TestADeletedTopicStaysDeletedAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, Dir(dir))
	c := dial(t, b)
	c.createTopic("orders", 1)
	c.send(sending("orders"), "old")
	c.ok(protocol.DeleteTopicInBroker, fields{"topic": "orders"}, nil)
	stop(t, b)
	c = dial(t, start(t, Dir(dir)))
	c.refused(protocol.GetTopicConfig, &protocol.TopicRequest{Topic: "orders"}, "", protocol.TopicNotExist, "orders")
}

func TestAListOfTopicsIsMadeOrRefusedAsAWhole(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		list := func(names ...string) string {
			var parts []string
			for _, n := range names {
				parts = append(parts, `{"topicName":"`+n+`","readQueueNums":2,"writeQueueNums":3,"perm":6,"topicFilterType":"SINGLE_TAG","attributes":{"+message.type":"FIFO"}}`)
			}
			return `{"topicConfigList":[` + strings.Join(parts, ",") + `]}`
		}
		c.refused(protocol.UpdateAndCreateTopicList, nil, list("a", "TBW102"), protocol.InvalidParameter, "The topic[TBW102] is conflict with system topic.")
		c.refused(protocol.GetTopicConfig, &protocol.TopicRequest{Topic: "a"}, "", protocol.TopicNotExist, "a")
		c.ok(protocol.UpdateAndCreateTopicList, nil, []byte(list("a", "b")))
		for _, topic := range []string{"a", "b"} {
			if r := route(t, b, topic); r == nil || r.QueueDatas[0].ReadQueueNums != 2 || r.QueueDatas[0].WriteQueueNums != 3 {
				t.Errorf("the route of %s is %+v", topic, r)
			}
		}
		var all struct {
			Configs map[string]protocol.TopicConfig `json:"topicConfigTable"`
		}
		resp := c.ok(protocol.GetAllTopicConfig, nil, nil)
		if err := protocol.DecodeBody(resp.Body, &all); err != nil {
			t.Fatal(err)
		}
		want := protocol.TopicConfig{TopicName: "a", ReadQueueNums: 2, WriteQueueNums: 3, Perm: 6, TopicFilterType: protocol.SingleTag, Attributes: map[string]string{"message.type": "FIFO"}}
		if diff := cmp.Diff(want, all.Configs["a"]); diff != "" || resp.Fields.Value("totalTopicNum") != itoa(int64(len(all.Configs))) {
			t.Errorf("code 21 tells of %s topics, and of one (-want +got)\n%s", resp.Fields.Value("totalTopicNum"), diff)
		}
		c.ok(protocol.UpdateAndCreateTopicList, nil, []byte(`{"topicConfigList":[{"topicName":"bare"}]}`))
		if r := route(t, b, "bare"); r == nil || r.QueueDatas[0].ReadQueueNums != 16 || r.QueueDatas[0].WriteQueueNums != 16 || r.QueueDatas[0].Perm != 6 {
			t.Errorf("the route of a topic with a name only is %+v", r)
		}
		c.refused(protocol.UpdateAndCreateTopic, &protocol.CreateTopicRequest{
			Topic: "mixed", ReadQueueNums: 1, WriteQueueNums: 1, Perm: 6, TopicFilterType: protocol.SingleTag, Attributes: "+message.type=MIXED",
		}, "", protocol.InvalidParameter, "MIXED message type is not supported.")
		c.refused(protocol.UpdateStaticTopic, fields{"topic": "a"}, "{}", protocol.SystemError, "no static topics")
		var system protocol.TopicList
		if err := protocol.DecodeBody(c.ok(protocol.GetSystemTopicsFromBroker, nil, nil).Body, &system); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(system.Topics, "TBW102") || !slices.Contains(system.Topics, "SCHEDULE_TOPIC_XXXX") || slices.Contains(system.Topics, "a") {
			t.Errorf("the system topics are %q", system.Topics)
		}
	})
}

// The operator tells the name server (mqadmin updateTopic -o true, updateOrderConf),
// which tells the brokers when they register.
func TestATopicIsOrderedWhenTheNameServerSaysSo(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 4)
		names := dialAddr(t, b, b.NameServer())
		names.ok(protocol.PutKVConfig, fields{"namespace": "ORDER_TOPIC_CONFIG", "key": "orders", "value": b.Name() + ":4"}, nil)
		names.ok(protocol.UpdateNameServerConfig, nil, []byte("orderMessageEnable=true"))
		c.createTopic("another", 4) // the broker registers
		for _, topic := range []string{"orders", "another"} {
			var config protocol.TopicConfig
			if err := protocol.DecodeBody(c.ok(protocol.GetTopicConfig, &protocol.TopicRequest{Topic: topic}, nil).Body, &config); err != nil {
				t.Fatal(err)
			}
			if config.Order != (topic == "orders") {
				t.Errorf("topic %s: order=%t", topic, config.Order)
			}
		}
		if r := route(t, b, "orders"); r.OrderTopicConf != b.Name()+":4" {
			t.Errorf("the route says %q", r.OrderTopicConf)
		}
	})
}

// A delayed message comes to its topic though that was deleted in the meantime.
func TestMessagesOfTopicsThatDoNotExistAreCleaned(t *testing.T) {
	for _, clean := range []bool{false, true} {
		t.Run(strconv.FormatBool(clean), func(t *testing.T) {
			inBubble(t, func(t *testing.T, _ *Broker, c *client) {
				c.createTopic("kept", 1)
				c.send(sending("kept"), "kept")
				c.createTopic("lost", 1)
				c.send(sending("lost", "DELAY", "1"), "lost")
				c.ok(protocol.DeleteTopicInBroker, fields{"topic": "lost"}, nil)
				time.Sleep(2 * time.Second)
				want := []string{"lost"}
				if clean {
					want = []string{}
					c.ok(protocol.CleanUnusedTopic, nil, nil)
				}
				c.ok(protocol.CleanExpiredConsumeQueue, nil, nil)
				c.ok(protocol.DeleteExpiredCommitLog, nil, nil)
				c.createTopic("lost", 1)
				if got := bodies(c.messages("lost", 0)); !slices.Equal(got, want) {
					t.Errorf("the lost topic holds %q, want %q", got, want)
				}
				if got := bodies(c.messages("kept", 0)); !slices.Equal(got, []string{"kept"}) {
					t.Errorf("the other topic holds %q", got)
				}
			})
		})
	}
}

func TestWhatTopicsAndGroupsHaveHandled(t *testing.T) {
	type window struct {
		Sum int64
		TPS float64
	}
	type view struct {
		Minute window `json:"statsMinute"`
		Hour   window `json:"statsHour"`
		Day    window `json:"statsDay"`
	}
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		c.createTopic("orders", 1)
		look := func(name, key string) (v view) {
			t.Helper()
			if err := json.Unmarshal(c.ok(protocol.ViewBrokerStats, fields{"statsName": name, "statsKey": key}, nil).Body, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
		sums := func(v view) [3]int64 { return [3]int64{v.Minute.Sum, v.Hour.Sum, v.Day.Sum} }
		c.refused(protocol.ViewBrokerStats, fields{"statsName": "TOPIC_PUT_NUMS", "statsKey": "orders"}, "", protocol.SystemError, "The stats <TOPIC_PUT_NUMS> <orders> not exist")
		c.refused(protocol.ViewBrokerStats, fields{"statsName": "NO_SUCH", "statsKey": "orders"}, "", protocol.SystemError, "not exist")
		for range 5 {
			c.send(sending("orders"), "x")
		}
		if got := len(c.messages("orders", 0)); got != 5 {
			t.Fatalf("%d messages", got)
		}
		for _, key := range []string{"TOPIC_PUT_NUMS orders", "GROUP_GET_NUMS orders@consumers"} {
			name, key, _ := strings.Cut(key, " ")
			if got := sums(look(name, key)); got != [3]int64{5, 5, 5} {
				t.Errorf("%s %s: %v at once", name, key, got)
			}
		}
		if got := look("TOPIC_PUT_SIZE", "orders").Day.Sum; got < 5*100 || got > 5*400 {
			t.Errorf("%d bytes came", got)
		}
		time.Sleep(3 * time.Minute)
		c.send(sending("orders"), "x")
		if got := sums(look("TOPIC_PUT_NUMS", "orders")); got != [3]int64{1, 6, 6} {
			t.Errorf("%v after three minutes", got)
		}
		for range 30 {
			time.Sleep(10 * time.Minute)
			c.send(sending("orders"), "x")
		}
		if got := sums(look("TOPIC_PUT_NUMS", "orders")); got[0] != 1 || got[1] < 6 || got[1] > 8 || got[2] != 36 {
			t.Errorf("%v after hours of a message every ten minutes", got)
		}
		time.Sleep(26 * time.Hour)
		if got := sums(look("TOPIC_PUT_NUMS", "orders")); got != [3]int64{} {
			t.Errorf("%v after a day of nothing", got)
		}
		c.ok(protocol.DeleteTopicInBroker, fields{"topic": "orders"}, nil)
		for _, key := range []string{"TOPIC_PUT_NUMS orders", "GROUP_GET_NUMS orders@consumers"} {
			name, key, _ := strings.Cut(key, " ")
			c.refused(protocol.ViewBrokerStats, fields{"statsName": name, "statsKey": key}, "", protocol.SystemError, "not exist")
		}
	})
}
