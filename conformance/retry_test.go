package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

var errBoom = errors.New("boom")

// attempt is one call of a handler.
type attempt struct {
	*message.Delivery
	at time.Time
}

// attempts is a handler that follows a script: the error of its first call, of its
// second, and so on; nil from there on.
type attempts struct {
	s      *stand
	script func(n int) error // n counts from 0
	calls  atomic.Int32
	ch     chan attempt
}

func (s *stand) attempts(script ...error) *attempts {
	return &attempts{s: s, ch: make(chan attempt, 100), script: func(n int) error {
		if n < len(script) {
			return script[n]
		}
		return nil
	}}
}

func (a *attempts) handle(_ context.Context, d *message.Delivery) error {
	err := a.script(int(a.calls.Add(1)) - 1)
	a.ch <- attempt{d, time.Now()}
	return err
}

func (a *attempts) next() attempt {
	a.s.Helper()
	select {
	case got := <-a.ch:
		return got
	case <-a.s.soon().Done():
		a.s.Fatalf("no further attempt after %d", a.calls.Load())
		return attempt{}
	}
}

// none says that the handler was not called again by now.
func (a *attempts) none() {
	a.s.Helper()
	select {
	case got := <-a.ch:
		a.s.Errorf("another attempt: reconsumed %d", got.ReconsumeTimes)
	default:
	}
}

// slack is how much later than asked for a server may deliver.
func (s *stand) slack() time.Duration {
	switch {
	case s.virtual():
		return 2 * time.Second
	case s.leg.driver != "native":
		return 45 * time.Second // rocketmq-client-go may find the retry topic 20 s later
	}
	return 15 * time.Second // on a busy machine
}

// failing starts a consumer whose handler follows a script, and sends it a message
// with everything that must survive.
func (s *stand) failing(a *attempts, opts ...consumer.HandlerOption) (sent message.SendResult, group string, dead *inbox) {
	s.Helper()
	c, topic := s.open(), s.topic()
	dead, group = s.inbox(), s.group()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, a.handle, opts...)
	consumer.HandleDLQ(mux, dead.take)
	s.start(c, mux)
	m := message.New(topic, []byte("付款 body"), message.Tag("paid"), message.Key("order-1", "k2"), message.Property("地区", "华东"))
	m.Flag = 77
	return s.send(s.producer(c), m), group, dead
}

// same checks that a later copy is the message that was sent.
func (s *stand) same(d *message.Delivery, sent message.SendResult) {
	s.Helper()
	if d.ID != sent.MessageID || string(d.Body) != "付款 body" || d.Tag != "paid" || !slices.Equal(d.Keys(), []string{"order-1", "k2"}) || d.Property("地区") != "华东" || d.Flag != 77 || d.OriginTopic() != sent.Queue.Topic {
		s.Errorf("the copy is %+v from topic %q with %s", d, d.OriginTopic(), describe(d))
	}
}

func retryOnce(s *stand) {
	a := s.attempts(errBoom)
	sent, group, dead := s.failing(a)
	first, second := a.next(), a.next()
	s.same(first.Delivery, sent)
	s.same(second.Delivery, sent)
	if first.ReconsumeTimes != 0 || first.OriginID() != "" || first.Topic != sent.Queue.Topic || first.Queue != sent.Queue {
		s.Errorf("first delivery %+v, origin %q", first.Delivery, first.OriginID())
	}
	if second.ReconsumeTimes != 1 || second.OriginID() != first.OffsetID || second.OffsetID == first.OffsetID || second.Topic != sent.Queue.Topic || second.Queue.Topic != message.RetryTopic(group) {
		s.Errorf("second delivery %+v, origin %q, want %q", second.Delivery, second.OriginID(), first.OffsetID)
	}
	s.within("the retry", second.at.Sub(first.at), s.server.level(3), s.slack())
	a.none()
	dead.none()
}

func retryImmediately(s *stand) {
	a := s.attempts(errBoom, errBoom)
	sent, _, dead := s.failing(a, consumer.Retry(retry.Levels(16).Immediately(2)))
	for range 3 {
		got := a.next()
		s.same(got.Delivery, sent)
		if got.ReconsumeTimes != 0 {
			s.Errorf("reconsumed %d times, want all attempts in the first delivery", got.ReconsumeTimes)
		}
	}
	a.none()
	dead.none()
}

func retryPanic(s *stand) {
	a := s.attempts()
	a.script = func(n int) error {
		if n == 0 {
			a.ch <- attempt{&message.Delivery{}, time.Now()}
			panic("the handler's own")
		}
		return nil
	}
	sent, _, _ := s.failing(a)
	panicked, second := a.next(), a.next()
	s.same(second.Delivery, sent)
	if second.ReconsumeTimes != 1 {
		s.Errorf("reconsumed %d times", second.ReconsumeTimes)
	}
	s.within("the retry", second.at.Sub(panicked.at), s.server.level(3), s.slack())
}

func retryAfterExactly(s *stand) {
	want := 90 * time.Second // between two levels
	if !s.virtual() {
		want = 2500 * time.Millisecond
	}
	a := s.attempts(retry.After(errBoom, want))
	sent, _, _ := s.failing(a)
	first, second := a.next(), a.next()
	s.same(second.Delivery, sent)
	if second.ReconsumeTimes != 1 || second.OriginID() != first.OffsetID || second.Topic != sent.Queue.Topic {
		s.Errorf("second delivery %+v, origin %q, want %q", second.Delivery, second.OriginID(), first.OffsetID)
	}
	s.within("the retry", second.at.Sub(first.at), want, s.slack())
}

// retryAfterRounded: 2.5 s are level 2 by the client's table.
func retryAfterRounded(s *stand) {
	a := s.attempts(retry.After(errBoom, 2500*time.Millisecond))
	sent, _, _ := s.failing(a)
	first, second := a.next(), a.next()
	s.same(second.Delivery, sent)
	if second.ReconsumeTimes != 1 {
		s.Errorf("reconsumed %d times", second.ReconsumeTimes)
	}
	s.within("the retry", second.at.Sub(first.at), s.server.level(2), s.slack())
}

func retryPermanent(s *stand) {
	a := s.attempts(retry.Permanent(errBoom))
	sent, group, dead := s.failing(a)
	first := a.next()
	d := dead.next()
	s.same(d, sent)
	if d.Topic != message.DLQTopic(group) || d.Group != group+"_dlq" || d.OriginID() != first.OffsetID {
		s.Errorf("dead letter %+v, origin %q, want %q", d, d.OriginID(), first.OffsetID)
	}
	a.none()
	dead.none()
}

// retryDecode: no further attempt can mend a body.
func retryDecode(s *stand) {
	c, topic, dead := s.open(), s.topic(), s.inbox()
	mux := s.mux(s.group())
	var calls atomic.Int32
	consumer.Handle(mux, topic, func(context.Context, order) error { calls.Add(1); return nil })
	consumer.HandleDLQ(mux, dead.take)
	s.start(c, mux)
	sent := s.send(s.producer(c), message.New(topic, []byte("{no json")))
	if d := dead.next(); d.ID != sent.MessageID || string(d.Body) != "{no json" {
		s.Errorf("dead letter %+v", d)
	}
	if n := calls.Load(); n != 0 {
		s.Errorf("the handler was called %d times", n)
	}
}

func retrySkip(s *stand) {
	c, topic, group := s.open(), s.topicOf(1), s.group()
	a, dead := s.attempts(retry.Skip(errBoom)), s.inbox()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, a.handle)
	consumer.HandleDLQ(mux, dead.take)
	cons := s.start(c, mux)
	s.send(s.producer(c), message.New(topic, []byte("b")))
	a.next()
	if err := cons.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	s.eventually("the skipped message is committed", func() bool { return s.committed(group, topic, 0) == 1 })
	if n := s.committed(group, message.RetryTopic(group), 0); n > 0 {
		s.Errorf("the retry topic's offset is %d", n)
	}
	a.none()
	dead.none()
}

// retryTimeout: the handler's ctx has the consume time-out as its deadline.
func retryTimeout(s *stand) {
	c, topic := s.open(), s.topic()
	a := s.attempts()
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		if err := a.handle(ctx, d); err != nil || d.ReconsumeTimes > 0 {
			return err
		}
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			s.Errorf("ctx ended with %v", ctx.Err())
		}
		return ctx.Err()
	}, consumer.Timeout(200*time.Millisecond))
	s.start(c, mux)
	sent := s.send(s.producer(c), message.New(topic, []byte("slow")))
	first, second := a.next(), a.next()
	if second.ID != sent.MessageID || second.ReconsumeTimes != 1 {
		s.Errorf("second delivery %+v", second.Delivery)
	}
	s.within("the retry", second.at.Sub(first.at), 200*time.Millisecond+s.server.level(3), s.slack())
}

// deadLetter: what a dead letter looks like. The properties are those of Apache's
// servers; 5.x adds some of its own to every message.
func deadLetter(s *stand) {
	a := s.attempts(errBoom, errBoom, errBoom)
	sent, group, dead := s.failing(a, consumer.Retry(retry.Levels(1)))
	first, second := a.next(), a.next()
	if second.ReconsumeTimes != 1 {
		s.Errorf("reconsumed %d times", second.ReconsumeTimes)
	}
	d := dead.next()
	s.same(d, sent)
	if d.ReconsumeTimes != 2 || d.Queue.ID != 0 || d.Topic != message.DLQTopic(group) || d.BornTimestamp != first.BornTimestamp || d.BornHost != first.BornHost {
		s.Errorf("dead letter %+v", d)
	}
	want := map[string]string{
		"KEYS": "order-1 k2", "TAGS": "paid", "地区": "华东", "UNIQ_KEY": sent.MessageID,
		"RETRY_TOPIC": sent.Queue.Topic, "ORIGIN_MESSAGE_ID": first.OffsetID, "DELAY": "0", "WAIT": "false",
		"REAL_TOPIC": message.RetryTopic(group), "REAL_QID": "0", "MIN_OFFSET": "", "CLUSTER": "DefaultCluster",
	}
	for name, value := range want {
		if got := d.Property(name); name != "MIN_OFFSET" && got != value {
			s.Errorf("property %s: %q, want %q", name, got, value)
		}
	}
	for name, value := range d.Properties() {
		if _, ok := want[name]; !ok && !slices.Contains([]string{"MSG_REGION", "TRACE_ON", "MAX_OFFSET", "CONSUME_START_TIME", "traceparent", "tracestate", "DLQ_ORIGIN_TOPIC", "DLQ_ORIGIN_MESSAGE_ID"}, name) {
			s.Errorf("property %s=%q is not one of Apache's", name, value)
		}
	}
	s.quiet(50 * time.Millisecond)
	a.none()
	dead.none()
}

// deadLettersAreRetried: the handler of dead letters never dead-letters.
func deadLettersAreRetried(s *stand) {
	c, topic := s.open(), s.topic()
	a := s.attempts(retry.Permanent(errBoom), retry.After(errBoom, time.Second))
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, func(context.Context, *message.Delivery) error { return retry.Permanent(errBoom) })
	consumer.HandleDLQ(mux, a.handle)
	s.start(c, mux)
	sent := s.send(s.producer(c), message.New(topic, []byte("b")))
	for n := range 3 {
		got := a.next()
		if got.ID != sent.MessageID || got.ReconsumeTimes < n || got.OriginTopic() != topic {
			s.Errorf("attempt %d: %+v from topic %q", n, got.Delivery, got.OriginTopic())
		}
	}
	a.none()
}

// retrySixteen is RocketMQ's whole schedule: 17 deliveries, then the dead letters.
func retrySixteen(s *stand) {
	a := s.attempts(slices.Repeat([]error{errBoom}, 20)...)
	sent, _, dead := s.failing(a)
	var first, last attempt
	for n := range 17 {
		got := a.next()
		s.same(got.Delivery, sent)
		if got.ReconsumeTimes != n {
			s.Fatalf("delivery %d says %d", n, got.ReconsumeTimes)
		}
		if n == 0 {
			first = got
		} else {
			s.within("delivery "+strconv.Itoa(n), got.at.Sub(last.at), s.server.level(2+n), s.slack())
		}
		last = got
	}
	d := dead.next()
	s.same(d, sent)
	if d.ReconsumeTimes != 17 || d.OriginID() != first.OffsetID {
		s.Errorf("dead letter %+v, origin %q, want %q", d, d.OriginID(), first.OffsetID)
	}
	a.none()
	dead.none()
	if s.virtual() {
		s.within("the last delivery", last.at.Sub(first.at).Truncate(time.Second), 4*time.Hour+45*time.Minute+40*time.Second, 2*time.Second)
	}
}

// retriesOfMany: every one of many failing messages comes again, once.
func retriesOfMany(s *stand) {
	const n = 40
	c, topic := s.open(), s.topic()
	in, tries := s.inbox(), new(counter)
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		if tries.add(d.ID) == 1 {
			return fmt.Errorf("first attempt at %q", d.Body)
		}
		return in.take(ctx, d)
	})
	s.start(c, mux)
	ids := s.sendAll(s.producer(c), topic, numbered("m", n)...)
	got := in.ids(n)
	for _, id := range ids {
		if d := got[id]; d == nil || d.ReconsumeTimes != 1 || tries.get(id) != 2 {
			s.Errorf("%s: %+v after %d attempts", id, d, tries.get(id))
		}
	}
	if diff := cmp.Diff(0, len(in.ch)); diff != "" {
		s.Errorf("further deliveries\n%s", diff)
	}
}
