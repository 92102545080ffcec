package conformance_test

import (
	"errors"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
)

// delayed is a message to be sent: its option, made when it is sent, and how long
// after that it must arrive.
type delayed struct {
	opt  func() message.Option
	want time.Duration
}

// later sends messages and checks when they arrive.
func (s *stand) later(messages map[string]delayed) {
	s.Helper()
	c, topic := s.open(), s.topic()
	in := s.receive(c, topic)
	p := s.producer(c)
	sent := map[string]string{}
	begun := map[string]time.Time{}
	for what, m := range messages {
		begun[what] = time.Now()
		sent[s.send(p, message.New(topic, []byte(what), m.opt(), message.Tag("t"), message.Key("k"))).MessageID] = what
	}
	for range messages {
		d := in.next()
		at, what := time.Now(), sent[d.ID]
		if what != string(d.Body) || d.Topic != topic || d.Tag != "t" || d.Property("KEYS") != "k" || d.ReconsumeTimes != 0 {
			s.Errorf("%s arrived as %+v", what, d)
		}
		// Servers keep times in whole seconds, or deliver in the second after.
		s.within(what, at.Sub(begun[what]), messages[what].want, s.slack())
	}
	in.none()
}

func delayLevels(s *stand) {
	level := func(n int) delayed {
		return delayed{func() message.Option { return delay.Level(n) }, s.server.level(n)}
	}
	s.later(map[string]delayed{"level 1": level(1), "level 2": level(2), "level 16": level(16), "over the last": level(99)})
}

func delayTimes(s *stand) {
	after, at := 90*time.Minute, 3*time.Hour
	if !s.virtual() {
		after, at = 2500*time.Millisecond, 3*time.Second
	}
	s.later(map[string]delayed{
		"after":       {func() message.Option { return delay.After(after) }, after},
		"at":          {func() message.Option { return delay.At(time.Now().Add(at)) }, at - time.Second},
		"in the past": {func() message.Option { return delay.At(time.Now().Add(-time.Hour)) }, 0},
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
