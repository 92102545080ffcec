package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

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
