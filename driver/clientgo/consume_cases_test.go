package clientgo_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

var (
	retrySoon = driver.Verdict{Action: driver.ActionRetry, Level: 1}
	bury      = driver.Verdict{Action: driver.ActionDeadLetter}
)

func filterByTags(e *env) {
	d := e.driver()
	s := e.sender(d)
	q := e.queues(s, e.topic())[0]
	for _, tag := range []string{"a", "b", "c", "", "a"} {
		m := e.text(s, "tag "+tag)
		m.Tag = tag
		e.send(s, q, m)
	}
	in := newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst, Topics: []driver.TopicFilter{{Topic: e.topic(), Expression: "a || c"}}})
	got := make(map[string]int)
	for range 3 {
		a := in.next(e)
		a.ack()
		got[string(a.Body)]++
	}
	if got["tag a"] != 2 || got["tag c"] != 1 {
		e.Errorf("got %v, want a, c, a", got)
	}
}

func retryThenDeadLetter(e *env) {
	d := e.driver()
	s := e.sender(d)
	m := e.text(s, "fails")
	r := e.send(s, e.queues(s, e.topic())[0], m)
	in, dead := newInbox(), newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst, MaxRetries: 1})
	e.subscribe(d, dead, driver.SubscriptionConfig{
		Group: e.group() + "_dlq", From: driver.FromFirst, MaxRetries: math.MaxInt32,
		Topics: []driver.TopicFilter{{Topic: message.DLQTopic(e.group())}},
	})
	first := in.want(e, "fails")
	first.settle(retrySoon)
	second := in.want(e, "fails")
	if second.ReconsumeTimes != 1 || second.Topic != e.topic() || second.Queue.Topic != message.RetryTopic(e.group()) || second.ID != m.ID ||
		second.OriginID() != r.OffsetMessageID || second.Property("RETRY_TOPIC") != e.topic() {
		e.Errorf("second delivery %+v", second.Delivery)
	}
	if took := second.at.Sub(first.at); took < 900*time.Millisecond {
		e.Errorf("level 1 took %s", took)
	}
	second.settle(retrySoon)
	letter := dead.want(e, "fails")
	letter.ack()
	if letter.Topic != message.DLQTopic(e.group()) || letter.OriginTopic() != e.topic() || letter.ID != m.ID {
		e.Errorf("dead letter %+v, origin %q", letter.Delivery, letter.OriginTopic())
	}
}

func retryDeadLetter(e *env) {
	d := e.driver()
	s := e.sender(d)
	e.send(s, e.queues(s, e.topic())[0], e.text(s, "dies"))
	in, dead := newInbox(), newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	e.subscribe(d, dead, driver.SubscriptionConfig{
		Group: e.group() + "_dlq", From: driver.FromFirst, MaxRetries: math.MaxInt32,
		Topics: []driver.TopicFilter{{Topic: message.DLQTopic(e.group())}},
	})
	in.want(e, "dies").settle(bury)
	first := dead.want(e, "dies")
	first.settle(retrySoon)
	again := dead.want(e, "dies")
	again.ack()
	if again.ReconsumeTimes != first.ReconsumeTimes+1 || again.OriginTopic() != e.topic() {
		e.Errorf("%+v after %+v", again.Delivery, first.Delivery)
	}
}

// clumsy is a sink that panics at its first message.
type clumsy struct {
	inbox
	once sync.Once
}

func (c *clumsy) Deliver(ctx context.Context, s driver.Settler, ds []*message.Delivery) {
	c.once.Do(func() { panic("clumsy") })
	c.inbox.Deliver(ctx, s, ds)
}

func panicRetries(e *env) {
	d := e.driver()
	s := e.sender(d)
	e.send(s, e.queues(s, e.topic())[0], e.text(s, "hot"))
	in := &clumsy{inbox: newInbox()}
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	a := in.want(e, "hot")
	a.ack()
	if a.ReconsumeTimes != 1 {
		e.Errorf("reconsumed %d times, want 1", a.ReconsumeTimes)
	}
}

// foreignRetry leaves a message in the retry topic whose topic nobody of the
// group subscribes to any more.
func foreignRetry(e *env) {
	d := e.driver()
	s := e.sender(d)
	other := e.topic() + "_other"
	e.send(s, e.queues(s, e.topic())[0], e.text(s, "left over"))
	e.send(s, e.queues(s, other)[0], &driver.Outgoing{Message: message.New(other, []byte("other")), ID: s.NewID()})
	before, after := newInbox(), newInbox()
	sub := e.subscribe(d, before, driver.SubscriptionConfig{From: driver.FromFirst})
	before.want(e, "left over").settle(driver.Verdict{Action: driver.ActionRetry, Level: 2})
	e.drain(sub)
	e.subscribe(d, after, driver.SubscriptionConfig{From: driver.FromFirst, Topics: []driver.TopicFilter{{Topic: other}}})
	got := make(map[string]arrival)
	for range 2 {
		a := after.next(e)
		a.ack()
		got[string(a.Body)] = a
	}
	if a, ok := got["left over"]; !ok || a.Topic != e.topic() || a.ReconsumeTimes != 1 {
		e.Errorf("got %v, want the message left over, with its topic", got)
	}
}

func drainWaits(e *env) {
	d := e.driver()
	s := e.sender(d)
	q := e.queues(s, e.topic())[0]
	for _, body := range []string{"one", "two"} {
		e.send(s, q, e.text(s, body))
	}
	in := newInbox()
	sub := e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	held := map[string]arrival{}
	for range 2 {
		a := in.next(e)
		held[string(a.Body)] = a
	}
	drained := make(chan error, 1)
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	go func() { drained <- sub.Drain(ctx) }()
	select {
	case err := <-drained:
		e.Fatalf("Drain does not wait for what is at work (%v)", err)
	case <-held["one"].ctx.Done():
		e.Fatal("Drain ends the ctx of what is at work")
	case <-time.After(300 * time.Millisecond): // long enough for a Drain that does not wait
	}
	held["one"].ack()
	held["two"].settle(retrySoon)
	e.must(<-drained)
	next := newInbox()
	e.subscribe(d, next, driver.SubscriptionConfig{From: driver.FromFirst})
	e.send(s, q, e.text(s, "three"))
	got := map[string]int{}
	for range 2 {
		a := next.next(e)
		a.ack()
		got[string(a.Body)] = a.ReconsumeTimes
	}
	if times, ok := got["two"]; len(got) != 2 || !ok || times != 1 {
		e.Errorf("after the drain %v arrive, want two as a retry, and three", got)
	}
}

func drainCutShort(e *env) {
	leaveEarly(e, func(sub driver.Subscription) error {
		ctx, cancel := context.WithTimeout(e.Context(), 200*time.Millisecond)
		defer cancel()
		err := sub.Drain(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 messages") {
			return fmt.Errorf("error %w, want the ctx's and the number of messages", err)
		}
		return nil
	})
}

func stopGivesBack(e *env) {
	leaveEarly(e, func(sub driver.Subscription) error { return sub.Stop(e.Context()) })
}

// leaveEarly leaves the group while a message is at work: its ctx ends, what is
// said of it later does not count, and the next member gets it again.
func leaveEarly(e *env, leave func(driver.Subscription) error) {
	d := e.driver()
	s := e.sender(d)
	q := e.queues(s, e.topic())[0]
	e.send(s, q, e.text(s, "done"))
	in := newInbox()
	sub := e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	in.want(e, "done").ack()
	e.send(s, q, e.text(s, "at work"))
	held := in.want(e, "at work")
	e.must(leave(sub))
	if held.ctx.Err() == nil {
		e.Error("the ctx of what is at work goes on")
	}
	held.ack()
	next := newInbox()
	e.subscribe(d, next, driver.SubscriptionConfig{From: driver.FromFirst})
	a := next.next(e)
	if string(a.Body) == "done" { // it was acknowledged; a message may still come twice
		e.Log("the acknowledged message came again")
		a.ack()
		a = next.next(e)
	}
	a.ack()
	if string(a.Body) != "at work" || a.ReconsumeTimes != 0 {
		e.Errorf("got %q, reconsumed %d times; want what was at work, as if new", a.Body, a.ReconsumeTimes)
	}
	e.must(sub.Stop(e.Context()))
	if err := sub.Start(e.Context()); !errors.Is(err, message.ErrClosed) {
		e.Errorf("Start after the end: error %v, want ErrClosed", err)
	}
}

// revocation has a second member take half of the queues while a message of each
// is at work.
func revocation(e *env) {
	d := e.driver()
	s := e.sender(d)
	queues := e.queues(s, e.topic())
	for _, q := range queues {
		e.send(s, q, e.text(s, fmt.Sprint(q.ID)))
	}
	one, two := newInbox(), newInbox()
	e.subscribe(d, one, driver.SubscriptionConfig{From: driver.FromFirst})
	held := make([]arrival, 0, len(queues))
	for range queues {
		held = append(held, one.next(e))
	}
	e.subscribe(e.driver(), two, driver.SubscriptionConfig{From: driver.FromFirst})
	want := make(map[string]bool)
	e.eventually(func() string {
		clear(want)
		for _, a := range held {
			if a.ctx.Err() != nil {
				want[string(a.Body)] = true
			}
		}
		if len(want) == len(queues)/2 {
			return ""
		}
		return fmt.Sprintf("%d of %d queues' ctxs have ended, want half", len(want), len(queues))
	})
	for _, a := range held {
		a.ack() // counts for the queues that stayed
	}
	for len(want) > 0 {
		a := two.next(e)
		a.ack()
		if !want[string(a.Body)] {
			e.Errorf("%q came again, though its queue stayed where it was acknowledged", a.Body)
		}
		delete(want, string(a.Body))
	}
}

func topicLater(e *env) {
	d := e.driver()
	s := e.sender(d)
	in := newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	e.send(s, e.queues(s, e.topic())[0], e.text(s, "late")) // makes the topic
	sent := time.Now()
	in.want(e, "late").ack()
	e.Logf("the topic's first message took %s", time.Since(sent).Round(time.Millisecond))
}

func oneTopicMissing(e *env) {
	d := e.driver()
	s := e.sender(d)
	other := e.topic() + "_other"
	e.send(s, e.queues(s, e.topic())[0], e.text(s, "here"))
	in := newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst, Topics: []driver.TopicFilter{{Topic: e.topic()}, {Topic: other}}})
	in.want(e, "here").ack()
	e.send(s, e.queues(s, other)[0], &driver.Outgoing{Message: message.New(other, []byte("there")), ID: s.NewID()})
	sent := time.Now()
	in.want(e, "there").ack()
	if took := time.Since(sent); took > 15*time.Second { // by itself rocketmq-client-go takes 20 to 50
		e.Errorf("the missing topic's first message took %s", took.Round(time.Millisecond))
	}
}

func exactDelayRounded(e *env) {
	d := e.driver()
	s := e.sender(d)
	e.send(s, e.queues(s, e.topic())[0], e.text(s, "x"))
	in := newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	first := in.want(e, "x")
	first.settle(driver.Verdict{Action: driver.ActionRetry, Delay: 600 * time.Millisecond})
	second := in.want(e, "x")
	second.ack()
	if level := second.Property("DELAY"); level != "1" {
		e.Errorf("delay level %q, want 1", level)
	}
}

func verdictMaximum(e *env) {
	d := e.driver()
	s := e.sender(d)
	e.send(s, e.queues(s, e.topic())[0], e.text(s, "x"))
	in, dead := newInbox(), newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst, MaxRetries: -1})
	e.subscribe(d, dead, driver.SubscriptionConfig{Group: e.group() + "_dlq", From: driver.FromFirst, Topics: []driver.TopicFilter{{Topic: message.DLQTopic(e.group())}}})
	more := driver.Verdict{Action: driver.ActionRetry, Level: 1, MaxRetries: 20}
	in.want(e, "x").settle(more)
	in.want(e, "x").settle(more)
	a := in.want(e, "x")
	if a.ReconsumeTimes != 2 {
		e.Errorf("reconsumed %d times, want 2", a.ReconsumeTimes)
	}
	a.settle(driver.Verdict{Action: driver.ActionRetry, Level: 1}) // the subscription's maximum
	dead.want(e, "x").ack()
}

func twoDrivers(e *env) {
	one, two := e.driver(), e.driver()
	s1, s2 := e.sender(one), e.sender(two)
	again := e.sender(one) // a second sender of the group
	q := e.queues(s1, e.topic())[0]
	e.send(s1, q, e.text(s1, "1"))
	e.send(s2, q, e.text(s2, "2"))
	e.send(again, q, e.text(again, "3"))
	for i, d := range []driver.Driver{one, two} {
		in := newInbox()
		e.subscribe(d, in, driver.SubscriptionConfig{Group: fmt.Sprintf("%s%d", e.group(), i), From: driver.FromFirst})
		got := make(map[string]bool)
		for range 3 {
			a := in.next(e)
			a.ack()
			got[string(a.Body)] = true
		}
		if len(got) != 3 {
			e.Errorf("group %d got %v, want all three", i, got)
		}
	}
}

func closeEndsAll(e *env) {
	d := e.driver()
	s, err := d.NewSender(driver.SenderConfig{Group: e.name + "_p"})
	e.must(err)
	q := e.queues(s, e.topic())[0]
	e.send(s, q, e.text(s, "x"))
	in := newInbox()
	sub := e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	held := in.want(e, "x")
	e.must(d.Close(e.Context()))
	if held.ctx.Err() == nil {
		e.Error("the ctx of what is at work goes on")
	}
	if o := e.try(s, q, e.text(s, "y")); !errors.Is(o.err, message.ErrClosed) {
		e.Errorf("send: error %v, want ErrClosed", o.err)
	}
	if _, err := d.NewSender(driver.SenderConfig{Group: "p"}); !errors.Is(err, message.ErrClosed) {
		e.Errorf("new sender: error %v, want ErrClosed", err)
	}
	if _, err := d.NewSubscription(driver.SubscriptionConfig{Group: "g", Topics: []driver.TopicFilter{{Topic: "t"}}}, in); !errors.Is(err, message.ErrClosed) {
		e.Errorf("new subscription: error %v, want ErrClosed", err)
	}
	if err := sub.Start(e.Context()); !errors.Is(err, message.ErrClosed) {
		e.Errorf("start: error %v, want ErrClosed", err)
	}
	e.must(d.Close(e.Context()))
}

// tally is a sink that acknowledges everything and counts it by body.
type tally struct {
	mu   sync.Mutex // guards the following
	seen map[string]int
}

func newTally() *tally { return &tally{seen: make(map[string]int)} }

func (c *tally) Deliver(_ context.Context, s driver.Settler, ds []*message.Delivery) {
	for _, d := range ds {
		c.mu.Lock()
		c.seen[string(d.Body)]++
		c.mu.Unlock()
		s.Settle(d, driver.Verdict{Action: driver.ActionAck})
	}
}

// count is how many messages arrived, and how many of them more than once.
func (c *tally) count() (n, twice int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, times := range c.seen {
		twice += times - 1
	}
	return len(c.seen), twice
}

// moving sends all along while a second member joins and leaves.
func moving(e *env) {
	const n = 300
	d := e.driver()
	s := e.sender(d)
	queues := e.queues(s, e.topic())
	all := newTally()
	send := func(from, to int) {
		for i := from; i < to; i++ {
			e.send(s, queues[i%len(queues)], e.text(s, fmt.Sprint(i)))
		}
	}
	send(0, n/3)
	e.subscribe(d, all, driver.SubscriptionConfig{From: driver.FromFirst})
	second := newInbox()
	sub := e.subscribe(e.driver(), both{all, second}, driver.SubscriptionConfig{From: driver.FromFirst})
	for next := n / 3; ; next++ { // until the second member has its share
		send(next, next+1)
		select {
		case <-second:
			send(next+1, 2*n/3)
			e.drain(sub)
			send(2*n/3, n)
			e.eventually(func() string {
				if got, _ := all.count(); got < n {
					return fmt.Sprintf("%d of %d messages arrived", got, n)
				}
				return ""
			})
			_, twice := all.count()
			e.Logf("%d of %d messages arrived more than once", twice, n)
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// both hands deliveries to one sink and shows them to another, which does not
// settle them.
type both struct {
	driver.Sink
	shown inbox
}

func (b both) Deliver(ctx context.Context, s driver.Settler, ds []*message.Delivery) {
	b.shown.Deliver(ctx, s, ds)
	b.Sink.Deliver(ctx, s, ds)
}
