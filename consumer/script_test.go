package consumer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is a driver that delivers what a test tells it to, and holds the
// seam's contract against the consumer: every delivered message is settled
// exactly once, and what is settled after a revocation does not count.
type scripted struct {
	caps    driver.Capabilities
	refuse  map[string]error // NewSubscription's, by group
	startup error            // Start's

	mu   sync.Mutex // guards the following
	subs []*subscription
}

func newScripted() *scripted {
	return &scripted{caps: driver.Capabilities{ExactRetryDelay: true, Ordered: true, Broadcast: true}}
}

func (s *scripted) Name() string                      { return "scripted" }
func (s *scripted) Capabilities() driver.Capabilities { return s.caps }
func (s *scripted) Close(context.Context) error       { return nil }
func (s *scripted) NewSender(driver.SenderConfig) (driver.Sender, error) {
	return nil, errors.New("the scripted driver does not send")
}

func (s *scripted) NewSubscription(cfg driver.SubscriptionConfig, sink driver.Sink) (driver.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse[cfg.Group]; err != nil {
		return nil, err
	}
	sub := &subscription{cfg: cfg, sink: sink, startup: s.startup}
	sub.changed = sync.NewCond(&sub.mu)
	s.subs = append(s.subs, sub)
	return sub, nil
}

// sub returns the subscription of a group.
func (s *scripted) sub(t testing.TB, group string) *subscription {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		if sub.cfg.Group == group {
			sub.t = t
			return sub
		}
	}
	t.Fatalf("nobody subscribed for group %q", group)
	return nil
}

type subscription struct {
	t       testing.TB
	cfg     driver.SubscriptionConfig
	sink    driver.Sink
	startup error
	trouble error // Assigned's

	mu      sync.Mutex // guards the following
	changed *sync.Cond
	calls   []string // Start, Drain, Stop
	queues  []*queue
}

func (s *subscription) Assigned() ([]message.Queue, error) { return nil, s.trouble }

// queue is one assigned queue; its settler checks the contract.
type queue struct {
	sub    *subscription
	ctx    context.Context
	revoke context.CancelFunc

	// guarded by sub.mu
	out     map[*message.Delivery]bool
	settled []settled
}

// settled is one message's outcome that counted.
type settled struct {
	ID      string
	Verdict driver.Verdict
}

func (s *subscription) record(call string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
}

func (s *subscription) Start(context.Context) error { s.record("Start"); return s.startup }

func (s *subscription) Drain(ctx context.Context) error {
	s.record("Drain")
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})()
	s.mu.Lock()
	for s.unsettled() > 0 && ctx.Err() == nil {
		s.changed.Wait()
	}
	left := s.unsettled()
	s.mu.Unlock()
	s.revokeAll()
	if left > 0 {
		return fmt.Errorf("%d messages left: %w", left, context.Cause(ctx))
	}
	return nil
}

func (s *subscription) Stop(context.Context) error {
	s.record("Stop")
	s.revokeAll()
	return nil
}

func (s *subscription) revokeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		q.revoke()
	}
}

// unsettled counts messages whose settlement would count. mu is held.
func (s *subscription) unsettled() int {
	n := 0
	for _, q := range s.queues {
		if q.ctx.Err() == nil {
			n += len(q.out)
		}
	}
	return n
}

// assign adds a queue.
func (s *subscription) assign() *queue {
	q := &queue{sub: s, out: make(map[*message.Delivery]bool)}
	q.ctx, q.revoke = context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues = append(s.queues, q)
	return q
}

// deliver hands messages to the consumer. Their queue and group are filled in.
func (q *queue) deliver(ds ...*message.Delivery) {
	q.sub.mu.Lock()
	for _, d := range ds {
		d.Group = q.sub.cfg.Group
		if d.Queue == (message.Queue{}) {
			d.Queue = message.Queue{Topic: d.Topic, Broker: "broker-a"}
		}
		q.out[d] = true
	}
	q.sub.mu.Unlock()
	q.sub.sink.Deliver(q.ctx, q, ds)
}

func (q *queue) Settle(d *message.Delivery, v driver.Verdict) {
	q.sub.mu.Lock()
	defer q.sub.mu.Unlock()
	if !q.out[d] {
		q.sub.t.Errorf("message %s was settled twice, or was never delivered; now with %+v", d.ID, v)
	}
	delete(q.out, d)
	if q.ctx.Err() == nil {
		q.settled = append(q.settled, settled{d.ID, v})
	}
	q.sub.changed.Broadcast()
}

// await waits until n settlements counted and returns them in order.
func (q *queue) await(n int) []settled {
	q.sub.mu.Lock()
	defer q.sub.mu.Unlock()
	for len(q.settled) < n {
		q.sub.changed.Wait()
	}
	return append([]settled(nil), q.settled...)
}

// idle waits until nothing is out, counted or not.
func (q *queue) idle() []settled {
	q.sub.mu.Lock()
	defer q.sub.mu.Unlock()
	for len(q.out) > 0 {
		q.sub.changed.Wait()
	}
	return append([]settled(nil), q.settled...)
}

func msg(id, topic, tag, body string) *message.Delivery {
	return &message.Delivery{ID: id, Topic: topic, Tag: tag, Body: []byte(body)}
}

// lines is a log that tests can read.
type lines struct {
	mu  sync.Mutex // guards the following
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// records returns what was logged so far. Stacks are shortened to whether there
// was one.
func (l *lines) records(t testing.TB) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []map[string]any
	for dec := json.NewDecoder(bytes.NewReader(l.buf.Bytes())); dec.More(); {
		var r map[string]any
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if s, ok := r["stack"].(string); ok {
			r["stack"] = s != ""
		}
		all = append(all, r)
	}
	return all
}

// start makes and starts a consumer, and stops it at the end of the test.
func start(t testing.TB, drv driver.Driver, mux *consumer.Mux, opts ...consumer.GroupOption) *consumer.Consumer {
	t.Helper()
	c, err := consumer.New(drv, mux, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil && !errors.Is(err, consumer.ErrUnfinished) {
			t.Error(err)
		}
	})
	return c
}
