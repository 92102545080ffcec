package producer_test

import (
	"context"
	"sync"
	"testing"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// noop answers at once and allocates nothing, so that what is measured is the
// framework's own.
type noop struct {
	scriptSender
	queues []message.Queue
}

func newNoop() *noop {
	s := newScript("a", "b")
	qs, _ := s.queues("orders")
	return &noop{scriptSender{s}, qs}
}

func (n *noop) NewSender(driver.SenderConfig) (driver.Sender, error) { return n, nil }
func (n *noop) NewID() string                                        { return "0A000001000100000001" }
func (n *noop) Queues(context.Context, string) ([]message.Queue, error) {
	return n.queues, nil
}

func (n *noop) SendTo(_ context.Context, _ message.Queue, _ *driver.Outgoing, done func(driver.Receipt, error)) {
	done(driver.Receipt{}, nil)
}

func (n *noop) SendBatchTo(_ context.Context, _ message.Queue, _ []*driver.Outgoing, done func(driver.Receipt, error)) {
	done(driver.Receipt{}, nil)
}

func (n *noop) SendOneway(context.Context, message.Queue, *driver.Outgoing) error { return nil }

func BenchmarkSend(b *testing.B) {
	p := start(b, newNoop())
	m := msg()
	b.SetBytes(int64(len(m.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Send(context.Background(), m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSend64Callers(b *testing.B) {
	p := start(b, newNoop())
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		m := msg()
		for pb.Next() {
			if _, err := p.Send(context.Background(), m); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkSendAsync(b *testing.B) {
	p := start(b, newNoop())
	m := msg()
	var left sync.WaitGroup
	cb := func(_ context.Context, _ message.SendResult, err error) {
		if err != nil {
			b.Error(err)
		}
		left.Done()
	}
	b.SetBytes(int64(len(m.Body)))
	b.ReportAllocs()
	for b.Loop() {
		left.Add(1)
		p.SendAsync(context.Background(), m, cb)
	}
	left.Wait()
}

func BenchmarkSendOneway(b *testing.B) {
	p := start(b, newNoop())
	m := msg()
	b.ReportAllocs()
	for b.Loop() {
		if err := p.SendOneway(context.Background(), m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSendBatch(b *testing.B) {
	p := start(b, newNoop())
	ms := make([]*message.Message, 32)
	for i := range ms {
		ms[i] = msg()
	}
	b.SetBytes(int64(len(ms) * len(ms[0].Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.SendBatch(context.Background(), ms); err != nil {
			b.Fatal(err)
		}
	}
}
