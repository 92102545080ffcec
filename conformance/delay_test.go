package conformance_test

import (
	"errors"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
)

// later sends messages and checks when they arrive.
func (s *stand) later(want map[string]time.Duration, opts map[string]message.Option) {
	s.Helper()
	c, topic := s.open(), s.topic()
	in := s.receive(c, topic)
	p := s.producer(c)
	sent := map[string]string{}
	begun := map[string]time.Time{}
	for what, opt := range opts {
		begun[what] = time.Now()
		sent[s.send(p, message.New(topic, []byte(what), opt, message.Tag("t"), message.Key("k"))).MessageID] = what
	}
	for range opts {
		d := in.next()
		at, what := time.Now(), sent[d.ID]
		if what != string(d.Body) || d.Topic != topic || d.Tag != "t" || d.Property("KEYS") != "k" || d.ReconsumeTimes != 0 {
			s.Errorf("%s arrived as %+v", what, d)
		}
		// Servers keep times in whole seconds, or deliver in the second after.
		s.within(what, at.Sub(begun[what]), want[what], s.slack())
	}
	in.none()
}

func delayLevels(s *stand) {
	s.later(map[string]time.Duration{
		"level 1": s.server.level(1), "level 2": s.server.level(2), "level 16": s.server.level(16), "over the last": s.server.level(18),
	}, map[string]message.Option{
		"level 1": delay.Level(1), "level 2": delay.Level(2), "level 16": delay.Level(16), "over the last": delay.Level(99),
	})
}

func delayTimes(s *stand) {
	after, at := 90*time.Minute, 26*time.Hour
	if !s.virtual() {
		after, at = 2500*time.Millisecond, 3*time.Second
	}
	s.later(map[string]time.Duration{"after": after, "at": at - time.Second, "in the past": 0}, map[string]message.Option{
		"after": delay.After(after), "at": delay.At(time.Now().Add(at)), "in the past": delay.At(time.Now().Add(-time.Hour)),
	})
}

func delayTooFar(s *stand) {
	topic := s.topic()
	p := s.producer(s.open())
	_, err := p.Send(s.soon(), message.New(topic, []byte("b"), delay.After(100*24*time.Hour)))
	if !errors.Is(err, message.ErrUnsupported) || !message.SafeToRetry(err) || !strings.Contains(err.Error(), "timerMaxDelaySec") {
		s.Errorf("error %v, want %v that names timerMaxDelaySec", err, message.ErrUnsupported)
	}
	s.holds(topic, 0)
}

// delayRefused: a server before 5.0 would deliver at once.
func delayRefused(s *stand) {
	topic := s.topic()
	p := s.producer(s.open())
	for what, opt := range map[string]message.Option{"after": delay.After(time.Minute), "at": delay.At(time.Now().Add(time.Minute))} {
		m := message.New(topic, []byte("b"), opt)
		if _, err := p.Send(s.soon(), m); !errors.Is(err, message.ErrUnsupported) || !message.SafeToRetry(err) {
			s.Errorf("%s: error %v, want %v", what, err, message.ErrUnsupported)
		}
		if err := p.SendOneway(s.soon(), m); !errors.Is(err, message.ErrUnsupported) {
			s.Errorf("%s, oneway: error %v, want %v", what, err, message.ErrUnsupported)
		}
		cb := newCallback()
		if o := cb.send(s, s.soon(), p, m); !errors.Is(o.err, message.ErrUnsupported) {
			s.Errorf("%s, async: error %v, want %v", what, o.err, message.ErrUnsupported)
		}
	}
	s.holds(topic, 0)
}
