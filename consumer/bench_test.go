package consumer_test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// noop is a driver that only counts: it delivers in pulls of 32 and keeps at most
// 1000 messages unsettled, as the real ones do.
type noop struct {
	sink driver.Sink

	mu   sync.Mutex // guards the following
	free *sync.Cond
	out  int
}

func (n *noop) Name() string                      { return "noop" }
func (n *noop) Capabilities() driver.Capabilities { return driver.Capabilities{} }
func (n *noop) Close(context.Context) error       { return nil }
func (n *noop) NewSender(driver.SenderConfig) (driver.Sender, error) {
	return nil, message.ErrUnsupported
}
func (n *noop) Start(context.Context) error { return nil }
func (n *noop) Drain(context.Context) error { return nil }
func (n *noop) Stop(context.Context) error  { return nil }
func (n *noop) NewSubscription(_ driver.SubscriptionConfig, s driver.Sink) (driver.Subscription, error) {
	n.free = sync.NewCond(&n.mu)
	n.sink = s
	return n, nil
}

func (n *noop) Settle(*message.Delivery, driver.Verdict) {
	n.mu.Lock()
	n.out--
	if n.out == 0 || n.out == 512 {
		n.free.Signal()
	}
	n.mu.Unlock()
}

// feed delivers count messages and waits until they are settled.
func (n *noop) feed(ctx context.Context, pull []*message.Delivery, count int) {
	for count > 0 {
		k := min(count, len(pull))
		count -= k
		n.mu.Lock()
		for n.out+k > 1000 {
			n.free.Wait()
		}
		n.out += k
		n.mu.Unlock()
		n.sink.Deliver(ctx, n, pull[:k])
	}
	n.mu.Lock()
	for n.out > 0 {
		n.free.Wait()
	}
	n.mu.Unlock()
}

func pullOf32() []*message.Delivery {
	pull := make([]*message.Delivery, 32)
	for i := range pull {
		pull[i] = msg("7F0000010001", "orders", "paid", "Hello rocketmq = 128 bytes or so of a body that a payment service would send to its consumers, as text, for a benchmark …")
	}
	return pull
}

// dispatch makes a started consumer with one typed string handler over a noop
// driver.
func dispatch(b testing.TB, opts ...consumer.HandlerOption) (*noop, *consumer.Consumer) {
	b.Helper()
	mux := consumer.NewMux("bench")
	consumer.Handle(mux, "orders", func(context.Context, string) error { return nil }, opts...)
	drv := &noop{}
	return drv, start(b, drv, mux)
}

func BenchmarkDispatch(b *testing.B) {
	queue, cancel := context.WithCancel(context.Background())
	defer cancel()
	drv, _ := dispatch(b)
	pull := pullOf32()
	b.ReportAllocs()
	b.ResetTimer()
	drv.feed(queue, pull, b.N)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// A typed string handler costs two allocations a message: one for its ctx and
// value, one for the string.
func TestAMessageCostsTwoAllocations(t *testing.T) {
	queue, cancel := context.WithCancel(context.Background())
	defer cancel()
	drv, _ := dispatch(t)
	pull := pullOf32()
	const messages = 20_000
	drv.feed(queue, pull, messages) // the workers have started, the ring has grown
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	drv.feed(queue, pull, messages)
	runtime.ReadMemStats(&after)
	if per := float64(after.Mallocs-before.Mallocs) / messages; per > 2.1 {
		t.Errorf("%.2f allocations a message, want 2", per)
	}
}
