package main

import (
	"slices"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/examples/internal/sampletest"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestShippingHearsOfWhatWasCommitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		lines := sampletest.Run(t, mq.Client(t), run)
		for _, order := range []string{"order-1", "order-3", "order-4"} {
			if !slices.Contains(lines, "shipping: "+order) {
				t.Errorf("%s was not shipped", order)
			}
		}
		if slices.Contains(lines, "shipping: order-2") {
			t.Error("an order was shipped that had been rolled back")
		}
		mq.SentTo("orders_paid").Exactly(t, rocketkittest.Want{Key: "order-1"}, rocketkittest.Want{Key: "order-3"}, rocketkittest.Want{Key: "order-4"})
	})
}
