//go:build !race

package producer_test

import (
	"context"
	"testing"

	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/trace"
)

// What a message costs above the driver: its ctx.
func TestSendingAllocatesLittle(t *testing.T) {
	sendsAllocatingLittle(t)
}

// The message trace allocates nothing for a message.
func TestSendingWithTheMessageTraceAllocatesAsLittle(t *testing.T) {
	tracer := trace.NewMessageTracer(trace.MessageOptions{Sender: lostTrace{}})
	t.Cleanup(func() {
		if err := tracer.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for range 500 { // until its buffer has its size
		tracer.Published(&trace.Published{Message: msg()})
	}
	sendsAllocatingLittle(t, producer.MessageTrace(tracer))
}

type lostTrace struct{}

func (lostTrace) Send(context.Context, *message.Message) (message.SendResult, error) {
	return message.SendResult{}, message.ErrNoRoute
}

func sendsAllocatingLittle(t *testing.T, opts ...producer.Option) {
	t.Helper()
	p := start(t, newNoop(), append(opts, producer.CallbackWorkers(1))...)
	m := msg()
	ran := make(chan struct{}, 1)
	cb := func(context.Context, message.SendResult, error) { ran <- struct{}{} }
	for name, tc := range map[string]struct {
		send func() error
		most float64
	}{
		"sync": {func() error { _, err := p.Send(context.Background(), m); return err }, 1},
		"async": {func() error {
			p.SendAsync(context.Background(), m, cb)
			<-ran
			return nil
		}, 1},
		"oneway": {func() error { return p.SendOneway(context.Background(), m) }, 1},
	} {
		got := testing.AllocsPerRun(200, func() {
			if err := tc.send(); err != nil {
				t.Fatal(err)
			}
		})
		if got > tc.most {
			t.Errorf("%s: %v allocations, at most %v", name, got, tc.most)
		}
	}
}
