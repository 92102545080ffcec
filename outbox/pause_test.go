package outbox

import (
	"testing"
	"time"
)

func TestPausesGrowToTheLongest(t *testing.T) {
	t.Parallel()
	var r Relay
	r.cfg.backoff, r.cfg.maxBackoff = time.Minute, 5*time.Hour
	for failures, want := range map[int]time.Duration{1: time.Minute, 2: 2 * time.Minute, 29: 5 * time.Hour, 30: 5 * time.Hour, 1000: 5 * time.Hour} {
		if got := r.pause(failures); got > want || got < want*4/5 {
			t.Errorf("after %d failures: %v, want %v or up to a fifth less", failures, got, want)
		}
	}
}
