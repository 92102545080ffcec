package conformance_test

import (
	"strconv"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// spread stores a message in each of a topic's first queues.
func (s *stand) spread(what, topic string, queues int) (bodies []string) {
	s.Helper()
	c := s.open()
	bodies = numbered(what, queues)
	for q, body := range bodies {
		if r := s.send(s.producer(c, always(q)), message.New(topic, []byte(body))); r.Queue.ID != q {
			s.Fatalf("%s is stored in queue %d", body, r.Queue.ID)
		}
	}
	return bodies
}

// fewerReadQueues: what is in queues that cannot be read waits until they can be.
func fewerReadQueues(s *stand) {
	topic := s.newTopic()
	s.alterTopic(topic, 8, 4)
	bodies := s.spread("in queue", topic, 8)
	in := s.receive(s.open(), topic)
	got := in.ids(4)
	for _, d := range got {
		if d.Queue.ID > 3 {
			s.Errorf("%q came from queue %d", d.Body, d.Queue.ID)
		}
	}
	if diff := cmp.Diff(bodies[:4], bodiesOf(got)); diff != "" {
		s.Errorf("with 4 of 8 queues (-want +got)\n%s", diff)
	}
	for q := 4; q < 8; q++ {
		// Apache's brokers count a message a little after its send was answered.
		s.eventually("queue "+strconv.Itoa(q)+" holds its message", func() bool { return s.stored(topic, q) == 1 })
	}
	in.none()
	s.alterTopic(topic, 8, 8)
	if diff := cmp.Diff(bodies[4:], in.bodies(4)); diff != "" {
		s.Errorf("with the others (-want +got)\n%s", diff)
	}
	in.none()
}

// shrinkQueues takes 16 queues to 8 in the order that loses nothing: first no more is
// written to the upper ones, then they are drained, then they are not read any longer.
func shrinkQueues(s *stand) {
	topic, group := s.topicOf(16), s.group()
	late := s.producer(s.open(), always(15)) // goes by the route of the 16
	want := append(s.spread("before", topic, 16), s.sendOn(late, topic, "by the old route")...)
	s.alterTopic(topic, 8, 16)
	want = append(want, s.sendOn(late, topic, "by the old route still")...)
	turn := s.producer(s.open())
	for i := range 16 {
		body := "with 8 to write to, " + strconv.Itoa(i)
		if r := s.send(turn, message.New(topic, []byte(body))); r.Queue.ID > 7 {
			s.Errorf("%q is stored in queue %d", body, r.Queue.ID)
		}
		want = append(want, body)
	}
	in := s.inbox()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, in.take)
	s.start(s.open(), mux)
	if diff := cmp.Diff(sorted(want), in.bodies(len(want))); diff != "" {
		s.Errorf("before the upper queues are given up (-want +got)\n%s", diff)
	}
	for q := range 16 {
		s.eventually("queue "+strconv.Itoa(q)+" is drained", func() bool { return s.committed(group, topic, q) == s.stored(topic, q) })
	}
	s.alterTopic(topic, 8, 8)
	after := numbered("after", 8)
	s.sendAll(s.producer(s.open()), topic, after...)
	if diff := cmp.Diff(after, in.bodies(8)); diff != "" {
		s.Errorf("afterwards (-want +got)\n%s", diff)
	}
	in.none()
}

// sendOn stores messages and returns their bodies.
func (s *stand) sendOn(p *producer.Producer, topic string, bodies ...string) []string {
	s.Helper()
	s.sendAll(p, topic, bodies...)
	return bodies
}
