package brokerlite

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// told is how often a client was told that a group has changed.
func (c *client) told(group string) int {
	synctest.Wait()
	n := 0
	for _, cmd := range c.requests(protocol.NotifyConsumersChanged) {
		if cmd.Fields.Value("consumerGroup") == group && cmd.IsOneway() {
			n++
		}
	}
	return n
}

func (c *client) members(group string) []string {
	c.t.Helper()
	resp := c.call(protocol.GetConsumerList, &protocol.ConsumerListRequest{ConsumerGroup: group}, nil)
	if resp.Code != protocol.Success {
		return []string{protocol.ResponseName(resp.Code) + ": " + resp.Remark}
	}
	var list protocol.ConsumerList
	if err := protocol.DecodeBody(resp.Body, &list); err != nil {
		c.t.Fatal(err)
	}
	return list.ConsumerIDs
}

func TestAHeartbeatIsAnsweredWithTheBrokersVersion(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		resp := c.heartbeat("me", "producers", "consumers", subscription(t, "orders", "*"))
		if resp.Version != protocol.VersionV5_4_0 {
			t.Errorf("version %d", resp.Version)
		}
		var h protocol.HeartbeatResponse
		if err := h.DecodeFields(resp.Fields); err != nil || !h.SupportsV2 || !h.SubscriptionChanged {
			t.Errorf("%+v, %v", h, err)
		}
		var config protocol.TopicConfig
		if err := protocol.DecodeBody(c.ok(protocol.GetTopicConfig, &protocol.TopicRequest{Topic: "%RETRY%consumers"}, nil).Body, &config); err != nil || config.WriteQueueNums != 1 {
			t.Errorf("retry topic %+v, %v", config, err)
		}
		for _, body := range []string{"", "{{{", "[]", `{"clientID":7,"consumerDataSet":{}}`} {
			if resp := c.call(protocol.Heartbeat, nil, []byte(body)); resp.Code != protocol.SystemError {
				t.Errorf("%q: %s", body, protocol.ResponseName(resp.Code))
			}
		}
	})
}

// The C++ client writes the places of Java's constants, rocketmq-client-go writes
// BroadCasting: Apache reads both.
func TestHeartbeatsOfOtherLanguagesJoinTheirGroups(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		const cpp = `{"clientID":"cpp","consumerDataSet":[{"consumeFromWhere":0,"consumeType":1,"groupName":"consumers","messageModel":%s,"subscriptionDataSet":[{"subString":"*","subVersion":"17","topic":"orders"}]}]}`
		for _, test := range []struct {
			model, want string
			told        int
		}{{"1", protocol.Clustering, 1}, {"0", protocol.Broadcasting, 0}, {`"BroadCasting"`, protocol.Broadcasting, 0}, {`"Clustering"`, protocol.Clustering, 1}} {
			d := dial(t, b)
			d.ok(protocol.Heartbeat, nil, fmt.Appendf(nil, cpp, test.model))
			if diff := cmp.Diff([]string{"cpp"}, c.members("consumers")); diff != "" {
				t.Error(diff)
			}
			var got protocol.ConsumerConnections
			if err := protocol.DecodeBody(c.ok(protocol.GetConsumerConnections, fields{"consumerGroup": "consumers"}, nil).Body, &got); err != nil {
				t.Fatal(err)
			}
			if got.MessageModel != test.want || got.ConsumeType != protocol.ConsumePassively || got.ConsumeFromWhere != protocol.ConsumeFromLastOffset {
				t.Errorf("%s: %+v", test.model, got)
			}
			if n := d.told("consumers"); n != test.told {
				t.Errorf("%s: told %d times of its joining", test.model, n)
			}
			d.close()
			synctest.Wait()
		}
	})
}

func TestMembersAreToldOfChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		sub := subscription(t, "orders", "*")
		one, two, other := dial(t, b), dial(t, b), dial(t, b)
		one.heartbeat("one", "", "consumers", sub)
		other.heartbeat("other", "", "others", sub)
		if n := one.told("consumers"); n != 1 {
			t.Errorf("told %d times of its own joining", n)
		}
		two.heartbeat("two", "", "consumers", sub)
		if a, b := one.told("consumers"), two.told("consumers"); a != 2 || b != 1 {
			t.Errorf("told %d and %d times when the second joined", a, b)
		}
		one.heartbeat("one", "", "consumers", sub)
		if n := one.told("consumers"); n != 2 {
			t.Errorf("told %d times although nothing changed", n)
		}
		if diff := cmp.Diff([]string{"one", "two"}, c.members("consumers")); diff != "" {
			t.Error(diff)
		}
		two.close()
		if n := one.told("consumers"); n != 3 {
			t.Errorf("told %d times when the second's connection closed", n)
		}
		three := dial(t, b)
		three.heartbeat("three", "", "consumers", sub)
		if n := one.told("consumers"); n != 4 {
			t.Errorf("told %d times when the third came", n)
		}
		three.ok(protocol.UnregisterClient, &protocol.UnregisterRequest{ClientID: "three", ConsumerGroup: "consumers"}, nil)
		if n := one.told("consumers"); n != 5 {
			t.Errorf("told %d times when the third left", n)
		}
		if diff := cmp.Diff([]string{"one"}, c.members("consumers")); diff != "" {
			t.Error(diff)
		}
		if n := other.told("consumers") + one.told("others"); n != 0 {
			t.Errorf("told %d times of another's group", n)
		}
		one.ok(protocol.UnregisterClient, &protocol.UnregisterRequest{ClientID: "one", ConsumerGroup: "consumers"}, nil)
		if diff := cmp.Diff([]string{"SYSTEM_ERROR: no consumer for this group, consumers"}, c.members("consumers")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestASilentMemberIsForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		sub := subscription(t, "orders", "*")
		one, two := dial(t, b), dial(t, b)
		two.heartbeat("two", "", "consumers", sub)
		for range 4 {
			one.heartbeat("one", "", "consumers", sub)
			two.call(protocol.GetConsumerList, &protocol.ConsumerListRequest{ConsumerGroup: "consumers"}, nil) // alive, but no heartbeat
			time.Sleep(29 * time.Second)
		}
		if diff := cmp.Diff([]string{"one", "two"}, one.members("consumers")); diff != "" {
			t.Errorf("after 116 s: %s", diff)
		}
		before := one.told("consumers")
		time.Sleep(5 * time.Second)
		if diff := cmp.Diff([]string{"one"}, one.members("consumers")); diff != "" {
			t.Errorf("after 121 s: %s", diff)
		}
		if one.told("consumers") != before+1 {
			t.Error("the other was not told")
		}
	})
}

func TestOffsetsOfConsumers(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 2)
		request := func(code protocol.Code, group, topic string, queueID int32, offset int64) *protocol.ConsumerOffsetRequest {
			return &protocol.ConsumerOffsetRequest{Code: code, ConsumerGroup: group, Topic: topic, QueueID: queueID, CommitOffset: offset}
		}
		query := func(group, topic string, queueID int32, zero ...bool) string {
			t.Helper()
			h := request(protocol.QueryConsumerOffset, group, topic, queueID, 0)
			if len(zero) > 0 {
				h.SetZeroIfNotFound = protocol.SomeBool(zero[0])
			}
			resp := c.call(protocol.QueryConsumerOffset, h, nil)
			if resp.Code != protocol.Success {
				return protocol.ResponseName(resp.Code) + ": " + resp.Remark
			}
			return resp.Fields.Value("offset")
		}
		update := func(group, topic string, queueID int32, offset int64) string {
			t.Helper()
			resp := c.call(protocol.UpdateConsumerOffset, request(protocol.UpdateConsumerOffset, group, topic, queueID, offset), nil)
			return protocol.ResponseName(resp.Code) + ": " + resp.Remark
		}
		const first = "QUERY_NOT_FOUND: Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first"
		for _, test := range []struct{ name, got, want string }{
			{"an empty queue", query("consumers", "orders", 0), first},
			{"no such topic", query("consumers", "none", 0), first},
			{"commit of an unknown group", update("consumers", "orders", 0, 1), "SUBSCRIPTION_GROUP_NOT_EXIST: Group consumers not exist!"},
		} {
			if test.got != test.want {
				t.Errorf("%s: %s", test.name, test.got)
			}
		}
		c.send(sending("orders"), "x")
		c.pull(pulling("orders", 0, "*")) // makes the group
		for _, test := range []struct{ name, got, want string }{
			{"a young queue", query("consumers", "orders", 0), "0"},
			{"a young queue, zero wanted", query("consumers", "orders", 0, true), "0"},
			{"a young queue, zero not wanted", query("consumers", "orders", 0, false), "QUERY_NOT_FOUND: Not found, do not set to zero, maybe this group boot first"},
			{"commit to an unknown topic", update("consumers", "none", 0, 1), "TOPIC_NOT_EXIST: Topic none not exist!"},
			{"a negative commit", update("consumers", "orders", 0, -1), "INVALID_PARAMETER: queueId 0 and commitOffset -1 of topic orders must not be negative"},
			{"commit", update("consumers", "orders", 0, 5), "SUCCESS: "},
			{"committed", query("consumers", "orders", 0), "5"},
			{"another queue", query("consumers", "orders", 1), first},
			{"another group", query("others", "orders", 0), "0"},
			{"commit of less", update("consumers", "orders", 0, 2), "SUCCESS: "},
			{"committed less", query("consumers", "orders", 0, false), "2"},
		} {
			if test.got != test.want {
				t.Errorf("%s: %s, want %s", test.name, test.got, test.want)
			}
		}
	})
}

func TestStrictConsumeFromLeavesTheBeginningToTheGroup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.send(sending("orders"), "x")
		h := &protocol.ConsumerOffsetRequest{Code: protocol.QueryConsumerOffset, ConsumerGroup: "consumers", Topic: "orders"}
		if resp := c.call(protocol.QueryConsumerOffset, h, nil); resp.Code != protocol.QueryNotFound {
			t.Errorf("%s %v", protocol.ResponseName(resp.Code), resp.Fields)
		}
	}, StrictConsumeFrom())
}

func TestOffsetsOfQueues(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 2)
		begun := now().UnixMilli()
		for i := range 5 {
			c.send(sending("orders"), fmt.Sprint(i))
			time.Sleep(10 * time.Second)
		}
		at := func(code protocol.Code, topic string, queueID int32, ms int64, boundary string) string {
			t.Helper()
			h := &protocol.OffsetRequest{Code: code, Topic: topic, QueueID: queueID, Timestamp: ms, Boundary: boundary}
			resp := c.ok(code, h, nil)
			return resp.Fields.Value("offset") + resp.Fields.Value("timestamp")
		}
		for _, test := range []struct {
			name string
			got  string
			want string
		}{
			{"max", at(protocol.GetMaxOffset, "orders", 0, 0, ""), "5"},
			{"max of an empty queue", at(protocol.GetMaxOffset, "orders", 1, 0, ""), "0"},
			{"max of none", at(protocol.GetMaxOffset, "none", 99, 0, ""), "0"},
			{"min", at(protocol.GetMinOffset, "orders", 0, 0, ""), "0"},
			{"min of none", at(protocol.GetMinOffset, "none", -3, 0, ""), "0"},
			{"earliest", at(protocol.GetEarliestStoreTime, "orders", 0, 0, ""), itoa(begun)},
			{"earliest of none", at(protocol.GetEarliestStoreTime, "orders", 1, 0, ""), "-1"},
			{"before the first", at(protocol.SearchOffsetByTime, "orders", 0, begun-1, ""), "0"},
			{"the second", at(protocol.SearchOffsetByTime, "orders", 0, begun+10_000, ""), "1"},
			{"just after the second", at(protocol.SearchOffsetByTime, "orders", 0, begun+10_001, ""), "2"},
			{"just after the second, upper", at(protocol.SearchOffsetByTime, "orders", 0, begun+10_001, "UPPER"), "1"},
			{"after the last", at(protocol.SearchOffsetByTime, "orders", 0, begun+99_000, ""), "5"},
			{"of none", at(protocol.SearchOffsetByTime, "none", 0, begun, ""), "0"},
		} {
			if test.got != test.want {
				t.Errorf("%s: %s, want %s", test.name, test.got, test.want)
			}
		}
	})
}

func TestAMessageIsFoundByItsID(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		r := c.send(sending("orders"), "x")
		_, phys, err := protocol.ParseOffsetMessageID(r.MessageID)
		if err != nil {
			t.Fatal(err)
		}
		resp := c.ok(protocol.ViewMessageByID, &protocol.ViewMessageRequest{Offset: phys}, nil)
		var got protocol.Record
		if _, err := protocol.DecodeRecord(resp.Body, &got); err != nil || string(got.Body) != "x" {
			t.Errorf("%+v, %v", got, err)
		}
		for _, offset := range []int64{-1, phys + 1, 1 << 50} {
			if resp := c.call(protocol.ViewMessageByID, &protocol.ViewMessageRequest{Offset: offset}, nil); resp.Code != protocol.SystemError || resp.Remark != fmt.Sprintf("can not find message by the offset, %d", offset) {
				t.Errorf("%d: %s: %s", offset, protocol.ResponseName(resp.Code), resp.Remark)
			}
		}
	})
}
