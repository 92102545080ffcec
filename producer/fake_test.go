package producer_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a driver that answers as a test says: for the exact sequences of
// failures that no real server can be made to produce. It is also what holds
// the seam's contract as package producer relies on it. What a real server can
// do is tested with one.
type script struct {
	caps   driver.Capabilities
	queues func(topic string) ([]message.Queue, error)
	// send answers one attempt, on a goroutine of its own like a connection's
	// reader; it may wait.
	send   func(ctx context.Context, q message.Queue, ms []*driver.Outgoing) (driver.Receipt, error)
	inline bool // answer on the sender's goroutine instead

	afterLocal error // ends a SendTx whose local has run

	ids    atomic.Int64
	closed atomic.Int32
	wg     sync.WaitGroup

	mu    sync.Mutex // guards the following
	tries []try
	cfg   driver.SenderConfig
}

type try struct {
	queue message.Queue
	ids   []string
	extra []driver.Property
}

func queuesOf(brokers ...string) func(string) ([]message.Queue, error) {
	return func(topic string) ([]message.Queue, error) {
		var qs []message.Queue
		for _, b := range brokers {
			qs = append(qs, message.Queue{Topic: topic, Broker: b, ID: 0}, message.Queue{Topic: topic, Broker: b, ID: 1})
		}
		return qs, nil
	}
}

func newScript(brokers ...string) *script {
	return &script{
		caps:   driver.Capabilities{Batch: true, Transactions: true, TimerMessages: true},
		queues: queuesOf(brokers...),
		send: func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
			return driver.Receipt{QueueOffset: 7, Addr: "127.0.0.1:10911"}, nil
		},
	}
}

func (s *script) Name() string                      { return "script" }
func (s *script) Capabilities() driver.Capabilities { return s.caps }
func (s *script) Close(context.Context) error       { return nil }

func (s *script) NewSubscription(driver.SubscriptionConfig, driver.Sink) (driver.Subscription, error) {
	return nil, message.ErrUnsupported
}

func (s *script) NewSender(cfg driver.SenderConfig) (driver.Sender, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg = cfg
	return &scriptSender{s}, nil
}

// tried returns the attempts so far.
func (s *script) tried() []try {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]try(nil), s.tries...)
}

func (s *script) brokers() []string {
	var names []string
	for _, t := range s.tried() {
		names = append(names, t.queue.Broker)
	}
	return names
}

type scriptSender struct{ *script }

func (s *scriptSender) NewID() string { return "ID" + strconv.FormatInt(s.ids.Add(1), 10) }

func (s *scriptSender) Queues(_ context.Context, topic string) ([]message.Queue, error) {
	return s.queues(topic)
}

func (s *scriptSender) record(q message.Queue, ms []*driver.Outgoing) {
	t := try{queue: q}
	for _, m := range ms {
		t.ids = append(t.ids, m.ID)
		t.extra = append(t.extra, m.Extra...)
	}
	s.mu.Lock()
	s.tries = append(s.tries, t)
	s.mu.Unlock()
}

func (s *scriptSender) SendTo(ctx context.Context, q message.Queue, m *driver.Outgoing, done func(driver.Receipt, error)) {
	s.SendBatchTo(ctx, q, []*driver.Outgoing{m}, done)
}

func (s *scriptSender) SendBatchTo(ctx context.Context, q message.Queue, ms []*driver.Outgoing, done func(driver.Receipt, error)) {
	s.record(q, ms)
	answer := func() {
		r, err := s.send(ctx, q, ms)
		r.QueueID = q.ID
		done(r, err)
	}
	if s.inline {
		answer()
		return
	}
	s.wg.Go(answer)
}

func (s *scriptSender) SendOneway(ctx context.Context, q message.Queue, m *driver.Outgoing) error {
	s.record(q, []*driver.Outgoing{m})
	_, err := s.send(ctx, q, []*driver.Outgoing{m})
	return err
}

func (s *scriptSender) SendTx(ctx context.Context, q message.Queue, m *driver.Outgoing, local func(context.Context, driver.Receipt) driver.TxState) (driver.Receipt, driver.TxState, error) {
	s.record(q, []*driver.Outgoing{m})
	r, err := s.send(ctx, q, []*driver.Outgoing{m})
	if err != nil {
		return r, driver.TxUnknown, err
	}
	return r, local(ctx, r), s.afterLocal
}

func (s *scriptSender) Close(context.Context) error {
	s.closed.Add(1)
	s.wg.Wait()
	return nil
}

// start makes a producer that ends with the test.
func start(t testing.TB, d driver.Driver, opts ...producer.Option) *producer.Producer {
	t.Helper()
	p, err := producer.New(d, "pay_group", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

func refusal(code int, name string) error {
	return &message.BrokerError{Code: code, Name: name, Op: "send"}
}

func unknown(cause error) error {
	return &message.UnknownOutcomeError{Op: "send", Broker: "a", Err: cause}
}

func unreachable() error {
	return &message.AddrError{Broker: "a", Addr: "127.0.0.1:1", Err: context.DeadlineExceeded}
}

func msg(opts ...message.Option) *message.Message {
	return message.New("orders", []byte("hello"), opts...)
}
