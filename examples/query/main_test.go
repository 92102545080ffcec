package main

import (
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/examples/internal/sampletest"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMessagesAreFoundByKeyAndId(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		lines := sampletest.Run(t, mq.Client(t), run)
		var ids, keys, sent int
		for _, line := range lines {
			switch {
			case strings.HasPrefix(line, "SendResult [sendStatus=SEND_OK"):
				sent++
			case strings.HasPrefix(line, "by id: "):
				ids++
			case strings.HasPrefix(line, "by key: "):
				keys++
			}
		}
		if sent != count || ids != 1 || keys != 10 {
			t.Errorf("%d sent, %d by id, %d by key", sent, ids, keys)
		}
		all := make([]rocketkittest.Want, count)
		for i := range all {
			all[i] = rocketkittest.Want{Tag: "TagA", Key: "key113", Body: "Hello world"}
		}
		mq.SentTo("TopicTest1").Exactly(t, all...)
	})
}
