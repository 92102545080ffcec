package native

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// What Apache's own strategies answer, so that Java and Go members of a group agree.
func TestStrategiesShareQueuesAsApaches(t *testing.T) {
	t.Parallel()
	room := func(separator string) func(string) string {
		return func(name string) string { r, _, _ := strings.Cut(name, separator); return r }
	}
	strategies := make(map[string]driver.AllocateStrategy)
	for _, s := range []driver.AllocateStrategy{Averagely(), AveragelyByCircle(), ConsistentHash(10), ByMachineRoom("room1"), NearbyMachineRoom(Averagely(), room("@"), room("-"))} {
		strategies[s.Name()] = s
	}
	data, err := os.ReadFile("../../internal/protocol/testdata/golden/5.4.0/table-allocations.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Strategy string
		Queues   int
		Members  []string
		Shares   [][]string
	}
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, row := range rows {
		s := strategies[row.Strategy]
		if s == nil {
			t.Errorf("Apache's strategy %s is not ours", row.Strategy)
			continue
		}
		seen[row.Strategy] = true
		queues := appendQueues(appendQueues(nil, "orders", "room1@a", int32(row.Queues)), "orders", "room2@b", int32(row.Queues))
		var got [][]string
		for _, id := range row.Members {
			share := []string{}
			for _, q := range s.Allocate("group", id, queues, row.Members) {
				share = append(share, fmt.Sprint(q.Broker, " ", q.ID))
			}
			got = append(got, share)
		}
		if diff := cmp.Diff(row.Shares, got); diff != "" {
			t.Errorf("%s of %d queues for %v (-Apache +rocketkit)\n%s", row.Strategy, row.Queues, row.Members, diff)
		}
	}
	if len(seen) != len(strategies) {
		t.Errorf("compared were %v of %d", seen, len(strategies))
	}
}

func TestConfiguredQueuesAndNoOthers(t *testing.T) {
	t.Parallel()
	mine := message.Queue{Topic: "t", Broker: "a", ID: 2}
	s := ByConfig(mine, message.Queue{Topic: "t", Broker: "gone", ID: 0})
	if got := s.Allocate("g", "me", queuesOf(4), []string{"me", "you"}); len(got) != 1 || got[0] != mine {
		t.Errorf("allocated %v", got)
	}
	retries := appendQueues(nil, message.RetryTopic("g"), "a", 1)
	owners := 0
	for _, id := range []string{"me", "you"} {
		owners += len(s.Allocate("g", id, retries, []string{"me", "you"}))
	}
	if owners != 1 {
		t.Errorf("the queue of retried messages has %d owners", owners)
	}
}
