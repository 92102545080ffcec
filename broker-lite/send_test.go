package brokerlite

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

const (
	cluster = "DefaultCluster"
	region  = "DefaultRegion"
)

// stamped are the properties that the broker adds to every message.
func stamped(own map[string]string) map[string]string {
	m := map[string]string{protocol.PropMsgRegion: region, protocol.PropTraceOn: "true", protocol.PropCluster: cluster}
	for k, v := range own {
		m[k] = v
	}
	return m
}

func props(r protocol.Record) map[string]string { return protocol.PropertiesMap(r.Properties) }

func golden(t *testing.T, version, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../internal/protocol/testdata/golden", version, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// exchange writes bytes to a server and reads one frame.
func exchange(t *testing.T, b *Broker, addr string, frame []byte) protocol.Command {
	t.Helper()
	nc, err := b.Dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write(frame); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(nc, answer); err != nil {
		t.Fatal(err)
	}
	size, err := protocol.FrameSize(answer)
	if err != nil {
		t.Fatal(err)
	}
	answer = append(answer, make([]byte, size-4)...)
	if _, err := io.ReadFull(nc, answer[4:]); err != nil {
		t.Fatal(err)
	}
	var cmd protocol.Command
	if err := protocol.DecodeFrame(answer, &cmd); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestBytesOfJavasProducersAreStoredAsJavasBrokerStoresThem(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"5.4.0", "4.9.7"} {
		for _, name := range []string{"header-310-request-json", "header-310-request-binary", "header-10-request-json", "header-10-request-binary"} {
			if version == "4.9.7" && name == "header-310-request-binary" {
				continue // the same bytes
			}
			t.Run(version+"/"+name, func(t *testing.T) {
				inBubble(t, func(t *testing.T, b *Broker, c *client) {
					resp := exchange(t, b, b.Addr(), golden(t, version, name+".bin"))
					if resp.Code != protocol.Success || resp.Flag&1 == 0 {
						t.Fatalf("%+v", resp)
					}
					list := c.messages("TopicTest", 3)
					if len(list) != 1 {
						t.Fatalf("%d messages are stored", len(list))
					}
					r := list[0]
					got := props(r)
					if len(got[protocol.PropUniqueKey]) != 32 {
						t.Errorf("UNIQ_KEY is %q", got[protocol.PropUniqueKey])
					}
					delete(got, protocol.PropUniqueKey)
					want := stamped(map[string]string{"KEYS": "k1 k2", "TAGS": "标签", "WAIT": "true"})
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("properties (-want +got):\n%s", diff)
					}
					if r.Flag != 5 || r.SysFlag != 1 || r.BornTimestamp != 1700000000001 || r.ReconsumeTimes != 2 || string(r.Body) != "Hello rocketmq = 你好" {
						t.Errorf("stored as %+v", r)
					}
					if now := time.Now().UnixMilli(); r.StoreTimestamp != now || r.StoreHost.String() != b.Addr() || !r.BornHost.Addr().IsLoopback() {
						t.Errorf("stored at %d by %v from %v, want %d %s", r.StoreTimestamp, r.StoreHost, r.BornHost, now, b.Addr())
					}
					if id := resp.Fields.Value("msgId"); id != protocol.OffsetMessageID(r.StoreHost, r.PhysicalOffset) {
						t.Errorf("msgId is %s", id)
					}
				})
			})
		}
	}
}

func TestAMessageGetsThePropertiesThatApacheGivesIt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		sent []byte
		want map[string]string // besides those of every message
	}{
		{"none", nil, map[string]string{"UNIQ_KEY": "made"}},
		{"own", properties("a", "1", "UNIQ_KEY", "mine"), map[string]string{"a": "1", "UNIQ_KEY": "mine"}},
		{"no separator at the end, as 4.9 sends", []byte("UNIQ_KEY\x01k\x02a\x011"), map[string]string{"a": "1", "UNIQ_KEY": "k"}},
		{"what Java drops", []byte("UNIQ_KEY\x01k\x02nothing\x02\x01x\x02y\x01\x02a\x01b"), map[string]string{"a": "b", "UNIQ_KEY": "k"}},
		{"separator in a value", []byte("UNIQ_KEY\x01k\x02c\x01d\x01e\x02"), map[string]string{"c": "d\x01e", "UNIQ_KEY": "k"}},
		{"twice", properties("UNIQ_KEY", "k", "a", "1", "a", "2"), map[string]string{"a": "2", "UNIQ_KEY": "k"}},
		{"what only the broker sets", properties("UNIQ_KEY", "k", "CLUSTER", "x", "MSG_REGION", "x", "TRACE_ON", "x", "POP_CK", "x"), map[string]string{"UNIQ_KEY": "k"}},
		{"real topic of its own", properties("UNIQ_KEY", "k", "REAL_TOPIC", "x", "WAIT", "false"), map[string]string{"UNIQ_KEY": "k", "REAL_TOPIC": "x", "WAIT": "false"}},
		{"a level below 1", properties("UNIQ_KEY", "k", "DELAY", "-1"), map[string]string{"UNIQ_KEY": "k", "DELAY": "-1"}},
		{"a timer that has passed", properties("UNIQ_KEY", "k", "TIMER_DELIVER_MS", "1"), map[string]string{"UNIQ_KEY": "k", "TIMER_DELIVER_MS": "1"}},
		{"a timer of nothing", properties("UNIQ_KEY", "k", "TIMER_DELAY_SEC", "0"), map[string]string{"UNIQ_KEY": "k", "TIMER_DELAY_SEC": "0"}},
		{"a timer that was delivered", properties("UNIQ_KEY", "k", "TIMER_DELAY_SEC", "9", "TIMER_OUT_MS", "1"), map[string]string{"UNIQ_KEY": "k", "TIMER_DELAY_SEC": "9", "TIMER_OUT_MS": "1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *Broker, c *client) {
				h := sending("orders")
				h.Properties = test.sent
				resp := c.send(h, "body")
				got := props(c.messages("orders", 0)[0])
				if test.want["UNIQ_KEY"] == "made" {
					if len(got["UNIQ_KEY"]) != 32 {
						t.Errorf("UNIQ_KEY is %q", got["UNIQ_KEY"])
					}
					got["UNIQ_KEY"] = "made"
				} else if resp.TransactionID != test.want["UNIQ_KEY"] {
					t.Errorf("transactionId is %q", resp.TransactionID)
				}
				if diff := cmp.Diff(stamped(test.want), got); diff != "" {
					t.Errorf("properties (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAPriorityChoosesTheQueue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		props []string
		queue int32
		kept  bool
	}{
		{[]string{"_SYS_MSG_PRIORITY_", "2"}, 2, true},
		{[]string{"_SYS_MSG_PRIORITY_", "9"}, 3, true},
		{[]string{"_SYS_MSG_PRIORITY_", "-1"}, 0, true},
		{[]string{"_SYS_MSG_PRIORITY_", "x"}, 0, true},
		{[]string{"_SYS_MSG_PRIORITY_", "2", "__SHARDINGKEY", "k"}, 0, false},
	} {
		t.Run(strings.Join(test.props, " "), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *Broker, c *client) {
				if r := c.send(sending("orders", test.props...), "body"); r.QueueID != test.queue {
					t.Errorf("queue %d, want %d", r.QueueID, test.queue)
				}
				_, kept := props(c.messages("orders", test.queue)[0])["_SYS_MSG_PRIORITY_"]
				if kept != test.kept {
					t.Errorf("the property is kept: %t, want %t", kept, test.kept)
				}
			})
		})
	}
}

func TestSendsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		edit func(h *protocol.SendRequest)
		body string
		code protocol.Code
		text string // in the remark
	}{
		{"illegal characters", func(h *protocol.SendRequest) { h.Topic = "a b" }, "x", protocol.InvalidParameter, "illegal characters"},
		{"topic too long", func(h *protocol.SendRequest) { h.Topic = strings.Repeat("t", 128) }, "x", protocol.InvalidParameter, "max length: 127"},
		{"system topic", func(h *protocol.SendRequest) { h.Topic = "SCHEDULE_TOPIC_XXXX" }, "x", protocol.NoPermission, "is forbidden"},
		{"half topic", func(h *protocol.SendRequest) { h.Topic = "RMQ_SYS_TRANS_HALF_TOPIC" }, "x", protocol.NoPermission, "is forbidden"},
		{"nothing to make the topic like", func(h *protocol.SendRequest) { h.Topic, h.DefaultTopic = "new", "none" }, "x", protocol.TopicNotExist, "topic[new] not exist, apply first please!"},
		{"queue too high", func(h *protocol.SendRequest) { h.QueueID = 4 }, "x", protocol.InvalidParameter, "request queueId[4] is illegal, TopicConfig [topicName=orders, readQueueNums=4"},
		{"no body", func(*protocol.SendRequest) {}, "", protocol.MessageIllegal, "body is empty"},
		{"body too large", func(*protocol.SendRequest) {}, strings.Repeat("x", 1025), protocol.MessageIllegal, "limit 1024B"},
		{"properties too large", func(h *protocol.SendRequest) { h.Properties = properties("p", strings.Repeat("x", 32750)) }, "x", protocol.MessageIllegal, "at most 32767"},
		{"no room for a timer's delivery", func(h *protocol.SendRequest) {
			h.Properties = properties("TIMER_DELAY_SEC", "5", "p", strings.Repeat("x", 32500))
		}, "x", protocol.MessageIllegal, "at most 32767 with the 66 that its delivery adds"},
		{"delay level that is none", func(h *protocol.SendRequest) { h.Properties = properties("DELAY", "soon") }, "x", protocol.MessageIllegal, `DELAY is "soon"`},
		{"timer that is none", func(h *protocol.SendRequest) { h.Properties = properties("TIMER_DELAY_SEC", "soon") }, "x", protocol.MessageIllegal, "timer message illegal"},
		{"timer beyond the limit", func(h *protocol.SendRequest) { h.Properties = properties("TIMER_DELAY_SEC", "61") }, "x", protocol.MessageIllegal, "max delay 60000ms"},
		{"timer beyond numbers", func(h *protocol.SendRequest) { h.Properties = properties("TIMER_DELAY_SEC", "9223372036854775807") }, "x", protocol.MessageIllegal, "timer message illegal"},
		{"inner batch", func(h *protocol.SendRequest) { h.SysFlag = protocol.SysInnerBatch }, "x", protocol.MessageIllegal, "inner batches"},
		{"number of an inner batch", func(h *protocol.SendRequest) { h.Properties = properties("INNER_NUM", "2") }, "x", protocol.MessageIllegal, "INNER_NUM"},
		{"retry of a group that cannot be", func(h *protocol.SendRequest) { h.Topic = "%RETRY%" + strings.Repeat("g", 121) }, "x", protocol.GroupNotExist, "subscription group not exist"},
		{"transaction where these are rejected", func(h *protocol.SendRequest) { h.Properties = properties("TRAN_MSG", "true") }, "x", protocol.NoPermission, "sending transaction message is forbidden"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *Broker, c *client) {
				c.createTopic("orders", 4)
				h := sending("orders")
				test.edit(h)
				resp := c.call(h.Code, h, []byte(test.body))
				if resp.Code != test.code || !strings.Contains(resp.Remark, test.text) {
					t.Errorf("%s: %s\nwant %s with %q", protocol.ResponseName(resp.Code), resp.Remark, protocol.ResponseName(test.code), test.text)
				}
				if resp.Fields.Value("MSG_REGION") != region {
					t.Errorf("fields %v", resp.Fields)
				}
				for id := range int32(4) {
					if list := c.messages("orders", id); len(list) > 0 {
						t.Errorf("queue %d has %q", id, bodies(list))
					}
				}
			}, Conf("maxMessageSize=1024\ntimerMaxDelaySec=60\nrejectTransactionMessage=true"))
		})
	}
}

func TestAHeaderWithoutAFieldNamesIt(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		for _, code := range []protocol.Code{protocol.SendMessage, protocol.SendMessageV2, protocol.SendBatchMessage, protocol.PullMessage,
			protocol.SendMessageBack, protocol.EndTransaction, protocol.QueryConsumerOffset, protocol.UpdateConsumerOffset,
			protocol.SearchOffsetByTime, protocol.GetMaxOffset, protocol.GetMinOffset, protocol.GetEarliestStoreTime, protocol.ViewMessageByID,
			protocol.UnregisterClient, protocol.GetConsumerList, protocol.UpdateAndCreateTopic, protocol.GetTopicStats, protocol.GetTopicConfig} {
			resp := c.call(code, nil, []byte("x"))
			if resp.Code != protocol.SystemError || !strings.Contains(resp.Remark, "header field") || !strings.Contains(resp.Remark, "is missing") {
				t.Errorf("%s: %s: %s", protocol.RequestName(code), protocol.ResponseName(resp.Code), resp.Remark)
			}
		}
	})
}

func TestTopicsAreMadeByTheFirstMessage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		wanted, got int32
	}{{4, 4}, {16, 8}, {1, 1}} {
		t.Run(fmt.Sprint(test.wanted), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *Broker, c *client) {
				h := sending("orders")
				h.DefaultTopicQueueNums = test.wanted
				c.send(h, "first")
				var config protocol.TopicConfig
				if err := protocol.DecodeBody(c.ok(protocol.GetTopicConfig, &protocol.TopicRequest{Topic: "orders"}, nil).Body, &config); err != nil {
					t.Fatal(err)
				}
				if config.WriteQueueNums != test.got || config.ReadQueueNums != test.got || config.Perm != 6 {
					t.Errorf("%+v, want %d queues", config, test.got)
				}
				synctest.Wait() // the name server hears of it
				if r := route(t, b, "orders"); r == nil || r.QueueDatas[0].WriteQueueNums != test.got {
					t.Errorf("route %+v", r)
				}
			})
		})
	}
	t.Run("not", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *Broker, c *client) {
			h := sending("orders")
			if resp := c.call(h.Code, h, []byte("x")); resp.Code != protocol.TopicNotExist {
				t.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
			}
		}, AutoCreateTopics(false))
	})
}

// route asks the name server; nil when it has none.
func route(t *testing.T, b *Broker, topic string) *protocol.TopicRoute {
	t.Helper()
	ns := dialAddr(t, b, b.NameServer())
	resp := ns.call(protocol.GetRouteInfo, &protocol.RouteRequest{Topic: topic}, nil)
	if resp.Code == protocol.TopicNotExist {
		return nil
	}
	r, err := protocol.DecodeTopicRoute(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestANegativeQueueLetsTheBrokerChoose(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 4)
		seen := map[int32]bool{}
		for range 100 {
			h := sending("orders")
			h.QueueID = -1
			seen[c.send(h, "x").QueueID] = true
		}
		if len(seen) != 4 {
			t.Errorf("queues %v", seen)
		}
	})
}

func TestABatchIsStoredSideBySide(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		c.send(sending("orders"), "before")
		var body []byte
		for i := range 3 {
			var err error
			if body, err = protocol.AppendBatchEntry(body, &protocol.BatchEntry{Flag: int32(i), Body: fmt.Append(nil, "b", i), Properties: properties("TAGS", fmt.Sprint("t", i))}); err != nil {
				t.Fatal(err)
			}
		}
		h := sending("orders", "UNIQ_KEY", "batch")
		h.Code, h.Batch = protocol.SendBatchMessage, true
		r := c.send(h, string(body))
		if r.QueueOffset != 1 || r.TransactionID != "batch" {
			t.Errorf("%+v", r)
		}
		list := c.messages("orders", 0)[1:]
		var ids []string
		for i, m := range list {
			ids = append(ids, protocol.OffsetMessageID(m.StoreHost, m.PhysicalOffset))
			if diff := cmp.Diff(map[string]string{"TAGS": fmt.Sprint("t", i)}, props(m)); diff != "" || m.Flag != int32(i) {
				t.Errorf("message %d: flag %d, properties %s", i, m.Flag, diff)
			}
		}
		if diff := cmp.Diff([]string{"b0", "b1", "b2"}, bodies(list)); diff != "" {
			t.Error(diff)
		}
		if r.MessageID != strings.Join(ids, ",") {
			t.Errorf("msgId %s, want %s", r.MessageID, ids)
		}
		if got := c.pull(pulling("orders", 0, "t1")).records; len(got) != 1 || string(got[0].Body) != "b1" {
			t.Errorf("by tag: %q", bodies(got))
		}
	})
}

// Java's clients of 4.9 leave out the separator behind the last property, and values may end
// with a NUL.
func TestZerosAtTheEndOfPropertiesAreTaken(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		h := sending("orders")
		h.Properties = []byte("zeros\x01\x00")
		c.send(h, "alone")
		batch, err := protocol.AppendBatchEntry(nil, &protocol.BatchEntry{Body: []byte("of a batch"), Properties: h.Properties})
		if err != nil {
			t.Fatal(err)
		}
		h = sending("orders")
		h.Code, h.Batch = protocol.SendBatchMessage, true
		c.send(h, string(batch))
		list := c.messages("orders", 0)
		if len(list) != 2 {
			t.Fatalf("%q", bodies(list))
		}
		for _, m := range list {
			if got := props(m)["zeros"]; got != "\x00" {
				t.Errorf("%s: %q", m.Body, got)
			}
		}
	})
}

func TestBatchesThatAreRefused(t *testing.T) {
	t.Parallel()
	good, err := protocol.AppendBatchEntry(nil, &protocol.BatchEntry{Body: []byte("b")})
	if err != nil {
		t.Fatal(err)
	}
	negative := bytes.Clone(good)
	negative[16] = 0xff // the body's length
	for _, test := range []struct {
		name, topic string
		props       []string
		body        []byte
		text        string
	}{
		{"empty", "orders", nil, nil, "body is empty"},
		{"truncated", "orders", nil, good[:len(good)-1], "message 0 of the batch"},
		{"negative size", "orders", nil, negative, "message 0 of the batch"},
		{"second truncated", "orders", nil, append(bytes.Clone(good), good[:7]...), "message 1 of the batch"},
		{"garbage", "orders", nil, []byte("no batch at all"), "message 0 of the batch"},
		{"delayed", "orders", []string{"DELAY", "3"}, good, "cannot be delayed"},
		{"retry", "%RETRY%g", nil, good, "does not support retry group"},
		{"half", "orders", []string{"TRAN_MSG", "true"}, good, "cannot be a transaction"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *Broker, c *client) {
				h := sending(test.topic, test.props...)
				h.Code, h.Batch = protocol.SendBatchMessage, true
				if test.name == "half" {
					h.SysFlag = protocol.SysPrepared
				}
				resp := c.call(h.Code, h, test.body)
				if resp.Code != protocol.MessageIllegal || !strings.Contains(resp.Remark, test.text) {
					t.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
				}
				if list := c.messages(test.topic, 0); len(list) > 0 {
					t.Errorf("stored: %q", bodies(list))
				}
			})
		})
	}
}

func TestOnewaySendsAreStoredAndNotAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		for i := range 20 {
			c.oneway(protocol.SendMessageV2, sending("orders"), fmt.Append(nil, i))
		}
		synctest.Wait()
		if n := len(c.messages("orders", 0)); n != 20 {
			t.Errorf("%d messages", n)
		}
		if n := c.conn.LateResponses(); n != 0 {
			t.Errorf("%d answers", n)
		}
	})
}
