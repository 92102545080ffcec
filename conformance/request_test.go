package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

func requestReply(s *stand) {
	topic, group := s.topic(), s.group()
	server := s.open()
	replier := s.producer(server)
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		_, err := replier.Reply(ctx, d, append([]byte("re: "), d.Body...))
		return err
	})
	s.start(server, mux)
	p := s.producer(s.open())
	var wg sync.WaitGroup
	for i := range 8 { // at once: each gets its own
		wg.Go(func() {
			body := fmt.Sprint("question ", i)
			d, err := p.Request(s.soon(), message.New(topic, []byte(body)))
			if err != nil || string(d.Body) != "re: "+body {
				s.Errorf("reply to %q: %v, %v", body, d, err)
			}
		})
	}
	wg.Wait()
	big := bytes.Repeat([]byte("x"), 100<<10) // travels packed, both ways
	if d, err := p.Request(s.soon(), message.New(topic, big)); err != nil || len(d.Body) != len(big)+4 {
		s.Errorf("reply to a big request: %v", err)
	}
}

// Apache's Java client asks and is answered, and answers what it is asked.
func requestWithJava(s *stand) {
	apache.Require(s.T)
	prefix := s.name("java")
	ours, theirs := prefix+"_t_ask_another", prefix+"_t_answer_another"
	s.createTopic(ours, 4)
	s.createTopic(theirs, 4)
	c := s.open()
	p := s.producer(c)
	mux := s.mux(prefix + "_g_ask_another")
	consumer.HandleRaw(mux, ours, func(ctx context.Context, d *message.Delivery) error {
		_, err := p.Reply(ctx, d, append([]byte("re: "), d.Body...))
		return err
	})
	s.start(c, mux)
	// A JVM takes its time on a busy machine.
	ctx, cancel := context.WithTimeout(s.Context(), 3*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		big := strings.Repeat("x", 100_000)
		for _, body := range []string{"there", big, "that is all"} {
			d, err := p.Request(ctx, message.New(theirs, []byte(body)))
			if err != nil {
				s.Errorf("Java's reply to %.20q: %v", body, err)
				return
			}
			if got := string(d.Body); got != body+" and back" {
				s.Errorf("Java's reply to %.20q: %.30q", body, got)
			}
		}
	})
	cases := []string{"ask-another", "answer-another"}
	version := apache.V5
	if s.leg.has&v5 == 0 {
		version = apache.V4
	}
	got, err := apache.Peer(ctx, apache.PeerOptions{Client: version, Server: version, NameServer: s.server.nameServers[0], Prefix: prefix, Cases: cases})
	if err != nil || len(got) != len(cases) {
		s.Fatalf("Java's client: %v, %v", got, err)
	}
	for _, r := range got {
		if r.Outcome != apache.Pass {
			s.Errorf("Java's client: %s: %s", r.Name, r.Why)
		}
	}
}

func requestUnanswered(s *stand) {
	topic, group := s.topic(), s.group()
	c := s.open()
	p := s.producer(c)
	s.sendAll(p, topic, "before") // then it has the route, and a connection
	ctx, cancel := context.WithTimeout(s.Context(), time.Second)
	defer cancel()
	_, err := p.Request(ctx, message.New(topic, []byte("anybody?")))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no reply after") || message.SafeToRetry(err) {
		s.Errorf("without a consumer: %v", err)
	}
	// The requester's client ends before the reply comes: the broker cannot hand it over.
	other := s.open()
	gone := s.producer(other)
	s.sendAll(gone, topic, "before")
	late, cancelLate := context.WithTimeout(s.Context(), 500*time.Millisecond)
	defer cancelLate()
	if _, err := gone.Request(late, message.New(topic, []byte("I am off"))); err == nil || !strings.Contains(err.Error(), "no reply after") {
		s.Fatalf("the request of one who goes: %v", err)
	}
	if err := other.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	outcome := make(chan error, 10)
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		if string(d.Body) == "I am off" {
			_, err := p.Reply(ctx, d, []byte("too late"))
			outcome <- err
		}
		return nil
	})
	s.start(c, mux)
	select {
	case err := <-outcome:
		var refused *message.BrokerError
		if !errors.As(err, &refused) {
			s.Errorf("a reply to a requester that is gone: %v", err)
		}
	case <-s.soon().Done():
		s.Error("the request is not handled")
	}
}

func requestRefused(s *stand) {
	p := s.producer(s.open())
	topic := s.topic()
	if _, err := p.Request(s.soon(), message.New(topic, []byte("x"), message.Property("CORRELATION_ID", "1"))); !errors.Is(err, message.ErrInvalidMessage) {
		s.Errorf("a request with a correlation id of the user's: %v", err)
	}
	if _, err := p.Reply(s.soon(), &message.Delivery{Topic: topic, ID: "1"}, []byte("x")); !errors.Is(err, message.ErrInvalidMessage) {
		s.Errorf("a reply to no request: %v", err)
	}
}
