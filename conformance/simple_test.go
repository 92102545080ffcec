package conformance_test

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// simple makes a SimpleConsumer of a group that begins with what is stored.
func (s *stand) simple(c *rocketkit.Client, group string, sub consumer.Subscription, opts ...consumer.GroupOption) *consumer.SimpleConsumer {
	s.Helper()
	sc, err := c.NewSimpleConsumer(group, []consumer.Subscription{sub}, append([]consumer.GroupOption{consumer.From(consumer.First), consumer.PullWait(2 * time.Second)}, opts...)...)
	if err != nil {
		s.Fatal(err)
	}
	return sc
}

// received receives until n messages have come, by their bodies.
func (s *stand) received(sc *consumer.SimpleConsumer, n int) map[string]*message.Delivery {
	s.Helper()
	got := make(map[string]*message.Delivery)
	ctx := s.soon()
	for len(got) < n {
		ds, err := sc.Receive(ctx, 32)
		if err != nil {
			s.Fatalf("receive, after %d of %d: %v", len(got), n, err)
		}
		for _, d := range ds {
			if got[string(d.Body)] != nil {
				s.Errorf("%s has come twice", d.Body)
			}
			got[string(d.Body)] = d
		}
	}
	return got
}

func simpleReceive(s *stand) {
	c, topic, group := s.open(), s.topic(), s.group()
	ids := s.sendAll(s.producer(c), topic, "0", "1", "2", "3")
	sc := s.simple(c, group, consumer.Subscription{Topic: topic})
	got := s.received(sc, 4)
	for _, d := range got {
		if !slices.Contains(ids, d.ID) || d.Topic != topic || d.Group != group || d.ReconsumeTimes != 0 {
			s.Errorf("received %+v", d)
		}
	}
	other := s.simple(s.open(), group, consumer.Subscription{Topic: topic}, consumer.PullWait(0))
	if ds, err := other.Receive(s.soon(), 32); err != nil || len(ds) > 0 {
		s.Errorf("what is hidden is received again: %v, %v", ds, err)
	}
	if err := errors.Join(sc.Ack(s.soon(), got["0"], got["1"], got["2"]), sc.Extend(s.soon(), time.Second, got["3"])); err != nil {
		s.Fatal(err)
	}
	again := s.received(s.simple(c, group, consumer.Subscription{Topic: topic}), 1) // when its time is over
	d := again["3"]
	if d == nil || d.ID != got["3"].ID || d.ReconsumeTimes != 1 || d.Topic != topic {
		s.Fatalf("received again: %v %+v", again, d)
	}
	if err := sc.Ack(s.soon(), got["3"]); !errors.Is(err, consumer.ErrRevoked) {
		s.Errorf("an answer that is late: %v", err)
	}
	if err := sc.Ack(s.soon(), d); err != nil {
		s.Error(err)
	}
}

func simpleExtend(s *stand) {
	c, topic, group := s.open(), s.topicOf(1), s.group()
	s.sendAll(s.producer(c), topic, "long", "short")
	sc := s.simple(c, group, consumer.Subscription{Topic: topic})
	got := s.received(sc, 2)
	if err := errors.Join(sc.Extend(s.soon(), time.Hour, got["long"]), sc.Extend(s.soon(), time.Second, got["short"])); err != nil {
		s.Fatal(err)
	}
	again := s.received(sc, 1)
	if again["short"] == nil {
		s.Fatalf("received %v, want the one that was hidden for a second", again)
	}
	if err := sc.Ack(s.soon(), got["long"], again["short"]); err != nil {
		s.Error(err)
	}
	if err := sc.Extend(s.soon(), time.Millisecond, got["long"]); err == nil {
		s.Error("a millisecond is accepted")
	}
}

func simpleDeadLetter(s *stand) {
	c, topic, group := s.open(), s.topicOf(1), s.group()
	sub := consumer.Subscription{Topic: topic}
	s.sendAll(s.producer(c), topic, "given up", "too often")
	sc := s.simple(c, group, sub, consumer.Retry(retry.Levels(0)))
	got := s.received(sc, 2)
	if err := errors.Join(sc.DeadLetter(s.soon(), got["given up"]), sc.Extend(s.soon(), time.Second, got["too often"])); err != nil {
		s.Fatal(err)
	}
	dead := s.inbox()
	mux := s.mux(group)
	consumer.HandleDLQ(mux, dead.take)
	s.start(c, mux)
	s.eventually("the other has come too often", func() bool {
		if ds, err := sc.Receive(s.soon(), 32); err != nil || len(ds) > 0 {
			s.Fatalf("received %v, %v", ds, err)
		}
		return len(dead.ch) == 2
	})
	if diff := cmp.Diff([]string{"given up", "too often"}, dead.bodies(2)); diff != "" {
		s.Errorf("dead letters (-want +got)\n%s", diff)
	}
}

func simpleFiltered(s *stand) {
	c, topic := s.open(), s.topicOf(1)
	p := s.producer(c)
	for i, tag := range []string{"AaAa", "BBBB", "other", "AaAa"} { // two of one hash
		s.send(p, message.New(topic, fmt.Append(nil, i), message.Tag(tag)))
	}
	sc := s.simple(c, s.group(), consumer.Subscription{Topic: topic, Tags: "AaAa"}, consumer.Invisible(4*time.Second), consumer.PullWait(6*time.Second))
	got := s.received(sc, 2)
	if got["0"] == nil || got["3"] == nil {
		s.Fatalf("received %v", got)
	}
	if err := sc.Ack(s.soon(), got["0"], got["3"]); err != nil {
		s.Fatal(err)
	}
	if ds, err := sc.Receive(s.soon(), 32); err != nil || len(ds) > 0 {
		s.Errorf("also received: %v, %v", ds, err)
	}
}

func simpleRefused(s *stand) {
	c, topic := s.open(), s.topic()
	sc, err := c.NewSimpleConsumer(s.group(), []consumer.Subscription{{Topic: topic}})
	if err == nil {
		_, err = sc.Receive(s.soon(), 1)
	}
	if !errors.Is(err, message.ErrUnsupported) {
		s.Errorf("receive: %v", err)
	}
}
