package consumer

import (
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// A scan of all hidden messages with each request, when one of many ends with each, is more
// work than the messages are.
func TestHiddenMessagesAreLookedThroughOnceASecond(t *testing.T) {
	t.Parallel()
	const n, apart = 100_000, time.Millisecond
	now := time.Now()
	p := popRuns{runs: make(map[*message.Delivery]popRun, n)}
	for i := range n {
		until := now.Add(time.Duration(i) * apart)
		p.runs[new(message.Delivery)] = popRun{until: until}
		p.dueBy(until)
	}
	scans, left := 0, n
	for at := now; at.Before(now.Add(10 * time.Second)); at = at.Add(apart) {
		p.sweep(at)
		if len(p.runs) != left {
			scans, left = scans+1, len(p.runs)
		}
	}
	if scans < 9 || scans > 11 || left > n-9000 {
		t.Errorf("%d scans in 10 s, %d left", scans, left)
	}
}
