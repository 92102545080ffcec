package conformance_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

func consumeFirst(s *stand) {
	c, topic := s.open(), s.topic()
	p := s.producer(c)
	s.sendAll(p, topic, numbered("before", 9)...)
	in := s.receive(c, topic)
	if diff := cmp.Diff(numbered("before", 9), in.bodies(9)); diff != "" {
		s.Fatalf("(-want +got)\n%s", diff)
	}
	s.sendAll(p, topic, numbered("after", 9)...)
	if diff := cmp.Diff(numbered("after", 9), in.bodies(9)); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
	in.none()
}

// consumeLast tells RocketMQ's own surprise: a group that begins at the end of a
// queue whose first message is still there and in memory begins at its first.
func consumeLast(s *stand) {
	c, topic := s.open(), s.topic()
	s.sendAll(s.producer(c), topic, numbered("before", 8)...)
	// Apache enters messages into the consume queue after it has acknowledged them.
	// Until then it cannot tell that the first is in memory.
	s.eventually("all messages are counted", func() bool { return s.storedIn(topic) == 8 })
	in := s.inbox()
	mux := consumer.NewMux(s.group(), consumer.From(consumer.Last))
	consumer.HandleRaw(mux, topic, in.take)
	s.start(c, mux)
	if diff := cmp.Diff(numbered("before", 8), in.bodies(8)); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
}

func consumePaused(s *stand) {
	c, topic := s.open(), s.topic()
	p := s.producer(c)
	in := s.inbox()
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, in.take)
	cons := s.start(c, mux)
	s.sendAll(p, topic, "before")
	in.ids(1)
	if err := cons.Pause(); err != nil {
		s.Fatal(err)
	}
	s.sendAll(p, topic, numbered("paused", 8)...)
	s.quiet(time.Second)
	in.none()
	if err := cons.Resume(topic); err != nil {
		s.Fatal(err)
	}
	in.ids(8)
	in.none()
}

func consumeFromTime(s *stand) {
	c, topic := s.open(), s.topicOf(1)
	p := s.producer(c)
	s.send(p, message.New(topic, []byte("before")))
	s.quiet(2 * time.Second) // rocketmq-client-go counts seconds
	s.send(p, message.New(topic, []byte("since")))
	all := s.receive(c, topic)
	var since *message.Delivery
	for since == nil || string(since.Body) != "since" {
		since = all.next()
	}
	in := s.inbox()
	mux := consumer.NewMux(s.group(), consumer.FromTime(since.Stored()))
	consumer.HandleRaw(mux, topic, in.take)
	s.start(c, mux)
	if d := in.next(); string(d.Body) != "since" {
		s.Errorf("the first is %q", d.Body)
	}
	in.none()
}

func consumeLastStrictly(s *stand) {
	c, topic := s.open(), s.topic()
	p := s.producer(c)
	s.sendAll(p, topic, numbered("before", 8)...)
	in := s.inbox()
	mux := consumer.NewMux(s.group(), consumer.From(consumer.Last))
	consumer.HandleRaw(mux, topic, in.take)
	s.start(c, mux)
	// It reads a queue when it has got a probe from there.
	probed := map[int]bool{}
	s.eventually("a probe from every queue", func() bool {
		s.sendAll(p, topic, slices.Repeat([]string{"probe"}, 4)...)
		for more := true; more; {
			select {
			case d := <-in.ch:
				if string(d.Body) != "probe" {
					s.Errorf("%q arrived", d.Body)
				}
				probed[d.Queue.ID] = true
			default:
				more = false
			}
		}
		return len(probed) == 4
	})
	s.sendAll(p, topic, "last")
	for _, d := range in.until("last") {
		if string(d.Body) != "probe" {
			s.Errorf("%q arrived", d.Body)
		}
	}
}

func consumeBeforeTopic(s *stand) {
	c, topic := s.open(), s.newTopic()
	in := s.receive(c, topic)
	s.quiet(300 * time.Millisecond) // it has looked for the topic in vain
	s.sendAll(s.producer(c), topic, numbered("first", 4)...)
	if diff := cmp.Diff(numbered("first", 4), in.bodies(4)); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
}

func consumeTags(s *stand) {
	c, topic := s.open(), s.topic()
	p := s.producer(c)
	ab, all := s.receive(c, topic, consumer.Tags("a || b")), s.receive(c, topic, consumer.Tags("*"))
	for _, tag := range []string{"a", "b", "c", "", "A", "ab"} {
		s.send(p, message.New(topic, []byte("tag "+tag), message.Tag(tag)))
	}
	if diff := cmp.Diff([]string{"tag ", "tag A", "tag a", "tag ab", "tag b", "tag c"}, all.bodies(6)); diff != "" {
		s.Errorf("all tags (-want +got)\n%s", diff)
	}
	for q := range 4 { // what follows the others in every queue
		s.send(s.producer(c, always(q)), message.New(topic, fmt.Append(nil, "last ", q), message.Tag("b")))
	}
	if diff := cmp.Diff([]string{"last 0", "last 1", "last 2", "last 3", "tag a", "tag b"}, ab.bodies(6)); diff != "" {
		s.Errorf("a || b (-want +got)\n%s", diff)
	}
	ab.none()
}

// consumeCollidingTags: the broker compares the tags' hashes only.
func consumeCollidingTags(s *stand) {
	c, topic := s.open(), s.topicOf(1)
	p := s.producer(c)
	if javaHash("AaAa") != javaHash("BBBB") {
		s.Fatal("the tags' hashes differ")
	}
	in, group := s.inbox(), s.group()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, in.take, consumer.Tags("AaAa"))
	cons := s.start(c, mux)
	for i, tag := range []string{"BBBB", "AaAa", "BBBB", "AaAa"} {
		s.send(p, message.New(topic, fmt.Append(nil, i), message.Tag(tag)))
	}
	if diff := cmp.Diff([]string{"1", "3"}, in.bodies(2)); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
	// The others are done with: neither retried nor waited for.
	if err := cons.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	s.eventually("all four are committed", func() bool { return s.committed(group, topic, 0) == 4 })
	in.none()
}

func consumeByHandlers(s *stand) {
	c, topic, other := s.open(), s.topic(), s.topic()
	p := s.producer(c)
	paid, refunded, rest := s.inbox(), s.inbox(), s.inbox()
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, paid.take, consumer.Tags("paid"))
	consumer.HandleRaw(mux, topic, refunded.take, consumer.Tags("refunded || cancelled"))
	consumer.HandleRaw(mux, other, rest.take)
	s.start(c, mux)
	for i := range 12 {
		s.send(p, message.New(topic, fmt.Append(nil, "n", i), message.Tag([]string{"paid", "refunded", "cancelled", "lost"}[i%4])))
	}
	s.send(p, message.New(other, []byte("other")))
	for name, want := range map[*inbox][]string{
		paid:     {"n0", "n4", "n8"},
		refunded: {"n1", "n10", "n2", "n5", "n6", "n9"},
		rest:     {"other"},
	} {
		if diff := cmp.Diff(want, name.bodies(len(want))); diff != "" {
			s.Errorf("(-want +got)\n%s", diff)
		}
	}
	for _, in := range []*inbox{paid, refunded, rest} {
		in.none()
	}
}

// order is what typed handlers take.
type order struct {
	ID     string `json:"id"`
	Amount int    `json:"amount"`
	Note   string `json:"note"`
}

func consumeTyped(s *stand) {
	c, topic, texts := s.open(), s.topic(), s.topic()
	orders, words := make(chan order, 10), make(chan string, 10)
	handlers := struct {
		Order consumer.Func[order]  `topic:"${orders}" tags:"paid" concurrency:"2"`
		Text  consumer.Func[string] `topic:"${texts}" retries:"3"`
	}{
		Order: func(ctx context.Context, o order) error {
			if d := message.DeliveryFrom(ctx); d == nil || d.Topic != topic || d.Tag != "paid" {
				s.Errorf("the handler's ctx has delivery %+v", d)
			}
			orders <- o
			return nil
		},
		Text: func(_ context.Context, text string) error { words <- text; return nil },
	}
	mux := s.mux(s.group())
	names := map[string]string{"orders": topic, "texts": texts}
	if err := consumer.Bind(mux, handlers, consumer.Placeholders(func(k string) (string, bool) { v, ok := names[k]; return v, ok })); err != nil {
		s.Fatal(err)
	}
	s.start(c, mux)
	p := s.producer(c)
	s.send(p, message.New(topic, []byte(`{"id":"订单-1","amount":12,"note":"a\u0001b"}`), message.Tag("paid")))
	s.send(p, message.New(texts, []byte("纯文本")))
	select {
	case o := <-orders:
		if diff := cmp.Diff(order{"订单-1", 12, "a\x01b"}, o); diff != "" {
			s.Errorf("(-want +got)\n%s", diff)
		}
	case <-s.soon().Done():
		s.Fatal("no order arrived")
	}
	select {
	case w := <-words:
		if w != "纯文本" {
			s.Errorf("text %q", w)
		}
	case <-s.soon().Done():
		s.Fatal("no text arrived")
	}
}

// consumeUnhandled: a message whose handler is gone from the program.
func consumeUnhandled(s *stand) {
	c, topic, group := s.open(), s.topic(), s.group()
	failed := make(chan struct{}, 10)
	kept := s.inbox()
	before := s.mux(group)
	consumer.HandleRaw(before, topic, kept.take, consumer.Tags("kept"))
	consumer.HandleRaw(before, topic, func(context.Context, *message.Delivery) error {
		failed <- struct{}{}
		return fmt.Errorf("not now")
	}, consumer.Tags("gone"))
	cons := s.start(c, before)
	r := s.send(s.producer(c), message.New(topic, []byte("nobody's"), message.Tag("gone")))
	s.wait(failed, "the first delivery")
	if err := cons.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	after, dead := s.mux(group), s.inbox()
	consumer.HandleRaw(after, topic, kept.take, consumer.Tags("kept"))
	consumer.HandleDLQ(after, dead.take)
	s.start(s.open(), after)
	if d := dead.next(); d.ID != r.MessageID || string(d.Body) != "nobody's" || d.OriginTopic() != topic {
		s.Errorf("in the dead-letter queue: %+v", d)
	}
	kept.none()
}

func consumeConcurrently(s *stand) {
	const limit, n = 3, 24
	c, topic := s.open(), s.topic()
	s.sendAll(s.producer(c), topic, numbered("c", n)...)
	var mu sync.Mutex
	running, most := 0, 0
	full := make(chan struct{})
	go_on := make(chan struct{})
	done := s.inbox()
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		mu.Lock()
		running++
		if most = max(most, running); running == limit && most == limit {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		mu.Unlock()
		<-go_on
		mu.Lock()
		running--
		mu.Unlock()
		return done.take(ctx, d)
	}, consumer.Concurrency(limit))
	s.start(c, mux)
	s.wait(full, "three handlers at the same time")
	s.quiet(100 * time.Millisecond) // a fourth would begin now
	close(go_on)
	done.ids(n)
	mu.Lock()
	defer mu.Unlock()
	if most != limit {
		s.Errorf("%d handlers ran at the same time, want %d", most, limit)
	}
}

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
	if diff := cmp.Diff(numbered("left", 8), two.bodies(8)); diff != "" {
		s.Errorf("after one has left (-want +got)\n%s", diff)
	}
	// Without the broker's notice (code 40) it takes 20 s.
	if took := time.Since(begun); took > 10*time.Second {
		s.Errorf("the queues of the one that left were taken over after %s", took)
	}
	one.none()
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
