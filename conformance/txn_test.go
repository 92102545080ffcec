package conformance_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/txn"
)

// local is a local transaction with that outcome.
func local(err error) txn.Local {
	return func(context.Context, message.SendResult) error { return err }
}

func txnDecided(s *stand) {
	c, topic := s.open(), s.topic()
	asked := new(counter)
	kind := txn.NewKind("paid", topic, func(_ context.Context, d *message.Delivery) error {
		asked.add(string(d.Body))
		return txn.Abort(nil)
	})
	p := s.producer(c, txn.Kinds(kind))
	in := s.receive(c, topic)
	for _, tc := range []struct {
		body string
		err  error
		want txn.Decision
	}{{"abort", txn.Abort(errBoom), txn.DecidedToRollBack}, {"commit", nil, txn.DecidedToCommit}} {
		seen := message.SendResult{}
		res, err := kind.Send(s.soon(), p, message.New(topic, []byte(tc.body), message.Tag("t"), message.Key("k")), func(_ context.Context, half message.SendResult) error {
			seen = half
			in.none() // a half message is not seen
			return tc.err
		})
		if res.Decision != tc.want || !errors.Is(err, tc.err) || res.Status != message.SendOK || seen.MessageID != res.MessageID || !hexDigits(res.MessageID, 32) {
			s.Errorf("%s: %+v, %v; the local transaction saw %+v", tc.body, res, err, seen)
		}
	}
	d := in.next()
	if string(d.Body) != "commit" || d.Topic != topic || d.Tag != "t" || d.Property("KEYS") != "k" {
		s.Errorf("arrived: %+v", d)
	}
	// The server has had its time to ask.
	s.quiet(s.server.checkAfter)
	s.send(p, message.New(topic, []byte("marker")))
	if got := in.until("marker"); len(got) > 0 {
		s.Errorf("arrived too: %q", got[0].Body)
	}
	// In real time a busy server may ask before the roll-back has reached it.
	if n := asked.get("abort"); n > 0 && s.virtual() {
		s.Errorf("asked %d times about what was rolled back", n)
	}
}

func txnAsked(s *stand) {
	c, topic := s.open(), s.topic()
	var mu sync.Mutex
	asked, begun := map[string]int{}, map[string]time.Time{}
	kind := txn.NewKind("paid", topic, func(_ context.Context, d *message.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		body := string(d.Body)
		if asked[body]++; asked[body] == 1 {
			if age := time.Since(begun[body]); age < s.server.checkAfter {
				s.Errorf("asked about %q after %s, want %s at least", body, age, s.server.checkAfter)
			}
		}
		if d.Topic != topic || d.Property("KEYS") != "k" || d.Tag != "t" {
			s.Errorf("asked about %+v", d)
		}
		switch {
		case body == "roll back":
			return txn.Abort(nil)
		case body == "commit when asked twice" && asked[body] == 1:
			return errBoom // not known yet
		}
		return nil
	})
	p := s.producer(c, txn.Kinds(kind))
	in := s.receive(c, topic)
	for _, body := range []string{"commit", "roll back", "commit when asked twice"} {
		mu.Lock()
		begun[body] = time.Now()
		mu.Unlock()
		res, err := kind.Send(s.soon(), p, message.New(topic, []byte(body), message.Tag("t"), message.Key("k")), local(errBoom))
		var open *txn.LocalError
		if !errors.As(err, &open) || open.Decision != txn.Undecided || res.Decision != txn.Undecided || message.SafeToRetry(err) {
			s.Errorf("%s: %+v, %v", body, res, err)
		}
	}
	if diff := cmp.Diff([]string{"commit", "commit when asked twice"}, in.bodies(2)); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
	s.eventually("the one to roll back is asked about", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return asked["roll back"] > 0
	})
	mu.Lock()
	defer mu.Unlock()
	if asked["commit when asked twice"] < 2 || asked["commit"] == 0 {
		s.Errorf("asked %v", asked)
	}
	in.none()
}

// txnKinds: one producer has two kinds, whose checks must meet each other at work.
func txnKinds(s *stand) {
	c, asked, met := s.open(), new(counter), make(chan struct{})
	names, topics := []string{"paid", "shipped"}, []string{s.topic(), s.topic()}
	var mu sync.Mutex
	inside := map[string]int{}
	enter := func(name string, n int) {
		mu.Lock()
		defer mu.Unlock()
		inside[name] += n
		if inside["paid"] > 0 && inside["shipped"] > 0 {
			select {
			case <-met:
			default:
				close(met)
			}
		}
	}
	var kinds []*txn.Kind
	for i, name := range names {
		kinds = append(kinds, txn.NewKind(name, topics[i], func(ctx context.Context, d *message.Delivery) error {
			if string(d.Body) != name {
				s.Errorf("kind %s is asked about %q", name, d.Body)
			}
			enter(name, 1)
			defer enter(name, -1)
			select {
			case <-met:
			case <-ctx.Done():
				return ctx.Err()
			}
			if asked.add(name) == 1 {
				panic(name)
			}
			return nil
		}))
	}
	p := s.producer(c, txn.Kinds(kinds...))
	for i, name := range names {
		if _, err := kinds[i].Send(s.soon(), p, message.New(topics[i], []byte(name)), local(errBoom)); !errors.Is(err, errBoom) {
			s.Fatal(err)
		}
	}
	for i, name := range names {
		if d := s.receive(c, topics[i]).next(); string(d.Body) != name || asked.get(name) < 2 {
			s.Errorf("%q arrived after %d answers of kind %s, the first of which was a panic", d.Body, asked.get(name), name)
		}
	}
}

func txnAfterRestart(s *stand) {
	topic, group := s.topic(), s.group()
	kind := txn.NewKind("paid", topic, func(context.Context, *message.Delivery) error { return nil })
	open := func() (*producer.Producer, func() error) {
		c := s.open()
		p, err := c.NewProducer(group, txn.Kinds(kind), producer.SendTimeout(20*time.Second))
		if err != nil {
			s.Fatal(err)
		}
		return p, c.Close
	}
	p, end := open()
	res, err := kind.Send(s.soon(), p, message.New(topic, []byte("left behind")), local(errBoom))
	if !errors.Is(err, errBoom) {
		s.Fatal(err)
	}
	if err := end(); err != nil {
		s.Fatal(err)
	}
	open() // which sends nothing
	if d := s.receive(s.open(), topic).next(); d.ID != res.MessageID || string(d.Body) != "left behind" {
		s.Errorf("arrived: %+v", d)
	}
}

func txnRefused(s *stand) {
	c, topic, other := s.open(), s.topic(), s.topic()
	kind := txn.NewKind("paid", topic, func(context.Context, *message.Delivery) error { return nil })
	p := s.producer(c, txn.Kinds(kind))
	ran := false
	run := func(context.Context, message.SendResult) error { ran = true; return nil }
	for what, m := range map[string]*message.Message{
		"a delay":       message.New(topic, []byte("b"), delay.Level(3)),
		"another topic": message.New(other, []byte("b")),
		"no body":       message.New(topic, nil),
	} {
		if _, err := kind.Send(s.soon(), p, m, run); err == nil || !message.SafeToRetry(err) {
			s.Errorf("%s: error %v, want one that is safe to retry", what, err)
		}
	}
	if _, err := kind.Send(s.soon(), s.producer(c), message.New(topic, []byte("b")), run); err == nil {
		s.Error("a producer without the kind sends it")
	}
	if ran {
		s.Error("the local transaction has run")
	}
	s.holds(topic, 0)
}
