package main

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/examples/internal/sampletest"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachGroupGetsWhatItsFilterTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		lines := sampletest.Run(t, mq.Client(t), run)
		got := slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "sent: ") })
		slices.Sort(got)
		if diff := cmp.Diff([]string{"careful_group: passport", "careful_group: vase", "heavy_group: piano", "heavy_group: vase"}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if n := len(mq.SentTo(topic).All(t)); n != 5 {
			t.Errorf("%d parcels were sent", n)
		}
	})
}

func TestItSaysThatTheClusterDoesNotFilterByProperties(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t, brokerlite.Conf("enablePropertyFilter=false"))
		err := run(t.Context(), mq.Client(t), func(string, ...any) {})
		if err == nil || !strings.Contains(err.Error(), "enablePropertyFilter=true") {
			t.Error(err)
		}
	})
}
