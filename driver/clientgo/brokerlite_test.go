package clientgo_test

import (
	"context"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver/clientgo"
)

func startLite(t *testing.T) *brokerlite.Broker {
	t.Helper()
	b, err := brokerlite.Start(t.Context(), brokerlite.InMemory())
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
	onServer(t, startLite(t).NameServer())
}
