package main

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/examples/internal/sampletest"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQuestionsAreAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		lines := sampletest.Run(t, mq.Client(t), run)
		got := slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "the shop") })
		want := []string{"answer: apple costs 0.40", "answer: pear costs 0.55", "no answer for unicorn within 5 seconds; the message was stored all the same"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		mq.SentTo("price_questions").Exactly(t, rocketkittest.Want{Body: "apple"}, rocketkittest.Want{Body: "pear"}, rocketkittest.Want{Body: "unicorn"})
	})
}
