package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/google/go-cmp/cmp"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/txn"
)

// restart closes the case's own server and starts it again on its directory, at
// its addresses.
func (s *stand) restart() {
	s.Helper()
	port := func(addr string) int {
		_, text, err := net.SplitHostPort(addr)
		n, err2 := strconv.Atoi(text)
		if err := errors.Join(err, err2); err != nil {
			s.Fatal(err)
		}
		return n
	}
	old := s.server.lite
	if err := closeLite(old); err != nil {
		s.Fatal(err)
	}
	b, err := brokerlite.Start(s.Context(), append(slices.Clone(s.server.opts),
		brokerlite.BrokerPort(port(old.Addr())), brokerlite.NameServerPort(port(old.NameServer())))...)
	if err != nil {
		s.Fatal(err)
	}
	s.server.use(b)
}

// restartRecovers: producer and consumer go on, and what was acknowledged before
// and after arrives.
func restartRecovers(s *stand) {
	c, topic := s.open(), s.topic()
	p := s.producer(c)
	in := s.receive(c, topic)
	ids := s.sendAll(p, topic, numbered("before", 10)...)
	in.ids(10)
	ids = append(ids, s.sendAll(p, topic, numbered("unread", 10)...)...)
	s.restart()
	begun := time.Now()
	for _, body := range numbered("after", 20) {
		s.eventually("a send after the restart", func() bool {
			r, err := p.Send(s.soon(), message.New(topic, []byte(body)))
			if err != nil {
				if !message.SafeToRetry(err) && !errors.Is(err, message.ErrOutcomeUnknown) {
					s.Errorf("send after the restart: %v", err)
				}
				return false
			}
			ids = append(ids, r.MessageID)
			return true
		})
	}
	sent := time.Since(begun)
	got := in.ids(len(ids) - 10)
	s.Logf("sends went on after %s, deliveries after %s", sent, time.Since(begun))
	for _, id := range ids[10:] {
		if got[id] == nil {
			s.Errorf("%s was acknowledged and did not arrive", id)
		}
	}
	if took := time.Since(begun); took > 20*time.Second {
		s.Errorf("it took %s until everything arrived", took)
	}
}

// restartKeeps: what the server holds for later is still there.
func restartKeeps(s *stand) {
	topic, group := s.topic(), s.group()
	kind := txn.NewKind("left", topic, func(context.Context, *message.Delivery) error { return nil })
	c := s.open()
	p := s.producer(c, txn.Kinds(kind))
	tries := new(counter)
	in := s.inbox()
	failed := make(chan struct{}, 100)
	mux := func() *consumer.Mux {
		m := s.mux(group)
		consumer.HandleRaw(m, topic, func(ctx context.Context, d *message.Delivery) error {
			if string(d.Body) == "fails" && tries.add(d.ID) == 1 {
				failed <- struct{}{}
				return errBoom
			}
			return in.take(ctx, d)
		})
		return m
	}
	cons := s.start(c, mux())
	s.sendAll(p, topic, "seen")
	in.bodies(1)
	s.send(p, message.New(topic, []byte("fails")))
	s.wait(failed, "the first attempt")
	if err := cons.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	s.send(p, message.New(topic, []byte("level"), delay.Level(2)))
	s.send(p, message.New(topic, []byte("timer"), delay.After(3*time.Second)))
	if _, err := kind.Send(s.soon(), p, message.New(topic, []byte("half")), local(errBoom)); !errors.Is(err, errBoom) {
		s.Fatal(err)
	}
	s.sendAll(p, topic, "unread")
	s.restart()
	s.start(s.open(), mux())
	if diff := cmp.Diff([]string{"fails", "half", "level", "timer", "unread"}, in.bodies(5)); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
	s.quiet(100 * time.Millisecond)
	in.none() // what was seen before does not come again
}

// restartUnderLoad: sends go on while the server restarts; each has one outcome,
// and what was acknowledged arrives.
func restartUnderLoad(s *stand) {
	const senders = 4
	c, topic := s.open(), s.topic()
	p := s.producer(c, producer.SendTimeout(3*time.Second))
	in := s.receive(c, topic)
	stop, half := make(chan struct{}), make(chan struct{}, senders)
	type report struct {
		acked   []string
		unknown int
		wrong   []error
	}
	reports := make(chan report, senders)
	for w := range senders {
		go func() {
			var r report
			defer func() { reports <- r }()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if i == 50 {
					half <- struct{}{}
				}
				res, err := p.Send(s.Context(), message.New(topic, fmt.Append(nil, w, " ", i)))
				switch {
				case err == nil:
					r.acked = append(r.acked, res.MessageID)
				case errors.Is(err, message.ErrOutcomeUnknown) && !message.SafeToRetry(err):
					r.unknown++
				case !message.SafeToRetry(err):
					r.wrong = append(r.wrong, err)
				}
			}
		}()
	}
	for range senders {
		s.wait(half, "sends before the restart")
	}
	s.restart()
	again := s.producer(s.open())
	s.eventually("sends after the restart", func() bool {
		_, err := again.Send(s.soon(), message.New(topic, []byte("again")))
		return err == nil
	})
	s.quiet(200 * time.Millisecond)
	close(stop)
	var acked []string
	for range senders {
		r := <-reports
		acked = append(acked, r.acked...)
		for _, err := range r.wrong {
			s.Errorf("a send ended with %v: neither safe to retry nor of unknown outcome", err)
		}
	}
	missing := map[string]bool{}
	for _, id := range acked {
		missing[id] = true
	}
	ctx := s.soon()
	for len(missing) > 0 {
		select {
		case d := <-in.ch:
			delete(missing, d.ID)
		case <-ctx.Done():
			s.Fatalf("%d of %d acknowledged messages did not arrive", len(missing), len(acked))
		}
	}
}
