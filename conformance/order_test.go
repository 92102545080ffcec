package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/retry"
)

// diary is what all handlers of an ordered group did, by key.
type diary struct {
	s *stand

	mu    sync.Mutex // guards the following
	busy  map[string]bool
	story map[string][]string // body/reconsumed
	queue map[string]map[int]bool
	total int
}

func (s *stand) diary() *diary {
	return &diary{s: s, busy: map[string]bool{}, story: map[string][]string{}, queue: map[string]map[int]bool{}}
}

// handler writes into the diary what it handles; of is what is handled one at a time.
func (di *diary) handler(of func(*message.Delivery) string, fail func(*message.Delivery) error) func(context.Context, *message.Delivery) error {
	return func(_ context.Context, d *message.Delivery) error {
		key := d.ShardingKey()
		di.mu.Lock()
		if di.busy[of(d)] {
			di.s.Errorf("%q is handled while another of %q is", d.Body, of(d))
		}
		di.busy[of(d)] = true
		di.story[key] = append(di.story[key], fmt.Sprintf("%s/%d", d.Body, d.ReconsumeTimes))
		if di.queue[key] == nil {
			di.queue[key] = map[int]bool{}
		}
		di.queue[key][d.Queue.ID] = true
		di.mu.Unlock()
		di.s.quiet(5 * time.Millisecond)
		di.mu.Lock()
		defer di.mu.Unlock()
		di.busy[of(d)] = false
		if fail != nil {
			if err := fail(d); err != nil {
				return err
			}
		}
		di.total++
		return nil
	}
}

// wait waits until n messages are handled, and returns the story of each key.
func (di *diary) wait(n int) map[string][]string {
	di.s.Helper()
	di.s.eventually(fmt.Sprint(n, " messages are handled"), func() bool {
		di.mu.Lock()
		defer di.mu.Unlock()
		return di.total >= n
	})
	di.mu.Lock()
	defer di.mu.Unlock()
	for key, queues := range di.queue {
		if len(queues) > 1 {
			di.s.Errorf("key %q is in %d queues", key, len(queues))
		}
	}
	return maps.Clone(di.story)
}

func queueOf(d *message.Delivery) string { return fmt.Sprint(d.Queue) }

// sendKeys stores n messages of each key, in turns.
func (s *stand) sendKeys(p *producer.Producer, topic string, from, n int, keys ...string) {
	s.Helper()
	for i := from; i < from+n; i++ {
		for _, key := range keys {
			s.send(p, message.New(topic, fmt.Append(nil, i), message.ShardingKey(key)))
		}
	}
}

func numbers(n int) (story []string) {
	for i := range n {
		story = append(story, fmt.Sprint(i, "/0"))
	}
	return story
}

func orderedQueues(s *stand) {
	c, topic, group := s.open(), s.topic(), s.group()
	p, di := s.producer(c), s.diary()
	keys := []string{"a", "b", "c", "d", "e"}
	s.sendKeys(p, topic, 0, 10, keys...)
	mux := s.mux(group, consumer.Ordered())
	consumer.HandleRaw(mux, topic, di.handler(queueOf, nil))
	cons := s.start(c, mux)
	s.sendKeys(p, topic, 10, 10, keys...)
	for key, story := range di.wait(100) {
		if diff := cmp.Diff(numbers(20), story); diff != "" {
			s.Errorf("key %s (-want +got)\n%s", key, diff)
		}
	}
	if err := cons.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
}

// orderedFailures: what fails keeps its place, and nothing goes to the retry topic.
func orderedFailures(s *stand) {
	c, topic, group := s.open(), s.topic(), s.group()
	p, di, dead := s.producer(c), s.diary(), s.inbox()
	rest := 300 * time.Millisecond
	mux := s.mux(group, consumer.Ordered(), consumer.Suspend(rest))
	var times []time.Time
	consumer.HandleRaw(mux, topic, di.handler(queueOf, func(d *message.Delivery) error {
		if d.ShardingKey() != "a" {
			return nil
		}
		switch body := string(d.Body); {
		case body == "1" && d.ReconsumeTimes < 2:
			times = append(times, time.Now())
			return errors.New("not yet")
		case body == "3":
			return retry.Permanent(errors.New("never"))
		case body == "4":
			return errors.New("not within its retries")
		}
		return nil
	}), consumer.Retry(retry.Levels(2)))
	consumer.HandleDLQ(mux, dead.take)
	s.sendKeys(p, topic, 0, 6, "a", "b")
	s.start(c, mux)
	stories := di.wait(10)
	want := map[string][]string{"a": strings.Fields("0/0 1/0 1/1 1/2 2/0 3/0 4/0 4/1 4/2 5/0"), "b": numbers(6)}
	if diff := cmp.Diff(want, stories); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
	if gap := times[1].Sub(times[0]); gap < rest {
		s.Errorf("a failed message came again after %s, want %s", gap, rest)
	}
	if diff := cmp.Diff([]string{"3", "4"}, dead.bodies(2)); diff != "" {
		s.Errorf("dead letters (-want +got)\n%s", diff)
	}
	if n := s.stored(message.RetryTopic(group), 0); n != 0 {
		s.Errorf("%d messages were sent to the retry topic", n)
	}
}

// orderedKeys: a key that fails holds up its own messages only.
func orderedKeys(s *stand) {
	c, topic, group := s.open(), s.topicOf(1), s.group()
	p, di := s.producer(c), s.diary()
	var failing sync.Mutex
	broken := true
	keyOf := (*message.Delivery).ShardingKey
	mux := s.mux(group, consumer.OrderedBy(keyOf), consumer.Suspend(200*time.Millisecond))
	consumer.HandleRaw(mux, topic, di.handler(keyOf, func(d *message.Delivery) error {
		failing.Lock()
		defer failing.Unlock()
		if broken && d.ShardingKey() == "b" && string(d.Body) == "2" {
			return errors.New("not yet")
		}
		return nil
	}), consumer.Retry(retry.Levels(10_000)))
	s.sendKeys(p, topic, 0, 10, "a", "b", "c")
	cons := s.start(c, mux)
	stories := di.wait(22) // 10 of a and c, 2 of b
	if !slices.Equal(stories["a"], numbers(10)) || !slices.Equal(stories["c"], numbers(10)) {
		s.Errorf("while b fails: %v", stories)
	}
	failing.Lock()
	broken = false
	failing.Unlock()
	var handled []string
	for _, step := range di.wait(30)["b"] {
		body, _, _ := strings.Cut(step, "/")
		if len(handled) == 0 || handled[len(handled)-1] != body {
			handled = append(handled, body)
		}
	}
	if got := strings.Join(handled, ""); got != "0123456789" {
		s.Errorf("key b was handled as %s", got)
	}
	if err := cons.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	s.eventually("all is committed", func() bool { return s.committed(group, topic, 0) == 30 })
}

// orderedHandOver: members join and leave while messages flow; each key goes on where
// it was, by one member at a time.
func orderedHandOver(s *stand) {
	topic, group := s.topic(), s.group()
	p, di := s.producer(s.open()), s.diary()
	keys := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	var mu sync.Mutex
	got := map[int]int{} // by member
	member := func(n int) *consumer.Consumer {
		mux := s.mux(group, consumer.Ordered())
		handle := di.handler(queueOf, nil)
		consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
			mu.Lock()
			got[n]++
			mu.Unlock()
			return handle(ctx, d)
		})
		return s.start(s.open(), mux)
	}
	handled := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return got[n]
	}
	first := member(1)
	sent := 0
	round := func() {
		s.sendKeys(p, topic, sent, 1, keys...)
		sent++
	}
	round()
	di.wait(len(keys))
	member(2)
	s.eventually("the second member has messages", func() bool { round(); return handled(2) > 0 })
	if err := first.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	round()
	for key, story := range di.wait(sent * len(keys)) {
		if diff := cmp.Diff(numbers(sent), story); diff != "" {
			s.Errorf("key %s: lost, repeated or out of order (-want +got)\n%s", key, diff)
		}
	}
}

// orderedCutOff: a member that is cut off keeps its queues for the minute that a lock
// lasts, and gives its work up by itself before that. What it did not commit comes
// again, in order.
func orderedCutOff(s *stand) {
	topic, group := s.topic(), s.group()
	p, di := s.producer(s.open()), s.diary()
	keys := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	wires := s.network()
	member := func(opts ...rocketkit.Option) *consumer.Consumer {
		mux := s.mux(group, consumer.Ordered())
		consumer.HandleRaw(mux, topic, di.handler(queueOf, nil))
		return s.start(s.open(opts...), mux)
	}
	first := member(rocketkit.WithDial(wires.Dial))
	s.sendKeys(p, topic, 0, 5, keys...)
	di.wait(40)
	member()
	s.quiet(10 * time.Second) // it has committed what it handled
	wires.refuse(s.server.broker, true)
	wires.sever(s.server.broker)
	cut := time.Now()
	s.sendKeys(p, topic, 5, 5, keys...)
	stories := di.wait(80)
	if took := time.Since(cut); took < 30*time.Second || took > 2*time.Minute {
		s.Errorf("the queues were taken over after %s, want about a minute", took)
	}
	for key, story := range stories {
		next := 0
		for _, step := range story {
			var n, reconsumed int
			if _, err := fmt.Sscanf(step, "%d/%d", &n, &reconsumed); err != nil || n > next {
				s.Errorf("key %s: %s after %d, %v", key, step, next-1, err)
			}
			next = max(next, n+1)
		}
		if next != 10 {
			s.Errorf("key %s ended at %d: %v", key, next-1, story)
		}
	}
	if err := first.Stop(s.soon()); err != nil {
		s.Error(err)
	}
}
