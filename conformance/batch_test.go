package conformance_test

import (
	"context"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// consumeBatches: of the messages of a batch each has its own outcome. The handler
// panics at the last message that it has not said anything about.
func consumeBatches(s *stand) {
	c, topic, group := s.open(), s.topicOf(1), s.group()
	p := s.producer(c)
	ids := map[string]string{}
	for _, body := range []string{"a", "fails", "b", "is permanent", "is skipped", "c", "panics"} {
		s.send(p, message.New(topic, []byte("other"), message.Tag("out")))
		ids[body] = s.send(p, message.New(topic, []byte(body), message.Tag("in"))).MessageID
	}
	const size = 4
	var mu sync.Mutex
	seen, sizes := map[string][]int{}, map[int]int{}
	done, dead := make(chan string, 10), s.inbox()
	mux := s.mux(group, consumer.Concurrency(1))
	consumer.HandleBatch(mux, topic, func(_ context.Context, b *consumer.Batch[string]) error {
		mu.Lock()
		defer mu.Unlock()
		sizes[b.Len()]++
		for i, body := range b.Values() {
			d := b.Deliveries()[i]
			if d.ID != ids[body] || d.Topic != topic {
				s.Errorf("%q is message %s of topic %s, want %s of %s", body, d.ID, d.Topic, ids[body], topic)
			}
			seen[body] = append(seen[body], d.ReconsumeTimes)
			switch {
			case body == "fails" && d.ReconsumeTimes == 0:
				b.Fail(i, errBoom)
			case body == "is permanent":
				b.Fail(i, retry.Permanent(errBoom))
			case body == "is skipped":
				b.Fail(i, retry.Skip(errBoom))
			case body == "panics" && d.ReconsumeTimes == 0:
				panic(body)
			default:
				b.Done(i)
				done <- body
			}
		}
		return errBoom // which is nobody's
	}, consumer.Tags("in"), consumer.BatchSize(size), consumer.BatchWait(500*time.Millisecond))
	consumer.HandleDLQ(mux, dead.take)
	cons := s.start(c, mux)
	for range 5 {
		select {
		case <-done:
		case <-s.soon().Done():
			s.Fatal("not all are done")
		}
	}
	if d := dead.next(); d.ID != ids["is permanent"] || d.OriginTopic() != topic {
		s.Errorf("dead letter %+v of topic %s", d, d.OriginTopic())
	}
	if err := cons.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	s.eventually("the topic's offset is behind all of them", func() bool { return s.committed(group, topic, 0) == 14 })
	mu.Lock()
	defer mu.Unlock()
	want := map[string][]int{"a": {0}, "fails": {0, 1}, "b": {0}, "is permanent": {0}, "is skipped": {0}, "c": {0}, "panics": {0, 1}}
	if diff := cmp.Diff(want, seen); diff != "" {
		s.Errorf("attempts by message (-want +got)\n%s", diff)
	}
	several := 0
	for n, calls := range sizes {
		if n > size {
			s.Errorf("a batch of %d messages, want %d at most", n, size)
		}
		if n > 1 {
			several += calls
		}
	}
	if several == 0 {
		s.Errorf("no batch had more than one message: %v", sizes)
	}
	dead.none()
}
