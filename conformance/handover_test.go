package conformance_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver/clientgo"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// offsetsSurvive: what was acknowledged does not come again.
func offsetsSurvive(s *stand) {
	topic, group := s.topic(), s.group()
	p := s.producer(s.open())
	for round := range 3 {
		c, in := s.open(), s.inbox()
		mux := s.mux(group)
		consumer.HandleRaw(mux, topic, in.take)
		cons := s.start(c, mux)
		want := numbered(fmt.Sprint("round ", round), 10)
		s.sendAll(p, topic, want...)
		if diff := cmp.Diff(want, in.bodies(10)); diff != "" {
			s.Fatalf("round %d (-want +got)\n%s", round, diff)
		}
		// The pulls that wait now carry the offsets from before the last messages. A
		// busy Apache that serves one after the drain's commit takes the offset back.
		s.quiet(time.Second)
		if err := cons.Drain(s.soon()); err != nil {
			s.Fatal(err)
		}
		in.none()
		if err := c.Close(); err != nil {
			s.Fatal(err)
		}
	}
}

// drainFinishes: a drain in the middle of work loses nothing, repeats nothing and
// leaves no handler running.
func drainFinishes(s *stand) {
	const n = 60
	topic, group := s.topic(), s.group()
	s.sendAll(s.producer(s.open()), topic, numbered("d", n)...)
	var begun, ended atomic.Int32
	busy, release := make(chan struct{}), make(chan struct{})
	in := s.inbox()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		if begun.Add(1) == 5 {
			close(busy)
		}
		select {
		case <-release:
		case <-ctx.Done():
			s.Errorf("ctx of %q ended: %v", d.Body, context.Cause(ctx))
		}
		ended.Add(1)
		return in.take(ctx, d)
	}, consumer.Concurrency(5))
	cons := s.start(s.open(), mux)
	s.wait(busy, "five handlers")
	drained := make(chan error, 1)
	go func() { drained <- cons.Drain(s.soon()) }()
	select {
	case err := <-drained:
		s.Fatalf("the drain ended with %v while handlers ran", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	if err := <-drained; err != nil {
		s.Fatal(err)
	}
	if b, e := begun.Load(), ended.Load(); b != e {
		s.Errorf("%d handlers had begun and %d had ended when the drain was over", b, e)
	}
	got := map[string]int{}
	for range len(in.ch) {
		got[string((<-in.ch).Body)]++
	}
	rest := s.inbox()
	again := s.mux(group)
	consumer.HandleRaw(again, topic, rest.take)
	s.start(s.open(), again)
	for _, body := range rest.bodies(n - len(got)) {
		got[body]++
	}
	rest.none()
	for _, body := range numbered("d", n) {
		if got[body] != 1 {
			s.Errorf("%q was handled %d times", body, got[body])
		}
	}
}

// stopDiscards: handlers' ctx ends, and what they had is delivered again.
func stopDiscards(s *stand) {
	topic, group := s.topic(), s.group()
	ids := s.sendAll(s.producer(s.open()), topic, "a", "b", "c")
	busy := make(chan struct{}, 10)
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, func(ctx context.Context, _ *message.Delivery) error {
		busy <- struct{}{}
		<-ctx.Done()
		return nil // which does not count
	})
	cons := s.start(s.open(), mux)
	for range 3 {
		s.wait(busy, "the handlers")
	}
	if err := cons.Stop(s.soon()); err != nil {
		s.Fatal(err)
	}
	in := s.inbox()
	again := s.mux(group)
	consumer.HandleRaw(again, topic, in.take)
	s.start(s.open(), again)
	got := in.ids(3)
	for _, id := range ids {
		if d := got[id]; d == nil || d.ReconsumeTimes != 0 {
			s.Errorf("%s arrived again as %+v", id, d)
		}
	}
}

// queuesAreShared: members share the queues, and those of one that leaves go to
// the others at once.
func queuesAreShared(s *stand) {
	topic, group := s.topic(), s.group()
	p := s.producer(s.open())
	member := func() (*consumer.Consumer, *inbox) {
		in := s.inbox()
		mux := s.mux(group)
		consumer.HandleRaw(mux, topic, in.take)
		return s.start(s.open(), mux), in
	}
	first, one := member()
	s.sendAll(p, topic, numbered("alone", 8)...)
	if diff := cmp.Diff(numbered("alone", 8), one.bodies(8)); diff != "" {
		s.Fatalf("alone (-want +got)\n%s", diff)
	}
	_, two := member()
	// Rounds of one message a queue, until each member gets two of them.
	round := 0
	s.eventually("two members with two queues each", func() bool {
		round++
		bodies := numbered(fmt.Sprint("round ", round), 4)
		s.sendAll(p, topic, bodies...)
		a, b := s.collect(one, two, bodies)
		return len(a) == 2 && len(b) == 2
	})
	if err := first.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	begun := time.Now()
	s.sendAll(p, topic, numbered("left", 8)...)
	// A message of the last round whose queue moved then may still come again.
	a, b := s.collect(one, two, numbered("left", 8))
	slices.Sort(b)
	if diff := cmp.Diff(numbered("left", 8), b); diff != "" || len(a) > 0 {
		s.Errorf("after one has left, which got %q (-want +got)\n%s", a, diff)
	}
	// Without the broker's notice (code 40) it takes 20 s.
	if took := time.Since(begun); took > 10*time.Second {
		s.Errorf("the queues of the one that left were taken over after %s", took)
	}
	one.none()
	two.none()
}

// filterOfWhoLeft: a broker keeps the newest filter of a group. That of a member by
// rocketmq-client-go is, since its versions are in ns and the others' in ms. In virtual time,
// and with the race detector, which it cannot stand, the member is a native one: its is the
// newest because it comes later.
func filterOfWhoLeft(s *stand) {
	topic, group := s.topic(), s.group()
	var by []*producer.Producer // by queue
	for q := range 4 {
		by = append(by, s.producer(s.open(), always(q)))
	}
	toAll := func(tag, body string) {
		for q, p := range by {
			s.send(p, message.New(topic, fmt.Append(nil, body, " ", q), message.Tag(tag)))
		}
	}
	member := func(c *rocketkit.Client, tags string) (*consumer.Consumer, *inbox) {
		in := s.inbox()
		mux := s.mux(group)
		consumer.HandleRaw(mux, topic, in.take, consumer.Tags(tags))
		return s.start(c, mux), in
	}
	_, in := member(s.open(), "any || card")
	toAll("any", "alone")
	in.bodies(4)
	other := s.open()
	if !s.virtual() && !raceDetector {
		other = s.openAt(s.server.nameServers, rocketkit.WithDriver(clientgo.Name, clientgo.Factory))
	}
	odd, theirs := member(other, "any || cash")
	s.before(2*time.Minute, "the other member has queues", func() bool { // not s.limit, which is days of sends where time is virtual
		toAll("any", "both")
		return len(theirs.ch) > 0
	})
	if err := odd.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	if err := other.Close(); err != nil {
		s.Fatal(err)
	}
	table := func() string { // code 203
		return string(s.ask(s.server.broker, 203, map[string]string{"consumerGroup": group}).body)
	}
	s.before(2*time.Minute, "the broker knows the filter of who is there", func() bool { return strings.Contains(table(), `"any || card"`) })
	toAll("card", "card")
	got := map[string]bool{}
	for len(got) < 4 {
		if d := in.next(); d.Tag == "card" {
			got[string(d.Body)] = true
		}
	}
}

// collect waits for bodies in two inboxes together. What moves with its queue may
// come twice: each counts once, for who got it last, and what else comes is from
// before.
func (s *stand) collect(one, two *inbox, bodies []string) (a, b []string) {
	s.Helper()
	got := map[string]*inbox{}
	note := func(d *message.Delivery, in *inbox) {
		if slices.Contains(bodies, string(d.Body)) {
			got[string(d.Body)] = in
		}
	}
	ctx := s.soon()
	for len(got) < len(bodies) {
		select {
		case d := <-one.ch:
			note(d, one)
		case d := <-two.ch:
			note(d, two)
		case <-ctx.Done():
			s.Fatalf("%d of %q arrived", len(got), bodies)
		}
	}
	for body, in := range got {
		if in == one {
			a = append(a, body)
		} else {
			b = append(b, body)
		}
	}
	return a, b
}

// queueRevoked: when a queue moves while a handler works on its message, the
// handler's ctx ends, what it returns does not count, and the new owner gets the
// message.
func queueRevoked(s *stand) {
	topic, group := s.topic(), s.group()
	p := s.producer(s.open())
	begun, ended := s.inbox(), s.inbox()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		begun.ch <- d
		<-ctx.Done()
		return ended.take(ctx, d)
	})
	first := s.start(s.open(), mux)
	s.sendAll(p, topic, numbered("q", 4)...) // one a queue
	begun.ids(4)
	in := s.inbox()
	other := s.mux(group)
	consumer.HandleRaw(other, topic, in.take)
	second := s.start(s.open(), other)
	moved := ended.bodies(2)
	if diff := cmp.Diff(moved, in.bodies(2)); diff != "" {
		s.Errorf("messages whose handler was ended, and those that the other member got (-want +got)\n%s", diff)
	}
	s.quiet(100 * time.Millisecond)
	ended.none()
	// When the queues come back, what the other member has done does not.
	if err := second.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	s.sendAll(p, topic, numbered("back", 4)...)
	if diff := cmp.Diff(numbered("back", 4), begun.bodies(4)); diff != "" {
		s.Errorf("when the queues are back (-want +got)\n%s", diff)
	}
	in.none()
	ctx, cancel := context.WithTimeout(s.Context(), 50*time.Millisecond)
	defer cancel()
	want := "messages were at work"
	if s.leg.driver == "native" { // rocketmq-client-go counts the revoked ones too
		want = "6 " + want
	}
	if err := first.Drain(ctx); err == nil || !strings.Contains(err.Error(), want) {
		s.Errorf("drain: error %v, want one that says %q", err, want)
	}
	if len(ended.ch) != 6 {
		s.Errorf("the ctx of %d handlers ended, want 6", len(ended.ch))
	}
}
