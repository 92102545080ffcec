package rocketkittest

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/admin"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// Server is broker-lite, for one test.
type Server struct {
	*brokerlite.Broker

	bubble bool // it and its test are in a testing/synctest bubble
	client *rocketkit.Client
	admin  *admin.Client
	send   *producer.Producer

	mu    sync.Mutex              // guards the following
	clock *brokerlite.ManualClock // nil in a bubble
	ahead time.Duration           // by which Advance has moved the clock before real time
}

// Start starts a server in memory that ends with the test. In a testing/synctest bubble it
// serves on a network in memory; outside of one on free ports of the loopback interface, so
// that tests may be parallel. opts come on top, but it stays in memory and keeps its clock.
func Start(t testing.TB, opts ...brokerlite.Option) *Server {
	t.Helper()
	s := &Server{bubble: inBubble()}
	all := []brokerlite.Option{brokerlite.InMemory(), brokerlite.WithLogger(logger(t))}
	if s.bubble {
		all = append(all, brokerlite.VirtualNetwork(brokerlite.NewNetwork()))
	}
	all = append(all, opts...)
	if !s.bubble {
		s.clock = brokerlite.NewManualClock(time.Now())
		all = append(all, brokerlite.WithClock(s.clock))
	}
	var err error
	if s.Broker, err = brokerlite.Start(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("the server does not end well: %v", err)
		}
	})
	s.client = s.Client(t)
	if s.admin, err = s.client.Admin(); err != nil {
		t.Fatal(err)
	}
	if s.send, err = s.client.NewProducer("rocketkittest"); err != nil {
		t.Fatal(err)
	}
	return s
}

// inBubble says whether the caller is in a bubble. Package synctest does not tell, but its
// Wait panics where there is none.
func inBubble() (in bool) {
	defer func() { in = recover() == nil }()
	synctest.Wait()
	return true
}

// logger tells what goes wrong beside the output of the test.
func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// Client opens a client of the server that ends with the test. It logs warnings to the test's
// output unless opts say otherwise.
func (s *Server) Client(t testing.TB, opts ...rocketkit.Option) *rocketkit.Client {
	t.Helper()
	cfg := rocketkit.Config{NameServers: s.NameServers()}
	c, err := rocketkit.Open(t.Context(), cfg, append([]rocketkit.Option{rocketkit.WithDial(s.Dial), rocketkit.WithLogger(logger(t))}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("a client does not end well: %v", err)
		}
	})
	return c
}

// Consume starts a consumer of the handlers in mux, on a client of its own, and drains it when
// the test ends.
func (s *Server) Consume(t testing.TB, mux *consumer.Mux, opts ...consumer.GroupOption) *consumer.Consumer {
	t.Helper()
	c, err := s.Client(t).NewConsumer(mux, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// Send sends a message, and fails the test when that fails.
func (s *Server) Send(t testing.TB, m *message.Message) message.SendResult {
	t.Helper()
	r, err := s.send.Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Advance lets the time d pass. In a bubble that is the bubble's time, and everything has come
// to rest when Advance returns. Outside of one it is the server's clock: what falls due is
// stored when Advance returns, and then on its way to the handlers. That clock shows the real
// time and what it has been advanced by, as of the last Advance, and stands still until the
// next.
func (s *Server) Advance(d time.Duration) {
	if s.bubble {
		synctest.Wait()
		time.Sleep(d)
		synctest.Wait()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
	s.clock.Advance(time.Now().Add(s.ahead).Sub(s.clock.Now()))
}

// Codes of the requests that tests break most, for Break and brokerlite.Match. The other forms
// of a request, such as a batch's, are meant too.
const (
	Send     = 310 // SEND_MESSAGE_V2
	Pull     = 11  // PULL_MESSAGE
	Commit   = 15  // UPDATE_CONSUMER_OFFSET
	SendBack = 36  // CONSUMER_SEND_MSG_BACK, by which a failed message comes again later
	EndTx    = 37  // END_TRANSACTION, a commit or a rollback
)

// Break makes requests to the server go wrong, until the test ends or stop is called:
//
//	mq.Break(t, brokerlite.Match{Code: rocketkittest.Send, Topic: "orders"}, brokerlite.Answer(2, "busy").Times(3))
//
// The test fails when no such request has come by then, since it has tested nothing.
func (s *Server) Break(t testing.TB, m brokerlite.Match, r brokerlite.Reaction) (stop func()) {
	t.Helper()
	var met, ended atomic.Bool
	forget := s.Intercept(func(req brokerlite.Request) (brokerlite.Reaction, bool) {
		if m.Matches(req) {
			met.Store(true)
		}
		return brokerlite.Reaction{}, false
	})
	mend := s.Fault(m, r)
	stop = func() {
		t.Helper()
		if ended.Swap(true) {
			return
		}
		mend()
		forget()
		if !met.Load() {
			t.Errorf("nothing was broken: no request came that matches %+v", m)
		}
	}
	t.Cleanup(stop)
	return stop
}
