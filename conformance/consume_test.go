package conformance_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
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
