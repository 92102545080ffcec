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
		"timer messages without room": func(_ *testing.T, c *client) { c.fullest("TIMER_DELAY_MS", "2000") },
		"half messages without room": func(_ *testing.T, c *client) {
			c.fullest("TRAN_MSG", "true", "PGROUP", "producers")
			time.Sleep(time.Minute)
			if n := c.b.broker.OpenTransactions(); n != 0 {
				c.t.Errorf("%d are open", n)
			}
			if n := len(c.messages("TRANS_CHECK_MAX_TIME_TOPIC", 0)); n != 1 {
				c.t.Errorf("%d were given up", n)
			}
		},
		"popped messages without room": func(_ *testing.T, c *client) {
			c.fullest()
			h := popping("orders")
			h.InvisibleTime = 10_000
			if n := len(c.pop(h).records); n != 1 {
				c.t.Errorf("%d popped", n)
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
