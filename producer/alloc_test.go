//go:build !race

package producer_test

import (
	"context"
	"testing"

	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// What a message costs above the driver: its ctx.
func TestSendingAllocatesLittle(t *testing.T) {
	p := start(t, newNoop(), producer.CallbackWorkers(1))
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
