package main

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
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

func TestItSaysThatTheTopicIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t, brokerlite.Conf("autoCreateTopicEnable=false"))
		err := run(t.Context(), mq.Client(t), func(string, ...any) {})
		if err == nil || !strings.Contains(err.Error(), "autoCreateTopicEnable=true") {
			t.Error(err)
		}
	})
}
