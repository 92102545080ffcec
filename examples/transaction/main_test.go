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

func TestTheDatabaseDecidesWhatTheStockHears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t) // with Apache's intervals
		lines := sampletest.Run(t, mq.Client(t), run)
		mq.SentTo("orders_placed").Exactly(t, rocketkittest.Want{Key: "order-1"}, rocketkittest.Want{Key: "order-3"})
		for _, want := range []string{
			"stock: one article less, for order-1", "stock: one article less, for order-3",
			"RocketMQ asks about order-3: it is in the database, commit",
			"RocketMQ asks about order-4: it is not in the database, roll back",
		} {
			if !slices.Contains(lines, want) {
				t.Errorf("%q was not said", want)
			}
		}
	})
}
