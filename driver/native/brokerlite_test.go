package native_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/driver/native"
	"github.com/rocketkit/rocketkit/message"
)

// These tests run the driver against a whole server in virtual time. What the
// same code does on Apache's servers is held by package conformance.

// server is a broker-lite in a bubble.
type server struct {
	t   *testing.T
	b   *brokerlite.Broker
	net *brokerlite.Network

	creds     driver.Credentials // of clients that open from now on
	namespace string             // the same
	log       io.Writer          // the same; nil for the test's output
}

// withServer runs a test in virtual time, beside a server.
func withServer(t *testing.T, f func(t *testing.T, s *server), opts ...brokerlite.Option) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		net := brokerlite.NewNetwork()
		b, err := brokerlite.Start(t.Context(), append(opts, brokerlite.InMemory(), brokerlite.VirtualNetwork(net))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		f(t, &server{t: t, b: b, net: net})
	})
}

func (s *server) open() driver.Driver {
	s.t.Helper()
	log := s.log
	if log == nil {
		log = s.t.Output()
	}
	d, err := native.Factory(s.t.Context(), driver.Config{
		NameServers: s.b.NameServers(), Dial: s.net.Dial, Credentials: s.creds, Namespace: s.namespace,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			s.t.Error(err)
		}
	})
	return d
}

func (s *server) sender(cfg driver.SenderConfig) driver.Transactor {
	s.t.Helper()
	if cfg.Group == "" {
		cfg.Group = "producers"
	}
	snd, err := s.open().NewSender(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := snd.Close(context.Background()); err != nil {
			s.t.Error(err)
		}
	})
	return snd.(driver.Transactor)
}

// send sends to the queues of a topic in turn.
func (s *server) send(snd driver.Sender, i int, m *message.Message) (driver.Receipt, error) {
	s.t.Helper()
	qs, err := snd.Queues(s.t.Context(), m.Topic)
	if err != nil {
		return driver.Receipt{}, err
	}
	type result struct {
		r   driver.Receipt
		err error
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Second)
	defer cancel()
	ch := make(chan result, 1)
	snd.SendTo(ctx, qs[i%len(qs)], &driver.Outgoing{Message: m, ID: snd.NewID()}, func(r driver.Receipt, err error) { ch <- result{r, err} })
	got := <-ch
	return got.r, got.err
}

// received is what a member of a group got.
type received struct {
	*message.Delivery
	at time.Time
}

// member is one member of a group; verdict decides about each delivery.
type member struct {
	driver.Subscription
	verdict func(*message.Delivery) driver.Verdict

	mu  sync.Mutex // guards the following
	got []received
}

func (m *member) Deliver(_ context.Context, s driver.Settler, ds []*message.Delivery) {
	for _, d := range ds {
		m.mu.Lock()
		m.got = append(m.got, received{d, time.Now()})
		m.mu.Unlock()
		v := driver.Verdict{Action: driver.ActionAck}
		if m.verdict != nil {
			v = m.verdict(d)
		}
		s.Settle(d, v)
	}
}

func (m *member) all() []received {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]received(nil), m.got...)
}

func (s *server) join(group string, topics []string, verdict func(*message.Delivery) driver.Verdict, change ...func(*driver.SubscriptionConfig)) *member {
	s.t.Helper()
	cfg := driver.SubscriptionConfig{Group: group, From: driver.FromFirst}
	for _, t := range topics {
		cfg.Topics = append(cfg.Topics, driver.TopicFilter{Topic: t})
	}
	for _, f := range change {
		f(&cfg)
	}
	m := &member{verdict: verdict}
	sub, err := s.open().NewSubscription(cfg, m)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := sub.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := sub.Stop(context.Background()); err != nil {
			s.t.Error(err)
		}
	})
	m.Subscription = sub
	return m
}

// pass lets virtual time go on and everything settle.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// The whole schedule of RocketMQ: 17 deliveries in 4 h 45 m 40 s, then the dead
// letters.
func TestSixteenRetriesEndInTheDeadLetters(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		m := s.join("group", []string{"orders"}, func(*message.Delivery) driver.Verdict { return driver.Verdict{} })
		dead := s.join("group_dlq", []string{message.DLQTopic("group")}, nil)
		if _, err := s.send(s.sender(driver.SenderConfig{}), 0, message.New("orders", []byte("x"), message.Tag("t"))); err != nil {
			t.Fatal(err)
		}
		pass(4*time.Hour + 47*time.Minute)
		got := m.all()
		if len(got) != 17 {
			t.Fatalf("%d deliveries, want 17", len(got))
		}
		levels := []string{"10s", "30s", "1m", "2m", "3m", "4m", "5m", "6m", "7m", "8m", "9m", "10m", "20m", "30m", "1h", "2h"}
		var waits []string
		for i := 1; i < len(got); i++ {
			d := got[i].at.Sub(got[i-1].at).Round(time.Second).String()
			waits = append(waits, strings.TrimSuffix(strings.TrimSuffix(d, "0s"), "0m"))
			if got[i].ID != got[0].ID || got[i].ReconsumeTimes != i || got[i].Topic != "orders" || got[i].Tag != "t" {
				t.Errorf("attempt %d: %+v", i, got[i].Delivery)
			}
		}
		for i, l := range levels {
			want, err := time.ParseDuration(l)
			if err != nil {
				t.Fatal(err)
			}
			if d := got[i+1].at.Sub(got[i].at); d < want || d > want+2*time.Second {
				t.Errorf("retry %d after %s, want %s", i+1, d, want)
			}
		}
		if d := dead.all(); len(d) != 1 || d[0].ID != got[0].ID || d[0].OriginTopic() != "orders" || d[0].OriginID() != got[0].OffsetID {
			t.Errorf("dead letters: %+v (waits %v)", d, waits)
		}
	})
}

func TestTransactionsAndTheirChecks(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		var mu sync.Mutex
		checked := make(map[string]int)
		snd := s.sender(driver.SenderConfig{Check: func(_ context.Context, d *message.Delivery) driver.TxState {
			mu.Lock()
			defer mu.Unlock()
			checked[string(d.Body)]++
			switch {
			case string(d.Body) == "undone":
				return driver.TxRollback
			case checked[string(d.Body)] < 3:
				return driver.TxUnknown // asked again
			}
			return driver.TxCommit
		}})
		m := s.join("group", []string{"orders"}, nil)
		for body, state := range map[string]driver.TxState{
			"commit": driver.TxCommit, "rollback": driver.TxRollback, "open": driver.TxUnknown, "undone": driver.TxUnknown,
		} {
			_, got, err := snd.SendTx(t.Context(), message.Queue{}, &driver.Outgoing{Message: message.New("orders", []byte(body)), ID: snd.NewID()},
				func(context.Context, driver.Receipt) driver.TxState { return state })
			if err != nil || got != state {
				t.Errorf("%s: %v, %v", body, got, err)
			}
		}
		pass(10 * time.Minute)
		bodies := make(map[string]int)
		for _, d := range m.all() {
			bodies[string(d.Body)]++
		}
		if diff := cmp.Diff(map[string]int{"commit": 1, "open": 1}, bodies); diff != "" {
			t.Errorf("delivered: %s", diff)
		}
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(map[string]int{"open": 3, "undone": 1}, checked); diff != "" {
			t.Errorf("checked: %s", diff)
		}
	})
}

// Members come and go, and the network fails, while messages flow: none is lost,
// and those who leave orderly cause no repetition.
func TestNothingIsLostWhileMembersComeAndGo(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		snd := s.sender(driver.SenderConfig{})
		sent := make(map[string]bool)
		burst := func() {
			for i := range 50 {
				if r, err := s.send(snd, i, message.New("orders", fmt.Appendf(nil, "%d", len(sent)))); err != nil {
					t.Errorf("%+v, %v", r, err)
				} else {
					sent[fmt.Sprint(len(sent))] = true
				}
			}
			pass(3 * time.Second)
		}
		var members []*member
		repeated := func() (lost, again int) {
			got := make(map[string]int)
			for _, m := range members {
				for _, d := range m.all() {
					got[string(d.Body)]++
				}
			}
			for body := range sent {
				if got[body] == 0 {
					lost++
				}
				again += max(got[body]-1, 0)
			}
			return lost, again
		}
		burst()
		for range 3 {
			members = append(members, s.join("group", []string{"orders"}, nil))
			burst()
		}
		if err := members[0].Drain(t.Context()); err != nil {
			t.Error(err)
		}
		burst()
		if lost, again := repeated(); lost+again > 0 {
			t.Errorf("%d of %d lost, %d repeated", lost, len(sent), again)
		}
		s.net.Cut(s.b.Addr())
		pass(5 * time.Second)
		s.net.Restore(s.b.Addr())
		pass(5 * time.Second)
		burst()
		pass(30 * time.Second)
		if lost, _ := repeated(); lost > 0 {
			t.Errorf("%d of %d lost after the network failed", lost, len(sent))
		}
	})
}

func TestGoesOnWhereTheGroupLeft(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		snd := s.sender(driver.SenderConfig{})
		var last *member
		for round := range 3 {
			for i := range 20 {
				if _, err := s.send(snd, i, message.New("orders", fmt.Appendf(nil, "round %d", round))); err != nil {
					t.Fatal(err)
				}
			}
			last = s.join("group", []string{"orders"}, nil)
			pass(5 * time.Second)
			for _, d := range last.all() {
				if string(d.Body) != fmt.Sprintf("round %d", round) {
					t.Errorf("round %d received %q", round, d.Body)
				}
			}
			if n := len(last.all()); n != 20 {
				t.Errorf("round %d received %d of 20", round, n)
			}
			if err := last.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestBatchesAndOnewayArrive(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		snd := s.sender(driver.SenderConfig{})
		m := s.join("group", []string{"orders"}, nil, func(cfg *driver.SubscriptionConfig) { cfg.Topics[0].Expression = "a || b" })
		qs, err := snd.Queues(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		var ms []*driver.Outgoing
		for i, tag := range []string{"a", "b", "c"} {
			ms = append(ms, &driver.Outgoing{Message: message.New("orders", fmt.Appendf(nil, "%d", i), message.Tag(tag), message.Key("k")), ID: snd.NewID()})
		}
		ch := make(chan error, 1)
		snd.SendBatchTo(t.Context(), qs[0], ms, func(r driver.Receipt, err error) {
			if n := len(strings.Split(r.OffsetMessageID, ",")); n != 3 {
				t.Errorf("%d ids: %q", n, r.OffsetMessageID)
			}
			ch <- err
		})
		if err := <-ch; err != nil {
			t.Fatal(err)
		}
		one := &driver.Outgoing{Message: message.New("orders", []byte("oneway"), message.Tag("a")), ID: snd.NewID()}
		if err := snd.SendOneway(t.Context(), qs[1], one); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)
		got := make(map[string]string)
		for _, d := range m.all() {
			got[string(d.Body)] = d.ID
		}
		want := map[string]string{"0": ms[0].ID, "1": ms[1].ID, "oneway": one.ID}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
