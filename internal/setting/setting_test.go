package setting_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/internal/setting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestKillSwitchesAreOnOrPairs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]setting.Switch{
		"on":                            {},
		" ratio=0.9 ":                   {Ratio: 0.9},
		"pause_for=10s":                 {PauseFor: 10 * time.Second},
		"at_least=5 window=2m\tratio=1": {Ratio: 1, AtLeast: 5, Window: 2 * time.Minute},
	} {
		if v, err := setting.Parse(setting.KillSwitch, text); err != nil || v.Switch != want {
			t.Errorf("%q: %+v, %v, want %+v", text, v.Switch, err, want)
		}
	}
}

func TestRatesAreThoseThatThereAre(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{"100": 100, " 0.5 ": 0.5, "1e9": 1e9, "0": 0, "-1": 0, "Inf": 0, "NaN": 0, "1e-300": 0, "x": 0} {
		if v, err := setting.Parse(setting.RateLimit, text); (err == nil) != (want > 0) || err == nil && v.Float != want {
			t.Errorf("%q: %v, %v", text, v.Float, err)
		}
	}
}

// What is not near anything is another package's.
func TestRemediesAreForSlipsOnly(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"json": "", "yaml": "", "xml": "", "db": "", "validate": "", "wire": "", "mapstructure": "", "env": "", "toml": "", "default": "",
		"Topic": "did you mean topic?", "topics": "did you mean topic?", "tpoic": "did you mean topic?", "sq": "did you mean sql?",
		"batch-wait": "did you mean batch_wait?", "killSwitch": "did you mean kill_switch?", "DLQ": "did you mean dlq?",
	} {
		if got := setting.Remedy(key, "dlq"); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

func TestPlaceholdersAreNotNested(t *testing.T) {
	t.Parallel()
	known := func(key string) (string, bool) { return "v", key == "a" }
	for text, want := range map[string]string{"x${a}y": "xvy", "${b:d}": "d", "${b:}": "", "${ a : d }${a}": "vv", "${b:x:y}": "x:y", "": "", "$a}": "$a}"} {
		if got, err := setting.Expand(text, known); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"${b}", "${b:${a}}", "${b:${a:c}}", "${a:${a}}", "${${a}}", "${a", "${}", "${:x}", "${b:${a}"} {
		if got, err := setting.Expand(text, known); err == nil {
			t.Errorf("%q: %q", text, got)
		}
	}
}
