package conformance_test

import (
	"encoding/base64"
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

func delayCancelled(s *stand) {
	c, topic := s.open(), s.topic()
	in := s.receive(c, topic)
	p := s.producer(c)
	schedule := func(body string, when message.Option) delay.Handle {
		h, err := delay.Schedule(s.soon(), p, message.New(topic, []byte(body)), when)
		if err != nil {
			s.Fatal(err)
		}
		return h
	}
	called, kept := schedule("called back", delay.After(4*time.Second)), schedule("kept", delay.At(time.Now().Add(6*time.Second)))
	if err := delay.Cancel(s.soon(), p, called); err != nil {
		s.Errorf("cancel: %v", err)
	}
	if d := in.next(); d.ID != kept.MessageID || string(d.Body) != "kept" {
		s.Errorf("arrived: %s %q", d.ID, d.Body)
	}
	if err := delay.Cancel(s.soon(), p, kept); !errors.Is(err, message.ErrTooLate) || !message.SafeToRetry(err) {
		s.Errorf("after the delivery: %v", err)
	}
	level := schedule("level", delay.Level(1))
	if err := delay.Cancel(s.soon(), p, level); !errors.Is(err, message.ErrUnsupported) || !strings.Contains(err.Error(), "recallMessageEnable") {
		s.Errorf("of a level: %v", err)
	}
	called.Topic = "other"
	if err := delay.Cancel(s.soon(), p, called); !errors.Is(err, message.ErrInvalidMessage) {
		s.Errorf("of another topic: %v", err)
	}
	in.next() // the level's
	in.none()
}

// delayCancelRefused: Apache's default.
func delayCancelRefused(s *stand) {
	topic := s.topic()
	p := s.producer(s.open())
	h, err := delay.Schedule(s.soon(), p, message.New(topic, []byte("b")), delay.After(time.Second))
	if err != nil {
		s.Fatal(err)
	}
	for range 2 {
		if err := delay.Cancel(s.soon(), p, h); !errors.Is(err, message.ErrUnsupported) || !strings.Contains(err.Error(), "recallMessageEnable=true") {
			s.Errorf("%v", err)
		}
		// As if another broker had given it.
		h.Recall = base64.URLEncoding.EncodeToString([]byte("v1 " + topic + " broker-a 4102444800000 " + h.MessageID))
	}
}

// delayRefused: a server before 5.0 would deliver at once.
func delayOrLevel(s *stand) {
	topic := s.topic()
	c := s.open()
	in := s.receive(c, topic)
	const wait = 700 * time.Millisecond
	m := message.New(topic, []byte("b"), delay.OrLevel(delay.After(wait)))
	begun := time.Now()
	s.send(s.producer(c), m)
	d := in.next()
	if took := time.Since(begun); took < wait {
		s.Errorf("delivered after %s", took)
	}
	want := ""
	if s.leg.has&noTimers != 0 {
		want = "1"
	}
	if level := d.Property("DELAY"); level != want {
		s.Errorf("delivered by level %q, want %q", level, want)
	}
}

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
