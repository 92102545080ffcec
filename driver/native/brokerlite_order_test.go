package native_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/driver/native"
	"github.com/rocketkit/rocketkit/message"
)

// wire is a client's network, which can be cut for this client alone.
type wire struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu    sync.Mutex // guards the following
	conns []net.Conn
	cut   bool
}

func (w *wire) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return nil, errors.New("the wire is cut")
	}
	c, err := w.dial(ctx, network, addr)
	if err == nil {
		w.conns = append(w.conns, c)
	}
	return c, err
}

// pull ends every connection and lets no other be made.
func (w *wire) pull() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for _, c := range w.conns {
		_ = c.Close() // it may have ended
	}
}

// ordered watches what all members of an ordered group do.
type ordered struct {
	t *testing.T

	mu   sync.Mutex                      // guards the following
	busy map[message.Queue]string        // who handles a message of the queue
	last map[message.Queue]int64         // the highest offset that was handled
	done map[message.Queue]map[int64]int // how often
	who  map[message.Queue][]string      // who handled, without repetition
}

func watchOrder(t *testing.T) *ordered {
	return &ordered{t: t, busy: map[message.Queue]string{}, last: map[message.Queue]int64{}, done: map[message.Queue]map[int64]int{}, who: map[message.Queue][]string{}}
}

// orderedMember is a sink that takes 100 ms for each message.
type orderedMember struct {
	o    *ordered
	name string
	w    *wire
	sub  driver.Subscription
}

func (m *orderedMember) Deliver(ctx context.Context, s driver.Settler, ds []*message.Delivery) {
	for _, d := range ds {
		go m.handle(ctx, s, d)
	}
}

func (m *orderedMember) handle(ctx context.Context, s driver.Settler, d *message.Delivery) {
	o := m.o
	o.mu.Lock()
	if other := o.busy[d.Queue]; other != "" {
		o.t.Errorf("offset %d of queue %d is handled by %s while %s handles the queue", d.QueueOffset, d.Queue.ID, m.name, other)
	}
	o.busy[d.Queue] = m.name
	if o.done[d.Queue] == nil {
		o.done[d.Queue], o.last[d.Queue] = map[int64]int{}, -1
	}
	// What comes again may begin further back, but goes on without a gap.
	if d.QueueOffset > o.last[d.Queue]+1 {
		o.t.Errorf("offset %d of queue %d came after %d", d.QueueOffset, d.Queue.ID, o.last[d.Queue])
	}
	if who := o.who[d.Queue]; len(who) == 0 || who[len(who)-1] != m.name {
		o.who[d.Queue] = append(who, m.name)
	}
	o.mu.Unlock()
	v := driver.Verdict{Action: driver.ActionAck}
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
		v = driver.Verdict{}
	}
	o.mu.Lock()
	o.busy[d.Queue] = ""
	if v.Action == driver.ActionAck {
		o.done[d.Queue][d.QueueOffset]++
		o.last[d.Queue] = max(o.last[d.Queue], d.QueueOffset)
	}
	o.mu.Unlock()
	s.Settle(d, v)
}

func (o *ordered) join(s *server, name string) *orderedMember {
	s.t.Helper()
	m := &orderedMember{o: o, name: name, w: &wire{dial: s.net.Dial}}
	d, err := native.Factory(s.t.Context(), driver.Config{
		NameServers: s.b.NameServers(), Dial: m.w.Dial, InstanceName: name,
		Logger: slog.New(slog.NewTextHandler(s.t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	m.sub, err = d.NewSubscription(driver.SubscriptionConfig{
		Group: "group", From: driver.FromFirst, Ordered: true, Topics: []driver.TopicFilter{{Topic: "orders"}},
	}, m)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := m.sub.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(m.sub.Stop(ctx), d.Close(ctx)); err != nil {
			s.t.Error(err)
		}
	})
	return m
}

// check says whether all of n messages in each queue were handled, and counts those
// that were handled again.
func (o *ordered) check(n int) (again int) {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.done) != 4 {
		o.t.Errorf("messages of %d queues were handled, want 4", len(o.done))
	}
	for q, done := range o.done {
		for i := range int64(n) {
			if done[i] == 0 {
				o.t.Errorf("offset %d of queue %d was not handled", i, q.ID)
			}
			again += max(done[i]-1, 0)
		}
	}
	return again
}

func (s *server) fill(snd driver.Sender, each int) {
	s.t.Helper()
	for i := range 4 * each {
		if _, err := s.send(snd, i, message.New("orders", []byte(strconv.Itoa(i)))); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Members come and go: each queue is one member's at a time, goes on without a gap,
// and nothing is handled twice.
func TestOrderIsKeptWhileMembersComeAndGo(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		snd := s.sender(driver.SenderConfig{})
		s.fill(snd, 200)
		o := watchOrder(t)
		first := o.join(s, "first")
		pass(5 * time.Second)
		second := o.join(s, "second")
		pass(5 * time.Second)
		o.join(s, "third")
		pass(5 * time.Second)
		if err := second.sub.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		pass(2 * time.Second)
		if err := first.sub.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		pass(time.Minute)
		if again := o.check(200); again > 0 {
			t.Errorf("%d messages were handled again", again)
		}
		moved := 0
		for _, who := range o.who {
			moved += len(who) - 1
		}
		if moved < 4 {
			t.Errorf("queues moved %d times: %v", moved, o.who)
		}
	})
}

// A member that is cut off has its queues until its locks end, a minute after it took
// them last; it stops by itself before that.
func TestOrderIsKeptWhenAMemberIsCutOff(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		snd := s.sender(driver.SenderConfig{})
		s.fill(snd, 600)
		o := watchOrder(t)
		first := o.join(s, "first")
		o.join(s, "second")
		pass(10 * time.Second)
		owned := map[message.Queue]bool{}
		o.mu.Lock()
		for q, who := range o.who {
			owned[q] = who[len(who)-1] == "first"
		}
		o.mu.Unlock()
		first.w.pull()
		pass(35 * time.Second)
		o.mu.Lock()
		for q, who := range o.busy {
			if who == "first" {
				t.Errorf("queue %d is at work without a lock", q.ID)
			}
			if owned[q] && who == "second" {
				t.Errorf("queue %d moved before its lock ended", q.ID)
			}
		}
		o.mu.Unlock()
		pass(3 * time.Minute)
		again := o.check(600)
		moved := 0
		for q := range owned {
			if owned[q] && o.who[q][len(o.who[q])-1] == "second" {
				moved++
			}
		}
		if moved != 2 {
			t.Errorf("%d queues moved to the second member, want 2: %v", moved, o.who)
		}
		// It handled what it had pulled until its locks could no longer be trusted, and
		// committed none of that: some 35 s of 10 a second.
		if again > 2*360 {
			t.Errorf("%d messages were handled again", again)
		}
	})
}
