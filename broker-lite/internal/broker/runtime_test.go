package broker

import (
	"testing"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// The figures are those of UtilAll.getDiskPartitionSpaceUsedPercent, as df rounds.
func TestTheDisksUseIsOfWhatTheProcessCanHave(t *testing.T) {
	t.Parallel()
	for want, space := range map[string]vfs.Space{
		"0.24": {Total: 264212084, Free: 264212084 - 22705984, Available: 72795280}, // a quota: Apache 5.4.0 told 0.24 too
		"0.5":  {Total: 1000, Free: 500, Available: 500},
		"0.51": {Total: 1000, Free: 499, Available: 499},
		"0.01": {Total: 1 << 40, Free: 1<<40 - 1, Available: 1<<40 - 1},
		"0.0":  {Total: 1000, Free: 1000, Available: 1000},
		"1.0":  {Total: 1000, Free: 50, Available: 0}, // what is reserved is not free
		"-1.0": {},
	} {
		if got := usedRatio(space); got != want {
			t.Errorf("%+v: %s, want %s", space, got, want)
		}
	}
}
