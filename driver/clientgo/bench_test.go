package clientgo_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/driver/clientgo"
	"github.com/rocketkit/rocketkit/message"
)

// bench opens a driver on a broker-lite in memory, and a sender with a queue.
func bench(b *testing.B) (driver.Driver, driver.Sender, message.Queue) {
	b.Helper()
	server, err := brokerlite.Start(b.Context(), brokerlite.InMemory())
	if err != nil {
		b.Fatal(err)
	}
	d, err := clientgo.Factory(b.Context(), driver.Config{NameServers: []string{server.NameServer()}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	s, err := d.NewSender(driver.SenderConfig{Group: "p"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, end := range []func(context.Context) error{s.Close, d.Close, server.Close} {
			if err := end(ctx); err != nil {
				b.Error(err)
			}
		}
	})
	queues, err := s.Queues(b.Context(), "topic")
	if err != nil {
		b.Fatal(err)
	}
	return d, s, queues[0]
}

var benchBody = bytes.Repeat([]byte("x"), 128)

// BenchmarkSend sends 128 bytes from a number of callers, each of which waits
// for the answer; broker-lite does not flush.
func BenchmarkSend(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			_, s, q := bench(b)
			b.SetBytes(int64(len(benchBody)))
			b.ReportAllocs()
			b.SetParallelism(callers) // times GOMAXPROCS
			if callers == 1 {
				send(b, s, q)
				for b.Loop() {
					send(b, s, q)
				}
				return
			}
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					send(b, s, q)
				}
			})
		})
	}
}

func send(b *testing.B, s driver.Sender, q message.Queue) {
	done := make(chan error, 1)
	s.SendTo(b.Context(), q, &driver.Outgoing{Message: message.New("topic", benchBody), ID: s.NewID()}, func(_ driver.Receipt, err error) { done <- err })
	if err := <-done; err != nil {
		b.Error(err)
	}
}

// counter is a sink that acknowledges at once.
type counter struct{ n atomic.Int64 }

func (c *counter) Deliver(_ context.Context, s driver.Settler, ds []*message.Delivery) {
	for _, d := range ds {
		s.Settle(d, driver.Verdict{Action: driver.ActionAck})
	}
	c.n.Add(int64(len(ds)))
}

// BenchmarkConsume receives messages of 128 bytes that are there already.
func BenchmarkConsume(b *testing.B) {
	d, s, q := bench(b)
	batch := make([]*driver.Outgoing, 100)
	for i := range batch {
		batch[i] = &driver.Outgoing{Message: message.New("topic", benchBody), ID: s.NewID()}
	}
	for range b.N/len(batch) + 1 {
		done := make(chan error, 1)
		s.SendBatchTo(b.Context(), q, batch, func(_ driver.Receipt, err error) { done <- err })
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	in := new(counter)
	sub, err := d.NewSubscription(driver.SubscriptionConfig{Group: "g", From: driver.FromFirst, Topics: []driver.TopicFilter{{Topic: "topic"}}}, in)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(benchBody)))
	b.ReportAllocs()
	b.ResetTimer()
	if err := sub.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	for in.n.Load() < int64(b.N) {
		time.Sleep(100 * time.Microsecond)
	}
	b.StopTimer()
	if err := sub.Stop(b.Context()); err != nil {
		b.Fatal(err)
	}
}
