package conformance_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// limitCases are about what a producer allows itself.
func limitCases() []testCase {
	return []testCase{
		{name: "send rate", about: "so many messages a second pass; further ones wait, or fail fast", run: sendRate},
		{name: "bytes in flight", about: "sends wait for room for their bytes until their ctx ends", run: bytesInFlight, needs: dialling},
		{name: "send time-out", about: "SendTimeout ends a send with all its attempts", run: sendTimeout, needs: dialling},
		{name: "circuit breaker", about: "a broker that fails is let alone, and used again when it is back", run: circuitBreaker, needs: dialling},
		{name: "send async once", about: "with RetryAsync(false) asynchronous sends make one attempt, synchronous ones several", run: asyncOnce, needs: faults},
		{name: "durable required", about: "FLUSH_DISK_TIMEOUT and the like are errors on request, of messages that are stored", run: durableRequired, needs: faults},
	}
}

func sendRate(s *stand) {
	const n, rate = 16, 40.0
	c, topic := s.open(), s.topic()
	p := s.producer(c, producer.RateLimit(rate))
	begun := time.Now()
	s.sendAll(p, topic, numbered("paced", n)...)
	// A tenth of a second's messages pass at once.
	if took, least := time.Since(begun), 290*time.Millisecond; took < least {
		s.Errorf("%d messages took %s, want %s at least", n, took, least)
	}
	hasty := s.producer(c, producer.RateLimit(0.001), producer.FailFast())
	s.send(hasty, message.New(topic, []byte("first")))
	if _, err := hasty.Send(s.soon(), message.New(topic, []byte("second"))); !errors.Is(err, message.ErrOverloaded) || !message.SafeToRetry(err) {
		s.Errorf("error %v, want %v, safe to retry", err, message.ErrOverloaded)
	}
	s.holds(topic, n+1)
}

func bytesInFlight(s *stand) {
	n, topic := s.network(), s.topic()
	p := s.producer(s.openAt(s.server.nameServers, s.dialOptions(n.Dial)...), producer.MaxInFlightBytes(100))
	body := func(size int) *message.Message { return message.New(topic, make([]byte, size)) }
	s.send(p, body(1000)) // alone, though it is larger
	release := n.hold(s.server.broker)
	defer release()
	first := s.async(s.soon(), p, body(60))
	if _, err := p.Send(s.brief(), body(60)); !errors.Is(err, context.DeadlineExceeded) || !message.SafeToRetry(err) {
		s.Errorf("error %v, want the deadline's, safe to retry", err)
	}
	second := s.async(s.soon(), p, body(40)) // for which there is room
	release()
	for _, ch := range []<-chan outcome{first, second} {
		if o := s.outcome(ch); o.err != nil {
			s.Error(o.err)
		}
	}
	s.holds(topic, 3)
}

// sendTimeout: a silent broker costs no more than the producer was told.
func sendTimeout(s *stand) {
	const limit = time.Second
	n, topic := s.network(), s.topic()
	c := s.openAt(s.server.nameServers, s.dialOptions(n.Dial)...)
	s.sendAll(s.producer(c), topic, "connected")
	p := s.producer(c, producer.SendTimeout(limit), producer.AttemptTimeout(limit/5), producer.Retries(100), producer.RetryUnknownOutcome())
	defer n.hold(s.server.broker)()
	begun := time.Now()
	_, err := p.Send(s.soon(), message.New(topic, []byte("silence")))
	took := time.Since(begun)
	var failed *producer.SendError
	if !errors.Is(err, message.ErrOutcomeUnknown) || message.SafeToRetry(err) || !errors.As(err, &failed) || failed.Attempts < 2 || failed.Attempts > 6 {
		s.Errorf("error %v, want %v after 2 to 6 attempts, not safe to retry", err, message.ErrOutcomeUnknown)
	}
	// The last attempt may be one that the time does not suffice for.
	s.within("the send ended", took, limit/2, s.slack())
}

func circuitBreaker(s *stand) {
	n, topic := s.network(), s.topic()
	c := s.openAt(s.server.nameServers, s.dialOptions(n.Dial)...)
	settings := producer.BreakerSettings{Failures: 3, OpenFor: 300 * time.Millisecond}
	p := s.producer(c, producer.Retries(0), producer.Breaker(settings))
	settings.OpenFor = time.Hour
	patient := s.producer(c, producer.Retries(0), producer.Breaker(settings))
	try := func(p *producer.Producer) error {
		_, err := p.Send(s.soon(), message.New(topic, []byte("b")))
		if err != nil && !message.SafeToRetry(err) {
			s.Errorf("error %v, want one that is safe to retry", err)
		}
		return err
	}
	if err := errors.Join(try(p), try(patient)); err != nil {
		s.Fatal(err)
	}
	n.refuse(s.server.broker, true)
	n.sever(s.server.broker)
	s.eventually("the circuits open", func() bool {
		open := 0
		for _, err := range []error{try(p), try(patient)} {
			switch {
			case errors.Is(err, message.ErrBreakerOpen):
				open++
			case !errors.Is(err, message.ErrUnreachable):
				s.Errorf("error %v, want %v or %v", err, message.ErrUnreachable, message.ErrBreakerOpen)
			}
		}
		return open == 2
	})
	n.refuse(s.server.broker, false)
	s.eventually("the circuit closes", func() bool { return try(p) == nil })
	if err := try(p); err != nil {
		s.Errorf("after it has closed: %v", err)
	}
	if err := try(patient); !errors.Is(err, message.ErrBreakerOpen) {
		s.Errorf("error %v though the broker is let alone for an hour", err)
	}
	s.holds(topic, 4)
}

func asyncOnce(s *stand) {
	c, topic := s.open(), s.topic()
	var asked atomic.Int32
	defer s.server.lite.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
		if r.Topic != topic || r.Code != codeSendV2 && r.Code != 10 || r.Group == "by_hand" {
			return brokerlite.Pass(), false
		}
		if asked.Add(1) == 1 {
			return brokerlite.Answer(2, "by the case"), true // SYSTEM_BUSY
		}
		return brokerlite.Pass(), true
	})()
	for _, tc := range []struct{ async, again bool }{{true, false}, {true, true}, {false, false}} {
		asked.Store(0)
		p := s.producer(c, producer.RetryAsync(tc.again), producer.NoBreaker())
		m, want := message.New(topic, []byte("b")), int32(2)
		var err error
		if tc.async {
			err = s.outcome(s.async(s.soon(), p, m)).err
		} else {
			_, err = p.Send(s.soon(), m)
		}
		var refusal *message.BrokerError
		if tc.async && !tc.again {
			want = 1
			if !errors.As(err, &refusal) || refusal.Code != 2 || !message.SafeToRetry(err) {
				s.Errorf("error %v, want the broker's, safe to retry", err)
			}
		} else if err != nil {
			s.Errorf("%+v: %v", tc, err)
		}
		if got := asked.Load(); got != want {
			s.Errorf("%+v: %d attempts, want %d", tc, got, want)
		}
	}
	s.holds(topic, 2)
}

func durableRequired(s *stand) {
	topic := s.topic()
	p := s.producer(s.open(), producer.RequireDurable())
	m := message.New(topic, []byte("b"))
	for code, want := range map[int]message.Status{10: message.FlushDiskTimeout, 11: message.SlaveNotAvailable, 12: message.FlushSlaveTimeout} {
		stop := s.server.lite.Fault(brokerlite.Match{Code: codeSendV2, Topic: topic}, brokerlite.ReplaceAnswer(code))
		_, err := p.Send(s.soon(), m)
		for what, err := range map[string]error{"sync": err, "async": s.outcome(s.async(s.soon(), p, m)).err} {
			var weak *producer.NotDurableError
			if !errors.As(err, &weak) || weak.Result.Status != want || !hexDigits(weak.Result.OffsetMessageID, 32) || message.SafeToRetry(err) {
				s.Errorf("%s, answer %d: error %v, want one with %v, not safe to retry", what, code, err, want)
			}
		}
		stop()
	}
	s.send(p, m)
	s.holds(topic, 7) // they are stored, and were not tried again
}
