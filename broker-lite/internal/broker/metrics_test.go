package broker

import "testing"

func TestVersionsAreShownAsApacheNamesThem(t *testing.T) {
	t.Parallel()
	for ordinal, want := range map[int32]string{
		211: "211", 212: "v4_0_0_snapshot", 213: "v4_0_0", 401: "v4_9_4", 407: "v4_9_7", 413: "v5_0_0", 492: "v5_4_0_snapshot", 493: "v5_4_0",
		0: "0", -1: "-1", 1 << 30: "1073741824",
	} {
		if got := versionLabel(ordinal); got != want {
			t.Errorf("%d is %s, want %s", ordinal, got, want)
		}
	}
}
