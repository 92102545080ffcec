package conformance_test

import (
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// otherBroker: what one broker cannot take goes to the other.
func otherBroker(s *stand) {
	b := s.secondBroker("broker-b")
	n, topic := s.network(), s.topicOnBoth(b)
	p := s.producer(s.openAt(s.server.nameServers, s.dialOptions(n.Dial)...), producer.Retries(2))
	per := map[string]int{}
	for _, body := range numbered("both", 16) {
		per[s.send(p, message.New(topic, []byte(body))).Queue.Broker]++
	}
	if diff := cmp.Diff(map[string]int{"broker-a": 8, "broker-b": 8}, per); diff != "" {
		s.Errorf("messages per broker (-want +got)\n%s", diff)
	}
	n.refuse(b.Addr(), true)
	n.sever(b.Addr())
	for _, body := range numbered("one", 16) {
		if r := s.send(p, message.New(topic, []byte(body))); r.Queue.Broker != "broker-a" {
			s.Errorf("%s went to %s, which cannot be reached", body, r.Queue.Broker)
		}
	}
}

// deadHost: a dial that hangs holds up nobody who sends elsewhere.
func deadHost(s *stand) {
	b := s.secondBroker("broker-b")
	n, topic := s.network(), s.topicOnBoth(b)
	release := n.stall(b.Addr())
	defer release()
	p := s.producer(s.openAt(s.server.nameServers, s.dialOptions(n.Dial)...), producer.Select(func(m *message.Message, queues []message.Queue) int {
		return slices.IndexFunc(queues, func(q message.Queue) bool { return q.Broker == string(m.Body) })
	}))
	hanging := s.async(s.soon(), p, message.New(topic, []byte("broker-b")))
	begun := time.Now()
	for range 20 {
		s.send(p, message.New(topic, []byte("broker-a")))
	}
	if took := time.Since(begun); took > s.busy(2*time.Second, 20) {
		s.Errorf("20 sends to the other broker took %s", took)
	}
	release()
	if o := s.outcome(hanging); o.err != nil || o.r.Queue.Broker != "broker-b" {
		s.Errorf("%v, %v", o.r, o.err)
	}
}

// secondBroker, of that name, joins the case's own server.
func (s *stand) secondBroker(name string) *brokerlite.Broker {
	s.Helper()
	opts := []brokerlite.Option{
		brokerlite.WithLogger(s.log), brokerlite.WithRole(brokerlite.RoleBroker), brokerlite.Name(name, "DefaultCluster"),
		brokerlite.NameServers(s.server.nameServers...),
	}
	if s.server.net != nil {
		opts = append(opts, brokerlite.InMemory(), brokerlite.VirtualNetwork(s.server.net))
	}
	b, err := brokerlite.Start(s.Context(), opts...)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := closeLite(b); err != nil {
			s.Error(err)
		}
	})
	return b
}

// topicOnBoth makes a topic with 4 queues on each of two brokers.
func (s *stand) topicOnBoth(b *brokerlite.Broker) string {
	s.Helper()
	topic := s.topic()
	first := s.server.broker
	s.server.broker = b.Addr()
	s.createTopic(topic, 4)
	s.server.broker = first
	s.eventually("both brokers have the topic", func() bool {
		a := s.ask(s.server.nameServers[0], codeRoute, map[string]string{"topic": topic})
		return strings.Contains(string(a.body), "broker-a") && strings.Contains(string(a.body), "broker-b")
	})
	return topic
}
