package protocol

import (
	"strings"
	"testing"
	"time"
)

func TestApachesDelayLevels(t *testing.T) {
	t.Parallel()
	l, err := ParseDelayLevels(DefaultDelayLevels)
	if err != nil || len(l) != 18 || l.String() != DefaultDelayLevels {
		t.Fatalf("%s, %v", l, err)
	}
	for level, want := range map[int]time.Duration{-1: 0, 0: 0, 1: time.Second, 2: 5 * time.Second, 16: 30 * time.Minute, 18: 2 * time.Hour, 19: 2 * time.Hour, 1 << 30: 2 * time.Hour} {
		if got := l.Delay(level); got != want {
			t.Errorf("level %d is %s, want %s", level, got, want)
		}
	}
	if l.Clamp(5) != 5 || l.Clamp(99) != 18 {
		t.Errorf("levels 5 and 99 become %d and %d", l.Clamp(5), l.Clamp(99))
	}
	for d, want := range map[time.Duration][3]int{
		30 * time.Minute: {16, 15, 17},
		7 * time.Minute:  {11, 10, 12},
		25 * time.Minute: {0, 15, 16},
		0:                {0, 0, 1},
		3 * time.Hour:    {0, 18, 0},
	} {
		exact, ok := l.LevelOf(d)
		below, above := l.Nearest(d)
		if [3]int{exact, below, above} != want || ok != (want[0] > 0) {
			t.Errorf("%s: level %d, %t, below %d, above %d; want %d", d, exact, ok, below, above, want)
		}
	}
}

func TestDelayLevelsAreWrittenInTheLargestUnit(t *testing.T) {
	t.Parallel()
	l := DelayLevels{0, 90 * time.Second, 2 * time.Minute, 90 * time.Minute, 24 * time.Hour, 36 * time.Hour}
	if got := l.String(); got != "0s 90s 2m 90m 1d 36h" {
		t.Error(got)
	}
}

func TestNearestWorksOnLevelsInAnyOrder(t *testing.T) {
	t.Parallel()
	l := DelayLevels{time.Hour, time.Second, time.Minute}
	if below, above := l.Nearest(30 * time.Second); below != 2 || above != 3 {
		t.Errorf("below %d, above %d", below, above)
	}
	if below, above := l.Nearest(2 * time.Hour); below != 1 || above != 0 {
		t.Errorf("below %d, above %d", below, above)
	}
	if below, above := l.Nearest(0); below != 0 || above != 2 {
		t.Errorf("below %d, above %d", below, above)
	}
}

func TestBadDelayLevelsAreNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                          "no delay levels",
		"1s x":                      "delay level 2",
		"s":                         "delay level 1",
		"5":                         "s, m, h or d",
		"1.5h":                      "whole number",
		"-1s":                       "whole number",
		"99999999999999999999d":     "whole number",
		"2147483647d":               "whole number",
		strings.Repeat("9", 999999): "s, m, h or d",
	} {
		if _, err := ParseDelayLevels(text); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 200 {
			t.Errorf("%.20q: got %.200v, want %q", text, err, want)
		}
	}
}
