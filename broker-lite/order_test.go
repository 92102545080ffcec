package brokerlite

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// lock asks code 41 for queues of a topic, and returns those that it got.
func (c *client) lock(group, id, topic string, queues ...int32) []int32 {
	c.t.Helper()
	resp := c.ok(protocol.LockBatchMQ, nil, lockBody(c.t, group, id, topic, queues))
	var body protocol.LockBatchResponse
	if err := protocol.DecodeBody(resp.Body, &body); err != nil {
		c.t.Fatal(err)
	}
	got := []int32{}
	for _, q := range body.Locked {
		if q.Topic != topic || q.BrokerName != "broker-a" {
			c.t.Errorf("locked: %+v", q)
		}
		got = append(got, q.QueueID)
	}
	return got
}

func lockBody(t testing.TB, group, id, topic string, queues []int32) []byte {
	t.Helper()
	req := protocol.LockBatchRequest{ClientID: id, ConsumerGroup: group}
	for _, q := range queues {
		req.Queues = append(req.Queues, protocol.MessageQueue{BrokerName: "broker-a", Topic: topic, QueueID: q})
	}
	body, err := protocol.EncodeBody(req)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestAQueueIsLockedForOneMemberOfAGroup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		expect := func(what string, got []int32, want ...int32) {
			t.Helper()
			if diff := cmp.Diff(append([]int32{}, want...), got); diff != "" {
				t.Errorf("%s (-want +got)\n%s", what, diff)
			}
		}
		one := dial(t, b)
		expect("free queues", one.lock("g", "one", "t", 0, 1), 0, 1)
		expect("another's", c.lock("g", "two", "t", 0, 2), 2)
		one.close()
		expect("of a member whose connection has closed", c.lock("g", "two", "t", 0))
		c.ok(protocol.UnlockBatchMQ, nil, lockBody(t, "g", "two", "t", []int32{0, 2}))
		expect("after an unlock by somebody else", c.lock("g", "two", "t", 0))
		c.ok(protocol.UnlockBatchMQ, nil, lockBody(t, "g", "one", "t", []int32{0}))
		expect("after its owner's unlock", c.lock("g", "two", "t", 0, 1), 0)
		time.Sleep(time.Minute + time.Millisecond)
		expect("after a minute", c.lock("g", "two", "t", 0, 1), 0, 1)
	})
}

func TestWhatAnOrderedGroupGivesUpIsADeadLetterAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.heartbeat("me", "", "g", subscription(t, "orders", "*")) // makes the retry topic
		retry, dead := "%RETRY%g", "%DLQ%g"
		c.send(sending(retry), "before")
		c.lock("g", "me", "orders", 3)
		c.send(sending(retry), "locked")
		time.Sleep(time.Minute + time.Millisecond)
		c.heartbeat("me", "", "g", subscription(t, "orders", "*"))
		c.send(sending(retry), "after")
		if diff := cmp.Diff([]string{"before", "after"}, bodies(c.messages(retry, 0))); diff != "" {
			t.Errorf("retries (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff([]string{"locked"}, bodies(c.messages(dead, 0))); diff != "" {
			t.Errorf("dead letters (-want +got)\n%s", diff)
		}
	})
}
