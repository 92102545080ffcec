package main

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/examples/internal/sampletest"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPaymentsAreRetriedGivenUpAndSentBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		lines := sampletest.Run(t, mq.Client(t), run)
		said := map[string]int{}
		for _, line := range lines {
			said[line]++
		}
		want := map[string]int{
			"good: paid by attempt 1":                                                 1,
			"slow bank: attempt 1 fails, to be tried again":                           1,
			"slow bank: attempt 2 fails, to be tried again":                           1,
			"slow bank: paid by attempt 3":                                            1,
			"unknown currency: attempt 1 fails, and trying again is of no use":        1,
			"dead letter: unknown currency":                                           1,
			"mended: the rates are there; the dead letters go back to payments_group": 1,
			"1 of 1 dead letters were sent back":                                      1,
			"unknown currency: paid by attempt 1":                                     1,
		}
		if diff := cmp.Diff(want, said); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		mq.DeadLetters(group).Exactly(t, rocketkittest.Want{Body: "unknown currency"}) // it stays there
	})
}
