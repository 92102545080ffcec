package brokerlite

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// An administrator who stops a group, or closes a topic to readers, stops those who
// wait, too: Apache serves a request that has waited as if it came then.
func TestWhatHasWaitedIsCheckedAgain(t *testing.T) {
	t.Parallel()
	topic := func(read, perm int32) protocol.Header {
		return &protocol.CreateTopicRequest{
			Topic: "orders", DefaultTopic: protocol.DefaultTopic, ReadQueueNums: read, WriteQueueNums: 2, Perm: perm, TopicFilterType: protocol.SingleTag,
		}
	}
	both := protocol.PermRead | protocol.PermWrite
	for _, test := range []struct {
		name   string
		code   protocol.Code
		h      protocol.Header
		body   string
		want   protocol.Code
		silent bool // no message can come: the request waits to its end
	}{
		{"the group may not consume", protocol.UpdateGroup, nil, `{"groupName":"group","consumeEnable":false}`, protocol.NoPermission, false},
		{"the topic cannot be read", protocol.UpdateAndCreateTopic, topic(2, protocol.PermWrite), "", protocol.NoPermission, false},
		{"the queue cannot be read", protocol.UpdateAndCreateTopic, topic(1, both), "", protocol.InvalidParameter, false},
		{"the broker cannot be read", protocol.UpdateBrokerConfig, nil, "brokerPermission=2", protocol.NoPermission, false},
		{"the topic is gone", protocol.DeleteTopicInBroker, fields{"topic": "orders"}, "", protocol.TopicNotExist, true},
		{"nothing has changed", protocol.UpdateAndCreateTopic, topic(2, both), "", protocol.Success, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *Broker, c *client) {
				c.ok(protocol.UpdateAndCreateTopic, topic(2, both), nil)
				c.ok(protocol.UpdateGroup, nil, []byte(`{"groupName":"group"}`))
				pull := suspending("orders", 0, "*", 20*time.Second)
				pull.ConsumerGroup, pull.QueueID = "group", 1
				pop := popping("orders")
				pop.QueueID, pop.PollTime = 1, 20_000
				notification := &protocol.NotificationRequest{ConsumerGroup: "group", Topic: "orders", QueueID: 1, PollTime: 20_000, BornTime: time.Now().UnixMilli()}
				answers := map[protocol.Code]chan protocol.Code{}
				for code, h := range map[protocol.Code]protocol.Header{protocol.PullMessage: pull, protocol.PopMessage: pop, protocol.Notification: notification} {
					done, d := make(chan protocol.Code, 1), dial(t, b)
					go func() { done <- d.call(code, h, nil).Code }()
					answers[code] = done
				}
				synctest.Wait()

				c.ok(test.code, test.h, []byte(test.body))
				if !test.silent {
					h := sending("orders")
					h.QueueID = 1
					c.send(h, "x")
				}
				for code, done := range answers {
					if got := <-done; got != test.want {
						t.Errorf("%s: %s, want %s", protocol.RequestName(code), protocol.ResponseName(got), protocol.ResponseName(test.want))
					}
				}
			})
		})
	}
}
