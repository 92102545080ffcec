package conformance_test

import (
	"errors"
	"time"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// retryBackoff: the delays grow, up to their maximum, and every copy is the message
// that was sent.
func retryBackoff(s *stand) {
	backoff := retry.Backoff{Base: 1200 * time.Millisecond, Factor: 2, Max: 2 * time.Second}
	waits := []time.Duration{1200 * time.Millisecond, 2 * time.Second}
	if s.virtual() {
		backoff = retry.Backoff{Base: 80 * time.Minute, Factor: 2, Max: 150 * time.Minute}
		waits = []time.Duration{80 * time.Minute, 150 * time.Minute, 150 * time.Minute}
	}
	if s.leg.has&exactRetries == 0 { // both are level 2 by the client's table
		waits = []time.Duration{s.server.level(2), s.server.level(2)}
	}
	a := s.attempts()
	a.script = func(int) error { return errBoom }
	sent, group, dead := s.failing(a, consumer.Retry(retry.Exponential(len(waits), backoff)))
	first := a.next()
	s.same(first.Delivery, sent)
	last := first
	for i, want := range waits {
		again := a.next()
		s.same(again.Delivery, sent)
		if again.ReconsumeTimes != i+1 || again.OriginID() != first.OffsetID || again.Topic != sent.Queue.Topic || again.Queue.Topic != message.RetryTopic(group) || again.BornTimestamp != first.BornTimestamp {
			s.Errorf("retry %d: %+v, origin %q, want %q", i+1, again.Delivery, again.OriginID(), first.OffsetID)
		}
		s.within("the retry", again.at.Sub(last.at), want, s.slack())
		last = again
	}
	d := dead.next()
	s.same(d, sent)
	if d.ReconsumeTimes != len(waits)+1 || d.OriginID() != first.OffsetID {
		s.Errorf("dead letter %+v, origin %q, want %q", d, d.OriginID(), first.OffsetID)
	}
	a.none()
	dead.none()
}

// retryStrictBackoff: where the delays would be rounded, the consumer does not start.
func retryStrictBackoff(s *stand) {
	c, topic := s.open(), s.topic()
	a := s.attempts()
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, a.handle, consumer.Retry(retry.Exponential(3, retry.Backoff{Base: time.Second, Strict: true})))
	s.send(s.producer(c), message.New(topic, []byte("b"))) // the route is known
	cons, err := c.NewConsumer(mux)
	if err == nil {
		err = cons.Start(s.soon())
		if err := cons.Stop(s.soon()); err != nil {
			s.Error(err)
		}
	}
	if !errors.Is(err, message.ErrUnsupported) {
		s.Errorf("error %v, want ErrUnsupported", err)
	}
	a.none()
}
