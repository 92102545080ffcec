package conformance_test

import (
	"fmt"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	strategies "github.com/rocketkit/rocketkit/driver/native"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// placementCases are about which queue, member and cluster a message goes to.
func placementCases() []testCase {
	return []testCase{
		{name: "stable queue by key", about: "a new queue takes some keys over; all others stay where they are", run: sendStably},
		{name: "queues by strategy", about: "queues go to members as the group's strategy says: by configuration, by a ring of hashes, by room", run: queuesByStrategy},
		{name: "two clusters", about: "one process uses two clusters with the same names of topics and groups, each with its credentials", run: twoClusters},
	}
}

func sendStably(s *stand) {
	const keys = 60
	topic := s.topic()
	place := func() map[string]int {
		p := s.producer(s.open(), producer.StableKeys()) // which asks for the route
		var ms []*message.Message
		for _, key := range numbered("customer", keys) {
			ms = append(ms, message.New(topic, []byte(key), message.ShardingKey(key)))
		}
		out, err := p.SendBatch(s.soon(), ms)
		if err != nil {
			s.Fatal(err)
		}
		at := map[string]int{}
		for i, o := range out {
			at[string(ms[i].Body)] = o.Result.Queue.ID
		}
		return at
	}
	before := place()
	if diff := cmp.Diff(before, place()); diff != "" {
		s.Errorf("another producer's queues (-first +second)\n%s", diff)
	}
	s.alterTopic(topic, 5, 5)
	moved := 0
	for key, q := range place() {
		if q != before[key] {
			moved++
			if q != 4 {
				s.Errorf("key %s went from queue %d to %d, though 4 is the new one", key, before[key], q)
			}
		}
	}
	if moved == 0 || moved > keys/2 {
		s.Errorf("%d of %d keys moved to the new queue, want about a fifth", moved, keys)
	}
}

func queuesByStrategy(s *stand) {
	c, topic, group := s.open(), s.topic(), s.group()
	p := s.producer(c)
	queues := make([]message.Queue, 4)
	for range queues {
		q := s.send(p, message.New(topic, []byte("b"))).Queue
		queues[q.ID] = q
	}
	take := func(c *rocketkit.Client, group string, by driver.AllocateStrategy) *inbox {
		in, mux := s.inbox(), s.mux(group, consumer.Allocate(by))
		consumer.HandleRaw(mux, topic, in.take)
		s.start(c, mux)
		return in
	}
	got := func(in *inbox, want ...int) {
		s.Helper()
		var ids []int
		for _, d := range in.ids(len(want)) {
			ids = append(ids, d.Queue.ID)
		}
		if diff := cmp.Diff(want, sorted(ids)); diff != "" {
			s.Errorf("queues (-want +got)\n%s", diff)
		}
		in.none()
	}
	one := take(c, group, strategies.ByConfig(queues[0], queues[2]))
	got(one, 0, 2)
	got(take(s.open(), group, strategies.ByConfig(queues[1], queues[3])), 1, 3)
	one.none()
	room := func(string) string { return "here" }
	for _, by := range []driver.AllocateStrategy{
		strategies.ConsistentHash(10), strategies.AveragelyByCircle(), strategies.NearbyMachineRoom(strategies.Averagely(), room, room),
	} {
		s.Logf("%s", by.Name())
		got(take(c, s.group(), by), 0, 1, 2, 3)
	}
}

func twoClusters(s *stand) {
	other := startLite(s.T, s.log, s.leg.bubble, brokerlite.ACLFile(rulesFile))
	topic, group, from := s.newTopic(), s.group(), s.group()
	place := map[string]*rocketkit.Client{"here": s.open(), "there": s.openAs(other, "order-service", "order-service-secret")}
	in, producers := map[string]*inbox{}, map[string]*producer.Producer{}
	for name, c := range place {
		p, err := c.NewProducer(from)
		if err != nil {
			s.Fatal(err)
		}
		producers[name], in[name] = p, s.inbox()
		s.sendAll(p, topic, name+" 0") // which makes the topic
		mux := s.mux(group)
		consumer.HandleRaw(mux, topic, in[name].take)
		s.start(c, mux)
	}
	for i := 1; i < 8; i++ {
		for name, p := range producers {
			s.sendAll(p, topic, fmt.Sprint(name, " ", i))
		}
	}
	for name := range place {
		if diff := cmp.Diff(numbered(name, 8), in[name].bodies(8)); diff != "" {
			s.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}
