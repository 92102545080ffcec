package brokerlite

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

const (
	retryTopic = "%RETRY%consumers"
	dlqTopic   = "%DLQ%consumers"
)

func back(r protocol.Record, level int32) *protocol.SendBackRequest {
	return &protocol.SendBackRequest{Offset: r.PhysicalOffset, Group: "consumers", DelayLevel: level, OriginMessageID: "any", OriginTopic: r.Topic}
}

// TestASendBackGoesWhereApacheSendsIt has one case for each rule of
// AbstractSendMessageProcessor.consumerSendMsgBack.
func TestASendBackGoesWhereApacheSendsIt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		reconsume int32
		edit      func(h *protocol.SendBackRequest)
		topic     string
		after     time.Duration
		level     string
	}{
		{"level 0, first time", 0, func(h *protocol.SendBackRequest) {}, retryTopic, 10 * time.Second, "3"},
		{"level 0, sixth time", 5, func(h *protocol.SendBackRequest) {}, retryTopic, 4 * time.Minute, "8"},
		{"level 0, last time", 15, func(h *protocol.SendBackRequest) {}, retryTopic, 2 * time.Hour, "18"},
		{"a level", 0, func(h *protocol.SendBackRequest) { h.DelayLevel = 5 }, retryTopic, time.Minute, "5"},
		{"a level that is too high", 0, func(h *protocol.SendBackRequest) { h.DelayLevel = 99 }, retryTopic, 2 * time.Hour, "18"},
		{"a negative level", 0, func(h *protocol.SendBackRequest) { h.DelayLevel = -1 }, dlqTopic, 0, "0"},
		{"often enough", 16, func(h *protocol.SendBackRequest) {}, dlqTopic, 0, "0"},
		{"often enough for the request", 2, func(h *protocol.SendBackRequest) { h.MaxReconsumeTimes = protocol.SomeInt32(2) }, dlqTopic, 0, "0"},
		{"not often enough for the request", 16, func(h *protocol.SendBackRequest) {
			h.MaxReconsumeTimes, h.DelayLevel = protocol.SomeInt32(17), 1
		}, retryTopic, time.Second, "1"},
		{"no retries at all", 0, func(h *protocol.SendBackRequest) { h.MaxReconsumeTimes = protocol.SomeInt32(0) }, dlqTopic, 0, "0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *Broker, c *client) {
				h := sending("orders", "TAGS", "tag", "UNIQ_KEY", "k", "WAIT", "true")
				h.ReconsumeTimes, h.Flag = test.reconsume, 7
				sent := c.send(h, "again")
				first := c.messages("orders", 0)[0]
				request := back(first, 0)
				test.edit(request)
				c.ok(protocol.SendMessageBack, request, nil)
				time.Sleep(test.after - time.Millisecond)
				if test.after > 0 && len(c.messages(test.topic, 0)) > 0 {
					t.Error("it came too early")
				}
				time.Sleep(time.Millisecond)
				synctest.Wait()
				list := c.messages(test.topic, 0)
				if len(list) != 1 {
					t.Fatalf("%d messages in %s", len(list), test.topic)
				}
				got := list[0]
				want := stamped(map[string]string{
					"TAGS": "tag", "UNIQ_KEY": "k", "WAIT": "false", "DELAY": test.level,
					"RETRY_TOPIC": "orders", "ORIGIN_MESSAGE_ID": sent.MessageID,
				})
				if test.topic == retryTopic {
					want["REAL_TOPIC"], want["REAL_QID"] = retryTopic, "0"
				}
				if diff := cmp.Diff(want, props(got)); diff != "" {
					t.Errorf("properties (-want +got):\n%s", diff)
				}
				if got.ReconsumeTimes != test.reconsume+1 || got.Flag != 7 || got.BornHost != first.BornHost || got.BornTimestamp != first.BornTimestamp || string(got.Body) != "again" {
					t.Errorf("stored as %+v", got)
				}
				if found := c.pull(pulling(test.topic, 0, "tag")); len(found.records) != 1 {
					t.Errorf("not found by its tag")
				}
				other := map[string]string{retryTopic: dlqTopic, dlqTopic: retryTopic}[test.topic]
				if list := c.messages(other, 0); len(list) > 0 {
					t.Errorf("%s has it too", other)
				}
			})
		})
	}
}

func TestARetriedMessageKeepsItsFirstTopicAndID(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		sent := c.send(sending("orders"), "x")
		r := c.messages("orders", 0)[0]
		for n := range int32(3) {
			c.ok(protocol.SendMessageBack, back(r, 1), nil)
			time.Sleep(time.Second)
			synctest.Wait()
			list := c.messages(retryTopic, 0)
			r = list[len(list)-1]
			if prop(r, "RETRY_TOPIC") != "orders" || prop(r, "ORIGIN_MESSAGE_ID") != sent.MessageID || r.ReconsumeTimes != n+1 {
				t.Errorf("retry %d: %q, %d times", n, r.Properties, r.ReconsumeTimes)
			}
		}
	})
}

func TestSendBacksThatAreRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.send(sending("orders"), "x")
		r := c.messages("orders", 0)[0]
		for _, test := range []struct {
			name string
			edit func(h *protocol.SendBackRequest)
			code protocol.Code
			text string
		}{
			{"no message there", func(h *protocol.SendBackRequest) { h.Offset = 1 << 40 }, protocol.SystemError, "look message by offset failed, 1099511627776"},
			{"inside a message", func(h *protocol.SendBackRequest) { h.Offset = 9 }, protocol.SystemError, "look message by offset failed, 9"},
			{"negative", func(h *protocol.SendBackRequest) { h.Offset = -1 }, protocol.SystemError, "look message by offset failed, -1"},
			{"a group that cannot be", func(h *protocol.SendBackRequest) { h.Group = "a b" }, protocol.GroupNotExist, "subscription group not exist, a b"},
		} {
			h := back(r, 1)
			test.edit(h)
			if resp := c.call(protocol.SendMessageBack, h, nil); resp.Code != test.code || !strings.HasPrefix(resp.Remark, test.text) {
				t.Errorf("%s: %s: %s", test.name, protocol.ResponseName(resp.Code), resp.Remark)
			}
		}
	})
}

// TestAFallbackSendIsDeadLetteredPastTheMaximum is what clients do when their
// send-back was refused: they send to the retry topic themselves.
func TestAFallbackSendIsDeadLetteredPastTheMaximum(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		reconsume int32
		most      protocol.OptInt32
		dead      bool
	}{
		{"the group's maximum", 16, protocol.OptInt32{}, false},
		{"past the group's maximum", 17, protocol.OptInt32{}, true},
		{"the request's maximum", 2, protocol.SomeInt32(2), false},
		{"past the request's maximum", 3, protocol.SomeInt32(2), true},
		{"past the group's, not the request's", 17, protocol.SomeInt32(20), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *Broker, c *client) {
				h := sending(retryTopic, "RETRY_TOPIC", "orders", "ORIGIN_MESSAGE_ID", "id", "DELAY", "1", "UNIQ_KEY", "k", "CLUSTER", "old")
				h.ReconsumeTimes, h.MaxReconsumeTimes = test.reconsume, test.most
				c.send(h, "x")
				time.Sleep(time.Second)
				synctest.Wait()
				topic, want := retryTopic, stamped(map[string]string{"RETRY_TOPIC": "orders", "ORIGIN_MESSAGE_ID": "id", "DELAY": "1", "UNIQ_KEY": "k", "REAL_TOPIC": retryTopic, "REAL_QID": "0"})
				if test.dead {
					topic, want = dlqTopic, stamped(map[string]string{"RETRY_TOPIC": "orders", "ORIGIN_MESSAGE_ID": "id", "DELAY": "-1", "UNIQ_KEY": "k"})
				}
				list := c.messages(topic, 0)
				if len(list) != 1 {
					t.Fatalf("%d messages in %s", len(list), topic)
				}
				if diff := cmp.Diff(want, props(list[0])); diff != "" || list[0].ReconsumeTimes != test.reconsume {
					t.Errorf("%d times, properties (-want +got):\n%s", list[0].ReconsumeTimes, diff)
				}
			})
		})
	}
}

func TestRetryAndDeadLetterTopicsHaveOneQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.send(sending("orders"), "x")
		c.ok(protocol.SendMessageBack, back(c.messages("orders", 0)[0], -1), nil)
		for _, topic := range []string{retryTopic, dlqTopic} {
			var config protocol.TopicConfig
			if err := protocol.DecodeBody(c.ok(protocol.GetTopicConfig, &protocol.TopicRequest{Topic: topic}, nil).Body, &config); err != nil {
				t.Fatal(err)
			}
			if config.ReadQueueNums != 1 || config.WriteQueueNums != 1 || config.Perm != 6 {
				t.Errorf("%+v", config)
			}
		}
	})
}
