package main

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/examples/internal/sampletest"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatWasHandledSinceTheReleaseIsHandledAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		lines := sampletest.Run(t, mq.Client(t), run)
		handled := map[string]int{}
		for _, line := range lines {
			handled[line]++
		}
		for i := range 10 {
			want := 1
			if i >= 6 {
				want = 2
			}
			if got := handled[fmt.Sprintf("handled: payment-%d", i)]; got != want {
				t.Errorf("payment %d was handled %d times, want %d", i, got, want)
			}
		}
		if lines[len(lines)-5] != "back to the release" {
			t.Error("what was handled again came too early")
		}
		again := slices.Sorted(slices.Values(lines[len(lines)-4:]))
		if diff := cmp.Diff([]string{"handled: payment-6", "handled: payment-7", "handled: payment-8", "handled: payment-9"}, again); diff != "" {
			t.Errorf("last (-want +got):\n%s", diff)
		}
	})
}
