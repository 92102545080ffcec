package clientgo_test

import (
	"context"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver/clientgo"
)

// delayLevels are RocketMQ's, but for the third, which is a message's first retry:
// 10 s there.
const delayLevels = "messageDelayLevel=1s 5s 2s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"

func startLite(t *testing.T, opts ...brokerlite.Option) *brokerlite.Broker {
	t.Helper()
	b, err := brokerlite.Start(t.Context(), append([]brokerlite.Option{brokerlite.InMemory(), brokerlite.Conf(delayLevels)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestOnBrokerLite(t *testing.T) {
	clientgo.NeedsQuiet(t)
	t.Parallel()
	onServer(t, startLite(t).NameServer(), len(cases))
}
