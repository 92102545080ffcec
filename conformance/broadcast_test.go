package conformance_test

import (
	"context"
	"errors"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// broadcastToAll: every member gets every message; one that starts again goes on where
// it was, also with what came meanwhile.
func broadcastToAll(s *stand) {
	topic, group, dir := s.topic(), s.group(), s.TempDir()
	p := s.producer(s.open())
	member := func(instance string) (*consumer.Consumer, *inbox) {
		in := s.inbox()
		mux := s.mux(group, consumer.Broadcast(), consumer.Instance(instance), consumer.OffsetDir(dir))
		consumer.HandleRaw(mux, topic, in.take)
		return s.start(s.open(), mux), in
	}
	first, one := member("1")
	_, two := member("2")
	s.sendAll(p, topic, numbered("both", 9)...)
	for _, in := range []*inbox{one, two} {
		if diff := cmp.Diff(numbered("both", 9), in.bodies(9)); diff != "" {
			s.Fatalf("both members (-want +got)\n%s", diff)
		}
	}
	if err := first.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	s.sendAll(p, topic, numbered("meanwhile", 6)...)
	if diff := cmp.Diff(numbered("meanwhile", 6), two.bodies(6)); diff != "" {
		s.Errorf("the one that stayed (-want +got)\n%s", diff)
	}
	_, again := member("1")
	if diff := cmp.Diff(numbered("meanwhile", 6), again.bodies(6)); diff != "" {
		s.Errorf("the one that came back (-want +got)\n%s", diff)
	}
	for _, in := range []*inbox{one, two, again} {
		in.none()
	}
	for q := range 4 {
		if n := s.committed(group, topic, q); n > 0 {
			s.Errorf("the broker has offset %d of queue %d", n, q)
		}
	}
}

// broadcastFailures: what fails is tried at once, counted and passed over.
func broadcastFailures(s *stand) {
	c, topic, group := s.open(), s.topicOf(1), s.group()
	in := s.inbox()
	mux := s.mux(group, consumer.Broadcast(), consumer.OffsetDir(s.TempDir()), consumer.Retry(retry.None().Immediately(1)))
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		if err := in.take(ctx, d); err != nil {
			return err
		}
		switch string(d.Body) {
		case "fails":
			return errors.New("no")
		case "panics":
			panic("no")
		case "is permanent":
			return retry.Permanent(errors.New("no"))
		}
		return nil
	}, consumer.Concurrency(1))
	cons := s.start(c, mux)
	s.sendAll(s.producer(c), topic, "fails", "panics", "is permanent", "last")
	var got []string
	for _, d := range in.until("last") {
		got = append(got, string(d.Body))
	}
	if diff := cmp.Diff([]string{"fails", "fails", "panics", "panics", "is permanent"}, got); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
	if err := cons.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	if n := cons.Skipped(); n != 3 {
		s.Errorf("%d counted as passed over, want 3", n)
	}
	in.none()
}

// orderRefused: rocketmq-client-go's ordered consumption and broadcasting lose messages.
func orderRefused(s *stand) {
	c, topic := s.open(), s.newTopic()
	for name, o := range map[string]consumer.GroupOption{"Ordered": consumer.Ordered(), "Broadcast": consumer.Broadcast()} {
		mux := s.mux(s.group(), o)
		consumer.HandleRaw(mux, topic, s.inbox().take)
		if _, err := c.NewConsumer(mux); !errors.Is(err, message.ErrUnsupported) {
			s.Errorf("%s: error %v, want ErrUnsupported", name, err)
		}
	}
}
