package conformance_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/retry"
)

// handlerCases are about the handlers of a group, each of which has its own limits.
func handlerCases() []testCase {
	return []testCase{
		{name: "handler paused", about: "one handler is held by its name, the others go on", run: handlerPaused},
		{name: "handler rate", about: "a handler begins so many messages a second", run: handlerRate},
		{name: "kill switch", about: "a handler that fails too often is paused, and its messages wait", run: killSwitch},
		{name: "retries by handler", about: "the group's number of retries holds for the handlers that have none of their own", run: retriesByHandler},
	}
}

func handlerPaused(s *stand) {
	c, held, free := s.open(), s.topic(), s.topic()
	p := s.producer(c)
	in, other := s.inbox(), s.inbox()
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, held, in.take, consumer.Name("held"))
	consumer.HandleRaw(mux, free, other.take, consumer.Name("free"))
	cons := s.start(c, mux)
	s.sendAll(p, held, "before")
	in.ids(1)
	if err := cons.Pause("held", "nobody"); err == nil || !strings.Contains(err.Error(), "nobody") || len(cons.Paused()) > 0 {
		s.Errorf("error %v, want one that names the handler; paused are %v", err, cons.Paused())
	}
	if err := cons.Pause("held"); err != nil {
		s.Fatal(err)
	}
	s.sendAll(p, held, numbered("held", 8)...)
	s.sendAll(p, free, numbered("free", 8)...)
	if diff := cmp.Diff(numbered("free", 8), other.bodies(8)); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"held"}, cons.Paused()); diff != "" {
		s.Errorf("paused (-want +got)\n%s", diff)
	}
	in.none()
	if err := cons.Resume("held"); err != nil {
		s.Fatal(err)
	}
	if diff := cmp.Diff(numbered("held", 8), in.bodies(8)); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
}

func handlerRate(s *stand) {
	const n = 8
	c, topic := s.open(), s.topic()
	s.sendAll(s.producer(c), topic, numbered("paced", n)...)
	in := s.inbox()
	var mu sync.Mutex
	var first, last time.Time
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		mu.Lock()
		last = time.Now()
		if first.IsZero() {
			first = last
		}
		mu.Unlock()
		return in.take(ctx, d)
	}, consumer.RateLimit(20))
	s.start(c, mux)
	in.ids(n)
	mu.Lock()
	defer mu.Unlock()
	// A tenth of a second's messages begin at once.
	if took, least := last.Sub(first), 290*time.Millisecond; took < least {
		s.Errorf("%d messages were begun within %s, want %s at least", n, took, least)
	}
}

func killSwitch(s *stand) {
	c, topic := s.open(), s.topic()
	s.sendAll(s.producer(c), topic, numbered("m", 6)...)
	in := s.inbox()
	var down atomic.Bool
	down.Store(true)
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		if down.Load() {
			return errBoom
		}
		return in.take(ctx, d)
	}, consumer.Name("orders"), consumer.Concurrency(1), consumer.KillSwitch(consumer.KillSwitchSettings{AtLeast: 4, PauseFor: time.Hour}))
	cons := s.start(c, mux)
	s.eventually("the handler is paused", func() bool { return cmp.Equal(cons.Paused(), []string{"orders"}) })
	in.none()
	down.Store(false)
	if err := cons.Resume("orders"); err != nil {
		s.Fatal(err)
	}
	of := map[int]int{} // messages by how often they had been tried
	for _, d := range in.ids(6) {
		of[d.ReconsumeTimes]++
	}
	if of[0] < 2 {
		s.Errorf("messages by their earlier attempts: %v, want 2 at least that waited", of)
	}
	if paused := cons.Paused(); len(paused) > 0 {
		s.Errorf("paused are %v", paused)
	}
}

func retriesByHandler(s *stand) {
	c, topic := s.open(), s.topic()
	p, calls, dead := s.producer(c), new(counter), s.inbox()
	fail := func(_ context.Context, d *message.Delivery) error {
		calls.add(string(d.Body))
		return errBoom
	}
	mux := s.mux(s.group(), consumer.Retry(retry.Levels(1)))
	consumer.HandleRaw(mux, topic, fail, consumer.Tags("group"))
	consumer.HandleRaw(mux, topic, fail, consumer.Tags("handler"), consumer.Retry(retry.None()))
	consumer.HandleDLQ(mux, dead.take)
	s.start(c, mux)
	tags := []string{"group", "handler"}
	s.sendTagged(p, topic, tags...)
	if diff := cmp.Diff(tags, dead.bodies(2)); diff != "" {
		s.Errorf("dead letters (-want +got)\n%s", diff)
	}
	if group, handler := calls.get("group"), calls.get("handler"); group != 2 || handler != 1 {
		s.Errorf("%d attempts by the group's number and %d by the handler's, want 2 and 1", group, handler)
	}
}

// sendTagged stores a message of each tag, whose body it is.
func (s *stand) sendTagged(p *producer.Producer, topic string, tags ...string) {
	s.Helper()
	for _, tag := range tags {
		s.send(p, message.New(topic, []byte(tag), message.Tag(tag)))
	}
}
