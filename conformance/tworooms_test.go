package conformance_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/admin"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	strategies "github.com/rocketkit/rocketkit/driver/native"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// roomCases are about several brokers. What they hold for Apache's is in clusterTable.
func roomCases() []testCase {
	return []testCase{
		{name: "slow broker avoided", about: "with AvoidSlow a broker that answers late gets no messages for a while, and then again", run: slowBrokerAvoided, needs: faults, opts: own()},
		{name: "queues by machine room", about: "a group of one room gets the queues of the brokers there, whose names say it", run: queuesByRoom, opts: own(brokerlite.Name(eastern, "DefaultCluster"))},
		{name: "admin on one broker", about: "topics and groups are made, listed and deleted where Target says, by name and by address", run: adminOnOneBroker, needs: admins, opts: own()},
	}
}

// Names of brokers that say where they are (AllocateMessageQueueByMachineRoom).
const (
	eastern = "east@broker-a"
	western = "west@broker-b"
)

func slowBrokerAvoided(s *stand) {
	b := s.secondBroker("broker-b")
	s.avoidsTheSlow(s.topicOnBoth(b), b, "broker-b")
}

// avoidsTheSlow makes one of two brokers that have the topic slow for a while: its late
// answer is one that Java's clients avoid a broker 2 s for.
func (s *stand) avoidsTheSlow(topic string, b *brokerlite.Broker, slow string) {
	s.Helper()
	const late, avoided = 600 * time.Millisecond, 2 * time.Second
	p := s.producer(s.open(), producer.AvoidSlow())
	healed := b.Fault(brokerlite.Match{Topic: topic}, brokerlite.Pass().After(late))
	defer healed()
	next := func() string { return s.send(p, message.New(topic, []byte("m"))).Queue.Broker }
	begun := time.Now()
	for n := 1; next() != slow; n++ {
		if begun = time.Now(); n == 8 {
			s.Fatal("8 messages went to one of two brokers")
		}
	}
	until := begun.Add(late + avoided) // at the soonest
	for range 20 {
		if next() == slow && time.Now().Add(late).Before(until) {
			s.Fatalf("a message went to %s, which was late %s ago", slow, avoided-time.Until(until))
		}
	}
	healed()
	s.eventually("it gets messages again", func() bool { return next() == slow })
	if early := time.Until(until); early > 0 {
		s.Errorf("it got one %s early", early)
	}
}

func queuesByRoom(s *stand) {
	b := s.secondBroker(western)
	s.takesItsRoom(s.topicOnBoth(b), eastern, western)
}

// takesItsRoom has a group for each room of two brokers that have the topic.
func (s *stand) takesItsRoom(topic string, brokers ...string) {
	s.Helper()
	c := s.open()
	rooms := map[string]*inbox{}
	for _, broker := range brokers {
		room, _, _ := strings.Cut(broker, "@")
		in, mux := s.inbox(), s.mux(s.group(), consumer.Allocate(strategies.ByMachineRoom(room)))
		consumer.HandleRaw(mux, topic, in.take)
		s.start(c, mux)
		rooms[broker] = in
	}
	p, sent := s.producer(c), map[string][]string{}
	for _, body := range numbered("room", 16) {
		r := s.send(p, message.New(topic, []byte(body)))
		sent[r.Queue.Broker] = append(sent[r.Queue.Broker], r.MessageID)
	}
	for broker, in := range rooms {
		if len(sent[broker]) == 0 {
			s.Errorf("no message went to %s", broker)
		}
		got := in.ids(len(sent[broker]))
		for _, id := range sent[broker] {
			if got[id] == nil {
				s.Errorf("%s, of broker %s, is not among the messages of its room", id, broker)
			}
		}
	}
	for _, in := range rooms {
		in.none()
	}
}

func adminOnOneBroker(s *stand) {
	b := s.secondBroker("broker-b")
	s.mindsItsTarget(admin.Broker{Cluster: "DefaultCluster", Name: "broker-a", Addr: s.server.broker}, admin.Broker{Cluster: "DefaultCluster", Name: "broker-b", Addr: b.Addr()})
}

// mindsItsTarget makes and deletes things on one of two brokers at a time.
func (s *stand) mindsItsTarget(one, other admin.Broker) {
	s.Helper()
	a, topic, group := s.admin(), s.newTopic(), s.group()
	have := func(want ...admin.Broker) {
		s.Helper()
		var names []string
		for _, b := range want {
			names = append(names, b.Name)
		}
		s.eventually("the topic is on "+strings.Join(names, " and "), func() bool {
			route, err := a.Route(s.soon(), topic)
			var got []string
			for _, b := range route {
				got = append(got, b.Name)
			}
			return slices.Equal(sorted(names), got) && (err == nil || len(want) == 0 && errors.Is(err, message.ErrNoRoute))
		})
	}
	must := func(err error) {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
	}
	two := admin.Topic{Name: topic, ReadQueues: 2, WriteQueues: 2}
	must(a.CreateTopic(s.soon(), two, admin.Target{Broker: one.Name}))
	have(one)
	must(a.CreateTopic(s.soon(), two, admin.Target{Broker: other.Addr}))
	have(one, other)
	kept := func(b admin.Broker) bool {
		s.Helper()
		return bytes.Contains(s.ask(b.Addr, 21, nil).body, []byte(`"`+topic+`"`)) // GET_ALL_TOPIC_CONFIG
	}
	must(a.DeleteTopic(s.soon(), topic, admin.Target{Broker: one.Addr}))
	if kept(one) || !kept(other) {
		s.Error("the topic is to be deleted from one broker, and from no other")
	}
	if route, err := a.Route(s.soon(), topic); err != nil || !slices.ContainsFunc(route, func(b admin.TopicBroker) bool { return b.Name == other.Name }) {
		s.Errorf("the other broker's route is gone: %+v, %v", route, err)
	}
	must(a.DeleteTopic(s.soon(), topic, admin.Target{Broker: other.Name}))
	if kept(other) {
		s.Error("the topic is to be deleted from the other broker too")
	}
	must(a.DeleteTopic(s.soon(), topic, admin.Target{Cluster: one.Cluster}))
	have() // name servers forget a topic of a cluster only

	has := func(at admin.Target) bool {
		s.Helper()
		all, err := a.Groups(s.soon(), at)
		must(err)
		return slices.ContainsFunc(all, func(g admin.Group) bool { return g.Name == group })
	}
	must(a.CreateGroup(s.soon(), admin.DefaultGroup(group), admin.Target{Broker: other.Name}))
	if has(admin.Target{Broker: one.Name}) || !has(admin.Target{Broker: other.Name}) || !has(admin.Target{Broker: other.Addr}) {
		s.Error("a group is not on the broker where it was made, or is on the other too")
	}
	must(a.DeleteGroup(s.soon(), group, admin.Target{Broker: other.Addr}))
	if has(admin.Target{Broker: other.Name}) {
		s.Error("a group that was deleted is still there")
	}
	if err := a.CreateTopic(s.soon(), two, admin.Target{Broker: "none"}); !errors.Is(err, message.ErrUnreachable) || !strings.Contains(err.Error(), "none") {
		s.Errorf("on a broker that is not there: %v", err)
	}
}
