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

func TestEveryMessageIsPulledAndEachStatusSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		lines := sampletest.Run(t, mq.Client(t), run)
		want := []string{
			"queue 0 from 0: NO_NEW_MSG, 0 messages, next is 0",
			"queue 1 from 0: NO_NEW_MSG, 0 messages, next is 0",
			"queue 2 from 0: NO_NEW_MSG, 0 messages, next is 0",
			"queue 3 from 0: FOUND, 32 messages, next is 32",
			"queue 3 from 32: FOUND, 32 messages, next is 64",
			"queue 3 from 64: FOUND, 32 messages, next is 96",
			"queue 3 from 96: FOUND, 4 messages, next is 100",
			"queue 3 from 100: NO_NEW_MSG, 0 messages, next is 100",
			"queue 3 from 0: NO_MATCHED_MSG, next is 100: nothing has the tag TagB",
			"queue 3 from 1100: OFFSET_ILLEGAL, next is 100: the queue does not go that far",
		}
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
