package brokerlite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// fullest sends a message whose properties are as long as the broker takes them, so
// that there is no room for what a delivery adds.
func (c *client) fullest(props ...string) {
	c.t.Helper()
	for n := protocol.MaxPropertiesLength; n > 32_000; n-- {
		h := sending("orders", append(props, "p", strings.Repeat("x", n))...)
		if c.call(h.Code, h, []byte("x")).Code == protocol.Success {
			return
		}
	}
	c.t.Error("no message was taken")
}

// What an operator has to look at is logged as an error. No peer may drown that.
func TestNoPeerCausesErrorsInTheLog(t *testing.T) {
	for name, attack := range map[string]func(t *testing.T, c *client){
		"an expression that is wrong": func(t *testing.T, c *client) {
			s := subscription(t, "orders", "*")
			s.ExpressionType, s.SubString = protocol.ExpressionSQL92, "a >"
			c.heartbeat("me", "", "group", s)
		},
		"subscriptions without end": func(t *testing.T, c *client) {
			var list []protocol.SubscriptionData
			for i := range 20_000 {
				list = append(list, protocol.SubscriptionData{Topic: fmt.Sprint(i), SubString: strings.Repeat("x", 400)})
			}
			body, err := protocol.EncodeBody(protocol.HeartbeatData{ClientID: "me", Consumers: []protocol.ConsumerData{{GroupName: "group", Subscriptions: list}}})
			if err != nil {
				t.Fatal(err)
			}
			if resp := c.call(protocol.Heartbeat, nil, body); resp.Code != protocol.SystemError {
				t.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var l logs
			inBubble(t, func(t *testing.T, _ *Broker, c *client) {
				c.createTopic("orders", 1)
				attack(t, c)
				time.Sleep(time.Minute)
				if text := l.String(); strings.Contains(text, "level=ERROR") {
					at := strings.Index(text, "level=ERROR")
					t.Errorf("the log has errors: %.300s", text[at:])
				} else if !strings.Contains(text, "level=WARN") {
					t.Errorf("the log tells nothing:\n%s", text)
				}
			}, WithLogger(l.logger()))
		})
	}
}

// commitChecked commits the half message that the broker asks for first.
func (c *client) commitChecked() {
	c.t.Helper()
	c.heartbeat("me@1", "producers", "g", subscription(c.t, "orders", "*"))
	time.Sleep(time.Minute)
	if asked := c.checks(); len(asked) > 0 {
		c.ok(protocol.EndTransaction, asked[0].answer(protocol.SysCommit), nil)
	}
}

// A send takes no message that could not be delivered.
func TestMessagesWithTheLongestPropertiesAreDelivered(t *testing.T) {
	for name, test := range map[string]struct {
		props []string
		then  func(c *client)
		topic string
	}{
		"timer":         {[]string{"TIMER_DELAY_MS", "2000"}, nil, "orders"},
		"timer, moment": {[]string{"TIMER_DELIVER_MS", "946684803000"}, nil, "orders"},
		"delay":         {[]string{"DELAY", "1"}, nil, "orders"},
		"half":          {[]string{"TRAN_MSG", "true", "PGROUP", "producers"}, (*client).commitChecked, "orders"},
		"half, timer":   {[]string{"TRAN_MSG", "true", "PGROUP", "producers", "TIMER_DELAY_MS", "2000"}, (*client).commitChecked, "orders"},
		"popped": {nil, func(c *client) {
			h := popping("orders")
			h.InvisibleTime = 10_000
			c.pop(h)
		}, "%RETRY%group_orders"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, _ *Broker, c *client) {
				c.createTopic("orders", 1)
				c.fullest(test.props...)
				if test.then != nil {
					test.then(c)
				}
				time.Sleep(12 * time.Second)
				if n := len(c.messages(test.topic, 0)); n != 1 {
					t.Errorf("%d were delivered", n)
				}
			})
		})
	}
}

func TestNoPeerFillsTheLogWithWarnings(t *testing.T) {
	var l logs
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		c.createTopic("orders", 1)
		for i := range 100 {
			s := subscription(t, "orders", "*")
			s.ExpressionType, s.SubString, s.SubVersion = protocol.ExpressionSQL92, "a >", int64(i)
			c.heartbeat("me", "", "group", s)
		}
		if n := strings.Count(l.String(), "level=WARN"); n != 10 {
			t.Errorf("%d warnings of one kind in a moment, want 10", n)
		}
	}, WithLogger(l.logger()))
}
