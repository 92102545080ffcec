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

func TestEveryLineIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		lines := sampletest.Run(t, mq.Client(t), run)
		for _, want := range []string{"received 100 lines of ERROR", "received 900 lines of INFO"} {
			if !slices.Contains(lines, want) {
				t.Errorf("%q was not said", want)
			}
		}
		if n := len(mq.SentTo(topic).All(t)); n != count {
			t.Errorf("%d lines were stored", n)
		}
	})
}
