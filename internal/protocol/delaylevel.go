package protocol

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefaultDelayLevels is Apache's messageDelayLevel: 18 levels.
const DefaultDelayLevels = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"

// DelayLevels are the delays of a broker; level 1 is the first.
type DelayLevels []time.Duration

// ParseDelayLevels reads "1s 5s … 2h": whole numbers with s, m, h or d,
// separated by spaces.
func ParseDelayLevels(s string) (DelayLevels, error) {
	var levels DelayLevels
	for text := range strings.FieldsSeq(s) {
		d, err := parseDelay(text)
		if err != nil {
			return nil, fmt.Errorf("delay level %d: %w", len(levels)+1, err)
		}
		levels = append(levels, d)
	}
	if len(levels) == 0 {
		return nil, fmt.Errorf("no delay levels, want such as %q", DefaultDelayLevels)
	}
	return levels, nil
}

var delayUnits = [...]struct {
	name byte
	unit time.Duration
}{{'d', 24 * time.Hour}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second}}

func parseDelay(text string) (time.Duration, error) {
	number, name := text[:len(text)-1], text[len(text)-1]
	for _, u := range delayUnits {
		if u.name != name {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil || time.Duration(n) > (1<<63-1)/u.unit {
			break
		}
		return time.Duration(n) * u.unit, nil
	}
	return 0, fmt.Errorf("%.32q, want a whole number with s, m, h or d", text)
}

// String formats the levels as ParseDelayLevels reads them.
func (l DelayLevels) String() string {
	var b strings.Builder
	for i, d := range l {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(formatDelay(d))
	}
	return b.String()
}

func formatDelay(d time.Duration) string {
	for _, u := range delayUnits {
		if d >= u.unit && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + string(u.name)
		}
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// Delay returns the delay of a level. As in Java a level beyond the last counts
// as the last; levels below 1 have no delay.
func (l DelayLevels) Delay(level int) time.Duration {
	if level < 1 || len(l) == 0 {
		return 0
	}
	return l[min(level, len(l))-1]
}

// Clamp is the level that a broker uses for level: at most the last one.
func (l DelayLevels) Clamp(level int) int { return min(level, len(l)) }

// LevelOf returns the level with exactly that delay.
func (l DelayLevels) LevelOf(d time.Duration) (level int, ok bool) {
	for i, v := range l {
		if v == d {
			return i + 1, true
		}
	}
	return 0, false
}

// Nearest returns the levels whose delays are next below and next above d, 0
// where there is none.
func (l DelayLevels) Nearest(d time.Duration) (below, above int) {
	for i, v := range l {
		if v < d && (below == 0 || v > l[below-1]) {
			below = i + 1
		}
		if v > d && (above == 0 || v < l[above-1]) {
			above = i + 1
		}
	}
	return below, above
}
