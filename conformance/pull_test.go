package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// puller makes a puller that does not wait.
func (s *stand) puller(c *rocketkit.Client, group string, sub consumer.Subscription, opts ...consumer.GroupOption) *consumer.Puller {
	s.Helper()
	p, err := c.NewPuller(group, sub, append([]consumer.GroupOption{consumer.PullWait(0)}, opts...)...)
	if err != nil {
		s.Fatal(err)
	}
	return p
}

// seek moves a puller and returns the offset.
func (s *stand) seek(p *consumer.Puller, q message.Queue, to consumer.Position) int64 {
	s.Helper()
	offset, err := p.Seek(s.soon(), q, to)
	if err != nil {
		s.Fatal(err)
	}
	return offset
}

// pulled checks a pull's status and bodies.
func (s *stand) pulled(p *consumer.Puller, q message.Queue, n int, status consumer.PullStatus, bodies ...string) consumer.Pulled {
	s.Helper()
	got, err := p.Pull(s.soon(), q, n)
	if err != nil {
		s.Fatal(err)
	}
	var have []string
	for _, d := range got.Messages {
		have = append(have, string(d.Body))
	}
	if got.Status != status || !slices.Equal(have, bodies) {
		s.Errorf("pulled %v %q, want %v %q", got.Status, have, status, bodies)
	}
	return got
}

func pullStored(s *stand) {
	c, topic, group := s.open(), s.topicOf(1), s.group()
	prod := s.producer(c)
	s.sendAll(prod, topic, "0", "1", "2")
	s.eventually("the messages are counted", func() bool { return s.stored(topic, 0) == 3 })
	p := s.puller(c, group, consumer.Subscription{Topic: topic}, consumer.From(consumer.First))
	queues, err := p.Queues(s.soon())
	if err != nil || len(queues) != 1 {
		s.Fatalf("queues %v, %v", queues, err)
	}
	q := queues[0]
	if _, ok := p.Position(q); ok {
		s.Error("it has a position before it has pulled")
	}
	got := s.pulled(p, q, 2, consumer.PullFound, "0", "1")
	if d := got.Messages[0]; d.Queue != q || d.QueueOffset != 0 || d.Group != group || d.ID == "" {
		s.Errorf("delivery %+v", d)
	}
	if got.Next != 2 || got.First != 0 || got.End != 3 {
		s.Errorf("next %d, first %d, end %d", got.Next, got.First, got.End)
	}
	if err := p.Commit(s.soon()); err != nil {
		s.Fatal(err)
	}
	if n := s.committed(group, topic, 0); n != 2 {
		s.Errorf("committed is %d, want 2", n)
	}
	s.pulled(p, q, 2, consumer.PullFound, "2")
	s.pulled(p, q, 2, consumer.PullNoNewMsg)
	other := s.puller(c, group, consumer.Subscription{Topic: topic})
	s.pulled(other, q, 8, consumer.PullFound, "2") // where the group has committed to be
	if n := s.seek(p, q, consumer.Begin()); n != 0 {
		s.Errorf("the beginning is %d", n)
	}
	s.pulled(p, q, 1, consumer.PullFound, "0")
	if n := s.seek(p, q, consumer.End()); n != 3 {
		s.Errorf("the end is %d", n)
	}
	s.pulled(p, q, 8, consumer.PullNoNewMsg)
	s.seek(p, q, consumer.Offset(1))
	got = s.pulled(p, q, 1, consumer.PullFound, "1")
	s.seek(p, q, consumer.Time(got.Messages[0].Stored()))
	if again, err := p.Pull(s.soon(), q, 8); err != nil || len(again.Messages) == 0 || again.Messages[len(again.Messages)-1].QueueOffset != 2 {
		s.Errorf("since that time: %v, %v", again, err)
	}
	if n := s.seek(p, q, consumer.Time(time.Now().Add(time.Hour))); n != 3 && (n != 2 || s.leg.has&v5 != 0) {
		s.Errorf("in an hour is offset %d; it is 3, and 2 for brokers of 4.9", n)
	}
	s.seek(p, q, consumer.Offset(10))
	if got = s.pulled(p, q, 8, consumer.PullOffsetIllegal); got.Next != 3 {
		s.Errorf("the nearest offset is %d, want 3", got.Next)
	}
	if n, _ := p.Position(q); n != 10 {
		s.Errorf("the position has moved to %d", n)
	}
}

func pullFiltered(s *stand) {
	c, topic := s.open(), s.topicOf(1)
	prod := s.producer(c)
	for i, tag := range []string{"AaAa", "BBBB", "BBBB", "AaAa"} { // of one hash
		s.send(prod, message.New(topic, fmt.Append(nil, i), message.Tag(tag)))
	}
	for range 40 {
		s.send(prod, message.New(topic, []byte("other"), message.Tag("other")))
	}
	s.eventually("the messages are counted", func() bool { return s.stored(topic, 0) == 44 })
	p := s.puller(c, s.group(), consumer.Subscription{Topic: topic, Tags: "AaAa"}, consumer.From(consumer.First))
	q := message.Queue{Topic: topic, Broker: s.brokerName(c, topic), ID: 0}
	s.pulled(p, q, 32, consumer.PullFound, "0", "3")
	for range 44 { // it comes to the end, whatever the broker skips at a time
		got, err := p.Pull(s.soon(), q, 32)
		if err != nil {
			s.Fatal(err)
		}
		if got.Status == consumer.PullNoNewMsg {
			break
		}
		if got.Status != consumer.PullNoMatchedMsg || len(got.Messages) > 0 {
			s.Fatalf("pulled %v %d", got.Status, len(got.Messages))
		}
	}
	if n, _ := p.Position(q); n != 44 {
		s.Errorf("the position is %d, want 44", n)
	}
}

// brokerName is the name of the broker that has a topic.
func (s *stand) brokerName(c *rocketkit.Client, topic string) string {
	s.Helper()
	p := s.puller(c, s.group(), consumer.Subscription{Topic: topic})
	queues, err := p.Queues(s.soon())
	if err != nil || len(queues) == 0 {
		s.Fatalf("queues %v, %v", queues, err)
	}
	return queues[0].Broker
}

func pullWaits(s *stand) {
	c, topic := s.open(), s.topicOf(1)
	prod := s.producer(c)
	s.send(prod, message.New(topic, []byte("before")))
	s.eventually("the message is counted", func() bool { return s.stored(topic, 0) == 1 })
	p := s.puller(c, s.group(), consumer.Subscription{Topic: topic}, consumer.PullWait(min(s.limit(), 12*time.Hour))) // the longest
	q := message.Queue{Topic: topic, Broker: s.brokerName(c, topic), ID: 0}
	s.seek(p, q, consumer.End())
	type result struct {
		got consumer.Pulled
		err error
	}
	came := make(chan result, 1)
	go func() {
		got, err := p.Pull(s.Context(), q, 8)
		came <- result{got, err}
	}()
	s.quiet(100 * time.Millisecond)
	s.send(prod, message.New(topic, []byte("after")))
	select {
	case r := <-came:
		if r.err != nil || len(r.got.Messages) != 1 || string(r.got.Messages[0].Body) != "after" {
			s.Errorf("pulled %v, %v", r.got, r.err)
		}
	case <-s.soon().Done():
		s.Error("the pull that waits is not answered")
	}
	brief := s.puller(c, s.group(), consumer.Subscription{Topic: topic}, consumer.PullWait(300*time.Millisecond))
	s.seek(brief, q, consumer.End())
	s.pulled(brief, q, 8, consumer.PullNoNewMsg) // Apache's brokers look every 5 s for whose time is over
	ctx, cancel := context.WithTimeout(s.Context(), 300*time.Millisecond)
	defer cancel()
	if got, err := p.Pull(ctx, q, 8); !errors.Is(err, context.DeadlineExceeded) {
		s.Errorf("ctx ended: %v, %v", got.Status, err)
	}
}

func pullRefused(s *stand) {
	c := s.open()
	if _, err := c.NewPuller("g g", consumer.Subscription{Topic: "t", Tags: "a||"}, consumer.PullWait(-1)); !errors.Is(err, consumer.ErrRegistration) {
		s.Errorf("a wrong group, tag and option: %v", err)
	}
	p := s.puller(c, s.group(), consumer.Subscription{Topic: s.newTopic()})
	if _, err := p.Queues(s.soon()); !errors.Is(err, message.ErrNoRoute) {
		s.Errorf("the queues of no topic: %v", err)
	}
	if _, err := p.Pull(s.soon(), message.Queue{Topic: "another", Broker: "b"}, 1); err == nil {
		s.Error("a queue of another topic is pulled")
	}
}

// fetcher starts one for a group that begins with what is stored.
func (s *stand) fetcher(c *rocketkit.Client, group, topic string, opts ...consumer.GroupOption) *consumer.Fetcher {
	s.Helper()
	f, err := c.NewFetcher(group, []consumer.Subscription{{Topic: topic}}, append([]consumer.GroupOption{consumer.From(consumer.First)}, opts...)...)
	if err != nil {
		s.Fatal(err)
	}
	if err := f.Start(s.soon()); err != nil {
		s.Fatal(err)
	}
	return f
}

// fetch fetches n messages, by their bodies.
func (s *stand) fetch(f *consumer.Fetcher, n int) map[string]*message.Delivery {
	s.Helper()
	got := make(map[string]*message.Delivery)
	for len(got) < n {
		ds, err := f.Fetch(s.soon(), n-len(got))
		if err != nil {
			s.Fatalf("fetch, after %d of %d: %v", len(got), n, err)
		}
		for _, d := range ds {
			got[string(d.Body)] = d
		}
	}
	return got
}

func fetchAndAnswer(s *stand) {
	c, topic, group := s.open(), s.topic(), s.group()
	s.sendAll(s.producer(c), topic, "done", "again", "dead", "open")
	f := s.fetcher(c, group, topic)
	got := s.fetch(f, 4)
	if err := errors.Join(f.Ack(got["done"]), f.Retry(0, got["again"]), f.DeadLetter(got["dead"])); err != nil {
		s.Fatal(err)
	}
	if err := f.Ack(got["done"]); !errors.Is(err, consumer.ErrRevoked) {
		s.Errorf("a second answer: %v", err)
	}
	again := s.fetch(f, 1)
	if d := again["again"]; d == nil || d.ID != got["again"].ID || d.ReconsumeTimes != 1 || d.Topic != topic {
		s.Fatalf("fetched again: %+v", again)
	}
	if err := f.Ack(again["again"]); err != nil {
		s.Fatal(err)
	}
	if err := f.Stop(s.soon()); err != nil {
		s.Fatal(err)
	}
	if err := f.Ack(got["open"]); !errors.Is(err, consumer.ErrRevoked) {
		s.Errorf("an answer after the end: %v", err)
	}
	if _, err := f.Fetch(s.soon(), 1); !errors.Is(err, message.ErrClosed) {
		s.Errorf("a fetch after the end: %v", err)
	}
	next := s.fetcher(c, group, topic)
	for open := false; !open; {
		for body, d := range s.fetch(next, 1) {
			open = open || body == "open"
			// rocketmq-client-go may not have committed the last acknowledgement.
			if body != "open" && (body != "again" || s.leg.has&pulls != 0) {
				s.Errorf("after a restart comes %q, want what was not answered", body)
			}
			if err := next.Ack(d); err != nil {
				s.Error(err)
			}
		}
	}
	dead := s.inbox()
	mux := s.mux(group)
	consumer.HandleDLQ(mux, dead.take)
	s.start(c, mux)
	if diff := cmp.Diff([]string{"dead"}, dead.bodies(1)); diff != "" {
		s.Errorf("dead letters (-want +got)\n%s", diff)
	}
}

func fetchCommits(s *stand) {
	c, topic, group := s.open(), s.topicOf(1), s.group()
	s.sendAll(s.producer(c), topic, "0", "1", "2")
	f := s.fetcher(c, group, topic)
	got := s.fetch(f, 3)
	if err := f.Ack(got["0"], got["2"]); err != nil {
		s.Fatal(err)
	}
	if err := f.Commit(s.soon()); err != nil {
		s.Fatal(err)
	}
	if n := s.committed(group, topic, 0); n != 1 {
		s.Errorf("committed is %d, want 1: message 1 has no answer", n)
	}
	if err := f.Ack(got["1"]); err != nil {
		s.Fatal(err)
	}
	if err := f.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	if n := s.committed(group, topic, 0); n != 3 {
		s.Errorf("committed is %d after the drain, want 3", n)
	}
}

func fetchShared(s *stand) {
	topic, group := s.topic(), s.group()
	c, c2 := s.open(), s.open()
	one := s.fetcher(c, group, topic, consumer.PullBatch(1))
	s.sendAll(s.producer(c), topic, "0", "1", "2", "3")
	first := s.fetch(one, 4)
	two := s.fetcher(c2, group, topic)
	second := s.fetch(two, 2) // of the queues that have moved there
	moved := 0
	for body, d := range first {
		err := one.Ack(d)
		if (second[body] != nil) != errors.Is(err, consumer.ErrRevoked) {
			s.Errorf("message %s: fetched by the other is %v, the answer %v", body, second[body] != nil, err)
		}
		if err != nil {
			moved++
		}
	}
	if moved != 2 {
		s.Errorf("%d messages have moved, want those of 2 of 4 queues", moved)
	}
	for _, d := range second {
		if err := two.Ack(d); err != nil {
			s.Error(err)
		}
	}
}
