package config_test

import (
	"math"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/config"
)

// A program's own Config may hold what no file can.
func TestWhatIsNoNumberIsRefused(t *testing.T) {
	t.Parallel()
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		c := config.Config{NameServers: []string{"a:1"}, Producer: config.Producer{RateLimit: f}, Consumers: []config.Consumer{
			{Group: "g", Backoff: config.Backoff{Base: 1, Factor: f, Jitter: f}, Handlers: []config.Handler{
				{Name: "h", RateLimit: f, KillSwitch: config.KillSwitch{Enabled: true, Ratio: f}},
			}},
		}}
		err := c.WithDefaults().Validate()
		if err == nil {
			t.Fatalf("%v is taken", f)
		}
		for _, want := range []string{"producer.rate_limit", "handlers[0].rate_limit", "kill_switch.ratio", "backoff.factor", "backoff.jitter"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: nothing of %s in %v", f, want, err)
			}
		}
	}
}
