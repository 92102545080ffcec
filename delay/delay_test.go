package delay_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheLastDelayOptionWins(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1)
	for name, tc := range map[string]struct {
		opts []message.Option
		want message.Delay
	}{
		"level":           {[]message.Option{delay.Level(3)}, message.Delay{Level: 3}},
		"after":           {[]message.Option{delay.After(time.Minute)}, message.Delay{After: time.Minute}},
		"at":              {[]message.Option{delay.At(at)}, message.Delay{At: at}},
		"level, then at":  {[]message.Option{delay.Level(3), delay.At(at)}, message.Delay{At: at}},
		"level for want":  {[]message.Option{delay.OrLevel(delay.After(25 * time.Minute))}, message.Delay{After: 25 * time.Minute, OrLevel: 16}},
		"exactly a level": {[]message.Option{delay.OrLevel(delay.After(time.Hour))}, message.Delay{After: time.Hour, OrLevel: 17}},
		"over all levels": {[]message.Option{delay.OrLevel(delay.After(3 * time.Hour))}, message.Delay{After: 3 * time.Hour}},
		"a time gone by":  {[]message.Option{delay.OrLevel(delay.At(at))}, message.Delay{At: at, OrLevel: 1}},
		"or a level":      {[]message.Option{delay.OrLevel(delay.Level(3))}, message.Delay{Level: 3}},
		"or nothing":      {[]message.Option{delay.OrLevel(func(*message.Message) {})}, message.Delay{}},
		"after and level": {[]message.Option{delay.After(1), delay.Level(2)}, message.Delay{Level: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := message.New("orders", []byte("b"), tc.opts...)
			if diff := cmp.Diff(tc.want, m.Delay); diff != "" {
				t.Error(diff)
			}
			if err := m.Validate(0); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLevelsAroundADelay(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]struct {
		exact int // 0: no level has this delay
		text  string
	}{
		time.Millisecond:  {0, "level 1 (1s)"},
		time.Second:       {1, "level 1 (1s)"},
		7 * time.Second:   {0, "level 2 (5s) or level 3 (10s)"},
		30 * time.Minute:  {16, "level 16 (30m)"},
		45 * time.Minute:  {0, "level 16 (30m) or level 17 (1h)"},
		2 * time.Hour:     {18, "level 18 (2h)"},
		100 * time.Hour:   {0, "level 18 (2h)"},
		599 * time.Second: {0, "level 13 (9m) or level 14 (10m)"},
	} {
		if got := delay.Describe(d); got != want.text {
			t.Errorf("Describe(%s) = %q, want %q", d, got, want.text)
		}
		level, ok := delay.LevelFor(d)
		if ok != (want.exact > 0) || level != want.exact {
			t.Errorf("LevelFor(%s) = %d, %v", d, level, ok)
		}
	}
}

// The retries of a group walk the levels from 3 up; 4 h 45 m 40 s in all.
func TestDefaultLevelsAreRocketMQs(t *testing.T) {
	t.Parallel()
	levels := delay.Levels()
	if len(levels) != 18 {
		t.Fatalf("%d levels", len(levels))
	}
	var sum time.Duration
	for _, d := range levels[2:] {
		sum += d
	}
	if want := 4*time.Hour + 45*time.Minute + 40*time.Second; sum != want {
		t.Errorf("levels 3–18 take %s, want %s", sum, want)
	}
}

func ExampleLevel() {
	m := message.New("order_timeout_topic", []byte("42"), delay.Level(16)) // 30 minutes
	fmt.Println(m.Delay.Level)
	// Output: 16
}

func ExampleAfter() {
	m := message.New("order_timeout_topic", []byte("42"), delay.After(45*time.Minute))
	fmt.Println(m.Delay.After)
	// Output: 45m0s
}

func ExampleAt() {
	m := message.New("reminders", []byte("42"), delay.At(time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC)))
	fmt.Println(m.Delay.At.Format(time.RFC3339))
	// Output: 2030-01-01T09:00:00Z
}

func ExampleDescribe() {
	d := 45 * time.Minute
	if _, ok := delay.LevelFor(d); !ok {
		fmt.Printf("%s is no delay level; nearest are %s\n", d, delay.Describe(d))
	}
	// Output: 45m0s is no delay level; nearest are level 16 (30m) or level 17 (1h)
}
