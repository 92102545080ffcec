package main

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/examples/internal/sampletest"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachOrderGoesThroughItsStates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		lines := sampletest.Run(t, mq.Client(t), run)
		got := map[string][]string{}
		for _, line := range lines {
			if order, state, ok := strings.Cut(line, ": "); ok && order != "sent" {
				got[order] = append(got[order], state)
			}
		}
		all := []string{"created", "paid", "shipped", "delivered"}
		want := map[string][]string{"order A": all, "order C": all,
			"order B": {"created", "the bank does not answer; tried again in a second, before anything else of B", "paid", "shipped", "delivered"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		mq.DeadLetters("order_states_group").Exactly(t)
	})
}
