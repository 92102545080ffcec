package conformance_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/admin"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// adminAPICases are those of package admin.
func adminAPICases() []testCase {
	return []testCase{
		{name: "admin topics", about: "a topic is made, changed, described, listed and deleted", run: adminTopics},
		{name: "admin shrink", about: "queues go when they are drained, and no message with them", run: adminShrink},
		{name: "admin groups", about: "a group is made, changed, listed and deleted; its members and a producer group's are told", run: adminGroups},
		{name: "admin offsets", about: "lag, a reset by time and by offset, a clone, of a group without members", run: adminOffsets},
		{name: "admin backtracking", about: "SeekTime: a running group consumes again what was stored since", run: adminSeeksRunning, needs: promptResets},
		{name: "admin messages", about: "by offset id, unique id, key and time, and by queue and offset", run: adminMessages},
		{name: "admin trace", about: "what clients have traced of a message, from a topic of choice", run: adminTrace},
		{name: "admin brokers", about: "brokers with their versions, figures and configuration, which can be changed", run: adminBrokers},
	}
}

// admin makes an admin client, which bears with a busy machine as stand.producer does.
func (s *stand) admin() *admin.Client {
	s.Helper()
	a, err := admin.New(admin.Config{NameServers: s.server.nameServers, Dial: s.server.dial, RequestTimeout: 20 * time.Second})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			s.Errorf("close the admin client: %v", err)
		}
	})
	return a
}

func adminTopics(s *stand) {
	c := s.open()
	a, topic := s.admin(), s.newTopic()
	set := func(read, write int) {
		s.Helper()
		if err := a.CreateTopic(s.soon(), admin.Topic{Name: topic, ReadQueues: read, WriteQueues: write}); err != nil {
			s.Fatal(err)
		}
		s.eventually("the route is told", func() bool {
			route, err := a.Route(s.soon(), topic)
			return err == nil && len(route) == 1 && route[0].ReadQueues == read && route[0].WriteQueues == write && route[0].Perm == admin.ReadWrite
		})
	}
	if _, err := a.DescribeTopic(s.soon(), topic); !errors.Is(err, message.ErrNoRoute) {
		s.Errorf("before it is made: %v", err)
	}
	set(3, 2)
	begun := time.Now().Add(-time.Minute)
	s.sendAll(s.producer(c), topic, "0", "1", "2")
	var state admin.TopicState
	s.eventually("the messages are counted", func() bool {
		var err error
		state, err = a.DescribeTopic(s.soon(), topic)
		return err == nil && state.Messages() == 3
	})
	var ids []int
	for _, q := range state.Queues {
		ids = append(ids, q.Queue.ID)
		if q.Max > q.Min && q.LastStored.Before(begun) {
			s.Errorf("queue %d was last stored to at %v", q.Queue.ID, q.LastStored)
		}
	}
	if diff := cmp.Diff([]int{0, 1, 2}, ids); diff != "" {
		s.Errorf("queues (-want +got)\n%s", diff)
	}
	set(3, 3)
	if all, err := a.Topics(s.soon()); err != nil || !slices.Contains(all, topic) {
		s.Errorf("the list has no %s: %v", topic, err)
	}
	if s.leg.has&v5 == 0 {
		// 4.9's deletion of any topic takes the queue of half messages along, and with
		// it other cases' transactions, until the first look for them has made its topic.
		s.eventually("the topic of half messages is made", func() bool {
			all, err := a.Topics(s.soon())
			return err == nil && slices.Contains(all, "RMQ_SYS_TRANS_HALF_TOPIC")
		})
	}
	if err := a.DeleteTopic(s.soon(), topic); err != nil {
		s.Fatal(err)
	}
	s.eventually("it is gone", func() bool {
		_, err := a.Route(s.soon(), topic)
		return errors.Is(err, message.ErrNoRoute)
	})
	var refused *message.BrokerError
	if err := a.CreateTopic(s.soon(), admin.Topic{Name: "SCHEDULE_TOPIC_XXXX", ReadQueues: 1, WriteQueues: 1}); !errors.As(err, &refused) || refused.Broker == "" {
		s.Errorf("a system topic: %v", err)
	}
}

func adminShrink(s *stand) {
	c, topic, group := s.open(), s.topicOf(4), s.group()
	a, in := s.admin(), s.inbox()
	s.sendAll(s.producer(c), topic, numbered("m", 8)...)
	// Apache's brokers count a message a little after its send was answered.
	s.eventually("the messages are counted", func() bool { return s.storedIn(topic) == 8 })
	var waited []admin.QueueLag
	how := admin.Shrink{Groups: []string{group}, Settle: 300 * time.Millisecond, Every: 50 * time.Millisecond}
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, in.take)
	started := false
	how.Waiting = func(left []admin.QueueLag) {
		if started {
			return
		}
		started = true
		waited = left
		s.eventually("while it waits, what is in the queues can only be read", func() bool {
			route, err := a.Route(s.soon(), topic)
			return err == nil && route[0].ReadQueues == 4 && route[0].WriteQueues == 2
		})
		s.start(c, mux)
	}
	if err := a.ShrinkTopic(s.soon(), topic, 2, how); err != nil {
		s.Fatal(err)
	}
	if len(waited) != 2 {
		s.Errorf("it waited for %+v, want 2 queues", waited)
	}
	if got := in.bodies(8); len(got) != 8 {
		s.Errorf("received %q", got)
	}
	s.eventually("the route is told", func() bool {
		route, err := a.Route(s.soon(), topic)
		return err == nil && route[0].ReadQueues == 2 && route[0].WriteQueues == 2
	})
	if err := a.ShrinkTopic(s.soon(), topic, 2, how); err != nil {
		s.Errorf("once more: %v", err)
	}
}

func adminGroups(s *stand) {
	c, group := s.open(), s.group()
	a := s.admin()
	find := func() (admin.Group, bool) {
		s.Helper()
		all, err := a.Groups(s.soon())
		if err != nil {
			s.Fatal(err)
		}
		i := slices.IndexFunc(all, func(g admin.Group) bool { return g.Name == group })
		if i < 0 {
			return admin.Group{}, false
		}
		return all[i], true
	}
	g := admin.DefaultGroup(group)
	g.MaxRetries = 3
	if err := a.CreateGroup(s.soon(), g); err != nil {
		s.Fatal(err)
	}
	got, ok := find()
	if !ok || got.MaxRetries != 3 || !got.Consume || !got.Broadcast || got.RetryQueues != 1 {
		s.Errorf("it is %+v", got)
	}
	got.RetryQueues = 2
	if err := a.CreateGroup(s.soon(), got); err != nil {
		s.Fatal(err)
	}
	if got, _ = find(); got.RetryQueues != 2 || got.MaxRetries != 3 {
		s.Errorf("changed it is %+v", got)
	}
	if members, err := a.Consumers(s.soon(), group); err != nil || len(members.Members) != 0 {
		s.Errorf("nobody is in it: %+v, %v", members, err)
	}
	topic, in := s.topic(), s.inbox()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, in.take, consumer.Tags("a || b"))
	s.start(c, mux)
	s.eventually("its member is known", func() bool {
		members, err := a.Consumers(s.soon(), group)
		return err == nil && len(members.Members) == 1 && members.Model == "CLUSTERING" && strings.Contains(members.Subscriptions[topic], "a")
	})
	producers := s.group()
	p, err := c.NewProducer(producers)
	if err != nil {
		s.Fatal(err)
	}
	s.send(p, message.New(topic, []byte("x")))
	s.eventually("the producer is known", func() bool {
		known, err := a.Producers(s.soon(), producers)
		return err == nil && len(known) == 1 && known[0].ClientID != ""
	})
	if known, err := a.Producers(s.soon(), s.group()); err != nil || len(known) != 0 {
		s.Errorf("producers of no group: %v, %v", known, err)
	}
	unused := s.group()
	if err := a.CreateGroup(s.soon(), admin.DefaultGroup(unused)); err != nil {
		s.Fatal(err)
	}
	group = unused
	if _, ok := find(); !ok {
		s.Fatal("it is not made")
	}
	if err := a.DeleteGroup(s.soon(), unused); err != nil {
		s.Fatal(err)
	}
	if _, ok := find(); ok {
		s.Error("it is not deleted")
	}
}

func adminOffsets(s *stand) {
	c, topic, group := s.open(), s.topicOf(1), s.group()
	a := s.admin()
	sent := s.producer(c)
	s.sendAll(sent, topic, "0", "1", "2")
	s.eventually("the messages are counted", func() bool { return s.stored(topic, 0) == 3 })
	if err := a.CreateGroup(s.soon(), admin.DefaultGroup(group)); err != nil {
		s.Fatal(err)
	}
	state, err := a.DescribeTopic(s.soon(), topic)
	if err != nil {
		s.Fatal(err)
	}
	q := state.Queues[0].Queue
	if n, ok, err := a.Offset(s.soon(), group, q); err != nil || ok && (n != 0 || s.leg.has&v5 != 0) {
		s.Errorf("it has offset %d already, or %v", n, err)
	}
	at := func(want int64, why string) {
		s.Helper()
		if n, ok, err := a.Offset(s.soon(), group, q); n != want || !ok || err != nil {
			s.Errorf("%s: offset %d %v, %v; want %d", why, n, ok, err, want)
		}
		lag, err := a.Lag(s.soon(), group)
		if err != nil || lag.Topic(topic).Lag() != 3-want {
			s.Errorf("%s: lag %+v, %v", why, lag, err)
		}
	}
	if err := a.CommitOffset(s.soon(), group, q, 1); err != nil {
		s.Fatal(err)
	}
	at(1, "committed")
	if err := a.SeekOffset(s.soon(), group, q, 2); err != nil {
		s.Fatal(err)
	}
	at(2, "by offset")
	page, err := a.MessagesAt(s.soon(), q, 0, 1)
	if err != nil || len(page.Messages) != 1 {
		s.Fatalf("%+v, %v", page, err)
	}
	moved, err := a.SeekTime(s.soon(), group, topic, page.Messages[0].Stored())
	if diff := cmp.Diff(map[message.Queue]int64{q: 0}, moved); err != nil || diff != "" {
		s.Errorf("%v (-want +got)\n%s", err, diff)
	}
	at(0, "by time")
	if moved, err = a.SeekTime(s.soon(), group, topic, time.Time{}); err != nil || moved[q] != 3 {
		s.Errorf("to the end: %v, %v", moved, err)
	}
	at(3, "to the end")
	from := group
	group = s.group()
	if err := a.CreateGroup(s.soon(), admin.DefaultGroup(group)); err != nil {
		s.Fatal(err)
	}
	if err := a.CloneOffsets(s.soon(), from, group, topic); err != nil {
		s.Fatal(err)
	}
	at(3, "cloned")
	if groups, err := a.TopicGroups(s.soon(), topic); err != nil || !slices.Contains(groups, from) || !slices.Contains(groups, group) {
		s.Errorf("groups of the topic: %q, %v", groups, err)
	}
}

func adminSeeksRunning(s *stand) {
	c, topic, group := s.open(), s.topicOf(1), s.group()
	a, in, p := s.admin(), s.inbox(), s.producer(c)
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, in.take)
	s.start(c, mux)
	s.sendAll(p, topic, "0", "1")
	first := in.ids(2)
	s.eventually("the offsets are committed", func() bool { return s.committed(group, topic, 0) == 2 })
	begun := time.Now()
	for _, d := range first {
		begun = slices.MinFunc([]time.Time{begun, d.Stored()}, time.Time.Compare)
	}
	if _, err := a.SeekTime(s.soon(), group, topic, begun); err != nil {
		s.Fatal(err)
	}
	s.sendAll(p, topic, "2") // ends the pull that waits
	var again []string
	for !slices.Contains(again, "0") || !slices.Contains(again, "1") || !slices.Contains(again, "2") {
		again = append(again, string(in.next().Body))
	}
}

func adminMessages(s *stand) {
	c, topic := s.open(), s.topicOf(1)
	a, p := s.admin(), s.producer(c)
	key, begun := s.name("key"), time.Now().Add(-time.Minute)
	var sent []message.SendResult
	for _, body := range []string{"0", "1"} {
		sent = append(sent, s.send(p, message.New(topic, []byte(body), message.Key(key, "other"), message.Tag("t"))))
	}
	s.eventually("they are indexed", func() bool {
		ds, err := a.MessagesByKey(s.soon(), topic, key, admin.Between{From: begun}, 10)
		return err == nil && len(ds) == 2
	})
	check := func(why string, want int, ds []*message.Delivery, err error) {
		s.Helper()
		if err != nil || len(ds) != 1 {
			s.Errorf("%s: %d messages, %v", why, len(ds), err)
			return
		}
		d, r := ds[0], sent[want]
		if d.ID != r.MessageID || d.OffsetID != r.OffsetMessageID || d.Topic != topic || d.Queue.ID != 0 || d.QueueOffset != int64(want) || d.Tag != "t" || string(d.Body) != string(rune('0'+want)) || !slices.Equal(d.Keys(), []string{key, "other"}) {
			s.Errorf("%s: %+v, want that of %+v", why, d, r)
		}
	}
	d, err := a.MessageByOffsetID(s.soon(), topic, sent[1].OffsetMessageID)
	check("by offset id", 1, []*message.Delivery{d}, err)
	ds, err := a.MessagesByID(s.soon(), topic, sent[0].MessageID, admin.Between{})
	check("by unique id", 0, ds, err)
	ds, err = a.MessagesByKey(s.soon(), topic, key, admin.Between{From: begun}, 1)
	if err != nil || len(ds) != 1 {
		s.Errorf("at most one: %d, %v", len(ds), err)
	}
	if ds, err = a.MessagesByKey(s.soon(), topic, key, admin.Between{To: begun}, 10); err != nil || len(ds) != 0 {
		s.Errorf("before they were sent: %d, %v", len(ds), err)
	}
	q := sent[0].Queue
	page, err := a.MessagesAt(s.soon(), q, 1, 10)
	check("by place", 1, page.Messages, err)
	if page.Next != 2 || page.Min != 0 || page.Max != 2 {
		s.Errorf("page %+v", page)
	}
	if page, err = a.MessagesAt(s.soon(), q, 2, 10); err != nil || len(page.Messages) != 0 || page.Next < page.Max {
		s.Errorf("at the end: %+v, %v", page, err)
	}
	if _, err := a.MessageByOffsetID(s.soon(), topic, sent[0].OffsetMessageID[:16]+"00007FFFFFFFFFFF"); err == nil {
		s.Error("a message behind the end of the log is found")
	}
	if _, err := a.MessageByOffsetID(s.soon(), topic, "no id"); err == nil {
		s.Error("no id finds a message")
	}
}

func adminBrokers(s *stand) {
	a := s.admin()
	bs, err := a.Brokers(s.soon())
	if err != nil || len(bs) == 0 || !bs[0].Master() || bs[0].Addr == "" || bs[0].Cluster == "" {
		s.Fatalf("%+v, %v", bs, err)
	}
	b := bs[0]
	var r admin.Runtime
	s.eventually("the broker tells its figures", func() bool { // Apache's has none in its first second
		var err error
		r, err = a.Runtime(s.soon(), b)
		return err == nil
	})
	if !strings.HasPrefix(r.Version, "V") {
		s.Errorf("version %q", r.Version)
	}
	if _, ok := r.Number("bootTimestamp"); !ok {
		s.Errorf("bootTimestamp is %q", r.Figures["bootTimestamp"])
	}
	conf, err := a.BrokerConfig(s.soon(), b)
	if err != nil || conf["brokerName"] != b.Name {
		s.Fatalf("brokerName=%q, %v", conf["brokerName"], err)
	}
	same := map[string]string{"fileReservedTime": conf["fileReservedTime"]}
	if err := a.SetBrokerConfig(s.soon(), admin.Target{Broker: b.Name}, same); err != nil {
		s.Error(err)
	}
	if err := a.SetBrokerConfig(s.soon(), admin.Target{Broker: "none"}, same); !errors.Is(err, message.ErrUnreachable) {
		s.Errorf("no such broker: %v", err)
	}
	if err := a.SetBrokerConfig(s.soon(), admin.Target{}, map[string]string{"a": "b\nc=d"}); err == nil {
		s.Error("two lines for one key")
	}
}

// adminTrace: the text is in the layout of Apache's TraceDataEncoder.
func adminTrace(s *stand) {
	c, a, topic, id := s.open(), s.admin(), s.topicOf(1), s.name("id")
	p := s.producer(c)
	line := func(words ...string) string { return strings.Join(words, "\x01") + "\x02" }
	for _, body := range []string{
		line("SubBefore", "2000", "DefaultRegion", "billing", "r1", id, "2", "k"),
		line("SubAfter", "r1", id, "30", "true", "k", "0"),
		line("Pub", "1000", "DefaultRegion", "shop", "orders", id, "null", "k", "127.0.0.1:10911", "5", "12", "0", "OFFSET", "true") +
			line("Pub", "1001", "DefaultRegion", "shop", "orders", "of another", "null", "k", "127.0.0.1:10911", "5", "12", "0", "OFFSET", "true"),
	} {
		s.send(p, message.New(topic, []byte(body), message.Key(id, "k")))
	}
	var got []admin.TraceEvent
	s.eventually("the trace is indexed", func() bool {
		var err error
		got, err = a.Trace(s.soon(), id, admin.Between{}, topic)
		return err == nil && len(got) >= 3
	})
	want := []admin.TraceEvent{
		{Type: "Pub", Region: "DefaultRegion", Time: time.UnixMilli(1000), Group: "shop", Topic: "orders", ID: id, Keys: "k", Cost: 12 * time.Millisecond, Success: true, MessageType: "Normal_Msg"},
		{Type: "SubBefore", Region: "DefaultRegion", Time: time.UnixMilli(2000), Group: "billing", ID: id, Keys: "k", Request: "r1", Retries: 2},
		{Type: "SubAfter", Time: time.UnixMilli(2030), Group: "billing", ID: id, Keys: "k", Request: "r1", Cost: 30 * time.Millisecond, Success: true, Outcome: "SUCCESS"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
}
