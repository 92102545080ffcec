package delay

import (
	"fmt"
	"time"
)

// Levels returns the delays of RocketMQ's default levels 1–18
// (MessageStoreConfig.messageDelayLevel); a server can be configured with
// others.
func Levels() []time.Duration {
	const s, m, h = time.Second, time.Minute, time.Hour
	return []time.Duration{
		1 * s, 5 * s, 10 * s, 30 * s,
		1 * m, 2 * m, 3 * m, 4 * m, 5 * m, 6 * m, 7 * m, 8 * m, 9 * m, 10 * m, 20 * m, 30 * m,
		1 * h, 2 * h,
	}
}

// LevelFor returns the default level whose delay is exactly d.
func LevelFor(d time.Duration) (level int, ok bool) {
	for i, at := range Levels() {
		if at == d {
			return i + 1, true
		}
	}
	return 0, false
}

// nearest returns the default levels around d: the longest that is not longer
// and the shortest that is not shorter. 0 means that there is none on that side.
func nearest(d time.Duration) (below, above int) {
	for i, at := range Levels() {
		if at <= d {
			below = i + 1
		}
		if at >= d {
			return below, i + 1
		}
	}
	return below, 0
}

// Describe names the levels around d for an error's remedy, such as "level 16
// (30m) or level 17 (1h)".
func Describe(d time.Duration) string {
	below, above := nearest(d)
	switch {
	case below == above:
		return levelText(below)
	case below == 0:
		return levelText(above)
	case above == 0:
		return levelText(below)
	}
	return levelText(below) + " or " + levelText(above)
}

func levelText(level int) string {
	d := Levels()[level-1]
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("level %d (%dh)", level, d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("level %d (%dm)", level, d/time.Minute)
	}
	return fmt.Sprintf("level %d (%ds)", level, d/time.Second)
}
