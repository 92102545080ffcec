package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/examples/internal/sampletest"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryMemberHearsOfEachChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		lines := sampletest.Run(t, mq.Client(t), func(ctx context.Context, client *rocketkit.Client, say sample.Say) error {
			return run(ctx, []*rocketkit.Client{client, mq.Client(t)}, say)
		})
		got := slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "sent: ") })
		slices.Sort(got)
		if diff := cmp.Diff([]string{"server-1: log-level=debug", "server-1: rate-limit=100", "server-2: log-level=debug", "server-2: rate-limit=100"}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
