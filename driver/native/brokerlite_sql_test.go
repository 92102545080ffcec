package native_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

func bySQL(topic, expression string) func(*driver.SubscriptionConfig) {
	return func(cfg *driver.SubscriptionConfig) {
		cfg.Topics = []driver.TopicFilter{{Topic: topic, Type: driver.ExpressionSQL, Expression: expression}}
	}
}

// A topic that does not exist yet is not waited for; its broker is asked by the pulls.
func TestAnExpressionIsUsedOnATopicThatComesLater(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		m := s.join("group", nil, func(d *message.Delivery) driver.Verdict {
			if d.ReconsumeTimes == 0 && string(d.Body) == "3" {
				return driver.Verdict{}
			}
			return driver.Verdict{Action: driver.ActionAck}
		}, bySQL("orders", "n BETWEEN 2 AND 3"))
		snd := s.sender(driver.SenderConfig{})
		for i := range 8 {
			if _, err := s.send(snd, i, message.New("orders", fmt.Append(nil, i%4), message.Property("n", fmt.Sprint(i%4)))); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		var got []string
		for _, d := range m.all() {
			got = append(got, fmt.Sprintf("%s/%d", d.Body, d.ReconsumeTimes))
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"2/0", "2/0", "3/0", "3/0", "3/1", "3/1"}, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func TestAMemberMayStartAgainAfterItsExpressionWasRefused(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		if _, err := s.send(s.sender(driver.SenderConfig{}), 0, message.New("orders", []byte("x"), message.Property("n", "1"))); err != nil {
			t.Fatal(err)
		}
		pass(time.Second) // the name server learns of the topic after the send's answer
		d := s.open()
		start := func(expression string) (driver.Subscription, error) {
			cfg := driver.SubscriptionConfig{Group: "group", From: driver.FromFirst}
			bySQL("orders", expression)(&cfg)
			sub, err := d.NewSubscription(cfg, &member{})
			if err != nil {
				t.Fatal(err)
			}
			return sub, sub.Start(t.Context())
		}
		sub, err := start("n =")
		var refused *message.BrokerError
		if !errors.As(err, &refused) || refused.Name != "SUBSCRIPTION_PARSE_FAILED" {
			t.Fatalf("%v", err)
		}
		if err := sub.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if sub, err = start("n = 1"); err != nil {
			t.Fatal(err)
		}
		if err := sub.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
