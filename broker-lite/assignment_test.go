package brokerlite

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// assigned is what a client is told to consume: "POP 0 1", or "-" for no list.
func (c *client) assigned(id, topic, strategy, model string) string {
	c.t.Helper()
	body, err := protocol.EncodeBody(protocol.QueryAssignmentRequest{ClientID: id, ConsumerGroup: "group", MessageModel: model, StrategyName: strategy, Topic: topic})
	if err != nil {
		c.t.Fatal(err)
	}
	var r protocol.QueryAssignmentResponse
	if err := protocol.DecodeBody(c.ok(protocol.QueryAssignment, nil, body).Body, &r); err != nil {
		c.t.Fatal(err)
	}
	if r.Assignments == nil {
		return "-"
	}
	words := []string{}
	for i, a := range *r.Assignments {
		if i == 0 {
			words = append(words, a.Mode)
		}
		if a.Queue.Topic != topic || a.Queue.BrokerName != "broker-a" {
			c.t.Errorf("assigned %+v", a)
		}
		words = append(words, fmt.Sprint(a.Queue.QueueID))
	}
	return strings.Join(words, " ")
}

func (c *client) setMode(topic, mode string, share int32) *protocol.Command {
	c.t.Helper()
	body, err := protocol.EncodeBody(protocol.MessageRequestMode{ConsumerGroup: "group", Mode: mode, PopShareQueueNum: share, Topic: topic})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.call(protocol.SetMessageRequestMode, nil, body)
}

func TestTheServerAssignsQueues(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 5)
		if got := c.assigned("a", "orders", "AVG", "CLUSTERING"); got != "-" {
			t.Errorf("a group without members is assigned %q", got)
		}
		for _, id := range []string{"c", "a", "b"} {
			dial(t, b).heartbeat(id, "", "group", subscription(t, "orders", "*"))
		}
		for _, test := range []struct{ client, topic, strategy, model, want string }{
			{"a", "orders", "AVG", "CLUSTERING", "PULL 0 1"},
			{"b", "orders", "AVG", "CLUSTERING", "PULL 2 3"},
			{"c", "orders", "AVG", "CLUSTERING", "PULL 4"},
			{"a", "orders", "AVG_BY_CIRCLE", "CLUSTERING", "PULL 0 3"},
			{"c", "orders", "AVG_BY_CIRCLE", "CLUSTERING", "PULL 2"},
			{"x", "orders", "AVG", "CLUSTERING", ""},
			{"a", "orders", "CONSISTENT_HASH", "CLUSTERING", "-"},
			{"a", "orders", "AVG", "BROADCASTING", "PULL 0 1 2 3 4"},
			{"a", "none", "AVG", "CLUSTERING", "-"},
			{"a", "%RETRY%group", "AVG", "CLUSTERING", "PULL 0"},
		} {
			if got := c.assigned(test.client, test.topic, test.strategy, test.model); got != test.want {
				t.Errorf("%+v: got %q", test, got)
			}
		}
		for share, want := range map[int32]string{0: "POP -1", -1: "POP -1", 2: "POP -1", 1: "POP 4 0 1"} {
			if resp := c.setMode("orders", "POP", share); resp.Code != protocol.Success {
				t.Fatal(resp.Remark)
			}
			if got := c.assigned("c", "orders", "AVG", "CLUSTERING"); got != want {
				t.Errorf("popShareQueueNum=%d: got %q, want %q", share, got, want)
			}
		}
		for topic, code := range map[string]protocol.Code{"none": protocol.TopicNotExist, "%RETRY%group": protocol.NoPermission} {
			if resp := c.setMode(topic, "POP", 0); resp.Code != code {
				t.Errorf("%s: %s", topic, protocol.ResponseName(resp.Code))
			}
		}
	})
}

func TestRequestModesSurviveARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRestart(t)
		c := dial(t, r.b)
		c.createTopic("orders", 2)
		c.setMode("orders", "POP", 3)
		time.Sleep(time.Second)
		c = r.again("kill")
		c.heartbeat("a", "", "group", subscription(t, "orders", "*"))
		if got := c.assigned("a", "orders", "AVG", "CLUSTERING"); got != "POP -1" {
			t.Errorf("assigned %q", got)
		}
		var all protocol.MessageRequestModes
		if err := protocol.DecodeBody(c.ok(protocol.GetAllMessageRequestModes, nil, nil).Body, &all); err != nil {
			t.Fatal(err)
		}
		want := map[string]map[string]protocol.MessageRequestMode{"orders": {"group": {ConsumerGroup: "group", Mode: "POP", PopShareQueueNum: 3, Topic: "orders"}}}
		if diff := cmp.Diff(want, all.Modes); diff != "" {
			t.Error(diff)
		}
	})
}
