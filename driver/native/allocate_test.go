package native

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

func queuesOf(n int) []message.Queue { return appendQueues(nil, "t", "a", int32(n)) }

// The expected shares are those of Apache's strategies for the same input.
func TestAllocateAsApacheDoes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		strategy driver.AllocateStrategy
		queues   int
		want     [][]int // queue ids, by member
	}{
		{Averagely(), 8, [][]int{{0, 1, 2}, {3, 4, 5}, {6, 7}}},
		{Averagely(), 4, [][]int{{0, 1, 2, 3}}},
		{Averagely(), 2, [][]int{{0}, {1}, nil}},
		{Averagely(), 7, [][]int{{0, 1}, {2, 3}, {4, 5}, {6}}},
		{Averagely(), 0, [][]int{nil, nil}},
		{AveragelyByCircle(), 8, [][]int{{0, 3, 6}, {1, 4, 7}, {2, 5}}},
		{AveragelyByCircle(), 2, [][]int{{0}, {1}, nil}},
		{AveragelyByCircle(), 4, [][]int{{0, 1, 2, 3}}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %d queues %d members", tt.strategy.Name(), tt.queues, len(tt.want)), func(t *testing.T) {
			t.Parallel()
			var ids []string
			for i := range tt.want {
				ids = append(ids, fmt.Sprint("member ", i))
			}
			var got [][]int
			for _, id := range ids {
				var mine []int
				for _, q := range tt.strategy.Allocate("g", id, queuesOf(tt.queues), ids) {
					mine = append(mine, q.ID)
				}
				got = append(got, mine)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAllocateGivesEachQueueToOneMember(t *testing.T) {
	t.Parallel()
	for _, s := range []driver.AllocateStrategy{Averagely(), AveragelyByCircle()} {
		for queues := range 20 {
			for members := 1; members < 12; members++ {
				var ids []string
				for i := range members {
					ids = append(ids, fmt.Sprintf("%02d", i))
				}
				owners := make(map[message.Queue]int)
				for _, id := range ids {
					mine := s.Allocate("g", id, queuesOf(queues), ids)
					if len(mine) > (queues+members-1)/members {
						t.Errorf("%s: %d of %d queues for one of %d members", s.Name(), len(mine), queues, members)
					}
					for _, q := range mine {
						owners[q]++
					}
				}
				for _, q := range queuesOf(queues) {
					if owners[q] != 1 {
						t.Errorf("%s, %d queues, %d members: queue %d has %d owners", s.Name(), queues, members, q.ID, owners[q])
					}
				}
			}
		}
	}
}

func TestAllocateGivesStrangersNothing(t *testing.T) {
	t.Parallel()
	for _, s := range []driver.AllocateStrategy{Averagely(), AveragelyByCircle()} {
		if got := s.Allocate("g", "stranger", queuesOf(4), []string{"a", "b"}); got != nil {
			t.Errorf("%s: %v", s.Name(), got)
		}
	}
}
