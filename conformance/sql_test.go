package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

func consumeSQL(s *stand) {
	c, topic := s.open(), s.topic()
	p := s.producer(c)
	sent := 0
	send := func(region string, amount int) {
		sent++
		m := message.New(topic, fmt.Appendf(nil, "%s %d", region, amount), message.Tag(region), message.Property("amount", fmt.Sprint(amount)))
		if region != "" {
			m.Properties["region"] = region
		}
		s.send(p, m)
	}
	failed := atomic.Bool{}
	in := s.inbox()
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		if string(d.Body) == "us 12" && failed.CompareAndSwap(false, true) {
			return errors.New("once more")
		}
		return in.take(ctx, d)
	}, consumer.SQL("(region IN ('eu', 'us') AND amount BETWEEN 10 AND 20) OR region IS NULL AND amount > 1.5"))
	for _, region := range []string{"eu", "asia", ""} {
		for _, amount := range []int{1, 9, 10, 20, 21} {
			send(region, amount)
		}
	}
	s.start(c, mux)
	want := []string{" 10", " 20", " 21", " 9", "eu 10", "eu 20"}
	if diff := cmp.Diff(want, in.bodies(len(want))); diff != "" {
		s.Errorf("what was stored (-want +got)\n%s", diff)
	}
	send("asia", 12)
	send("us", 12) // fails once, and comes from the retry topic
	if diff := cmp.Diff([]string{"us 12"}, in.bodies(1)); diff != "" {
		s.Errorf("what came (-want +got)\n%s", diff)
	}
	if !failed.Load() {
		s.Error("the handler has not failed")
	}
	in.none()
}

// startSQL starts a consumer by an expression and returns why it does not start.
func (s *stand) startSQL(topic, expression string) error {
	s.Helper()
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, s.inbox().take, consumer.SQL(expression))
	c := s.open()
	cons, err := c.NewConsumer(mux)
	if err != nil {
		s.Fatal(err)
	}
	return cons.Start(s.soon())
}

func consumeWrongSQL(s *stand) {
	topic := s.topic()
	err := s.startSQL(topic, "amount >")
	var refused *message.BrokerError
	if !errors.As(err, &refused) || refused.Name != "SUBSCRIPTION_PARSE_FAILED" || refused.Remark == "" || !strings.Contains(err.Error(), topic) {
		s.Errorf("%v", err)
	}
}

func consumeSQLRefused(s *stand) {
	err := s.startSQL(s.topic(), "amount > 1")
	if !errors.Is(err, message.ErrUnsupported) || !strings.Contains(err.Error(), "enablePropertyFilter=true") {
		s.Errorf("%v", err)
	}
}

// sqlAfterNewer: Apache keeps a group's expression for a day after its last member,
// with its version, which rocketmq-client-go has in ns. No older one replaces it.
func sqlAfterNewer(s *stand) {
	topic, group := s.topic(), s.group()
	p := s.producer(s.open())
	send := func(amount int) {
		s.send(p, message.New(topic, fmt.Append(nil, amount), message.Property("amount", fmt.Sprint(amount))))
	}
	send(0) // and there is a topic
	heartbeat := fmt.Sprintf(`{"clientID":"10.0.0.1@past","producerDataSet":[],"consumerDataSet":[{"groupName":%q,"consumeType":"CONSUME_PASSIVELY",`+
		`"messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","subscriptionDataSet":[{"topic":%q,"subString":"amount > 10",`+
		`"expressionType":"SQL92","tagsSet":[],"codeSet":[],"subVersion":%d}],"unitMode":false}]}`, group, topic, time.Now().UnixNano())
	before := s.dial(s.server.broker)
	if _, err := before.Write(frame(34, nil, []byte(heartbeat))); err != nil { // the answer and a notification
		s.Fatal(err)
	}
	members := func() int { return s.ask(s.server.broker, 203, map[string]string{"consumerGroup": group}).Code }
	s.eventually("the broker knows the group", func() bool { return members() == answerOK })
	before.Close()
	s.eventually("the broker has forgotten it", func() bool { return members() != answerOK })
	in := s.inbox()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, in.take, consumer.SQL("amount < 10"))
	s.start(s.open(), mux)
	for amount := range 21 {
		send(amount)
	}
	if diff := cmp.Diff([]string{"0", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, in.bodies(11)); diff != "" {
		s.Errorf("-want +got\n%s", diff)
	}
	in.none()
}
