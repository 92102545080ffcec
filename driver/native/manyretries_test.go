package native

import (
	"math"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// The wire has 32 bits for the maximum, where a negative one has a broker dead-letter the
// first failure.
func TestRetriesWithoutEndAreNotNone(t *testing.T) {
	for name, cfg := range map[string]struct {
		group   int
		verdict driver.Verdict
	}{
		"of the group":              {group: math.MaxInt},
		"of a verdict":              {verdict: driver.Verdict{MaxRetries: math.MaxInt32 + 1}},
		"of a verdict with a delay": {verdict: driver.Verdict{MaxRetries: math.MaxInt, Delay: 1500 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c, _ := consumeOne(t, driver.SubscriptionConfig{MaxRetries: cfg.group}, cfg.verdict)
				putOne(c)
				pass(time.Second)
				code := protocol.SendMessageBack
				field := "maxReconsumeTimes"
				if cfg.verdict.Delay > 0 {
					code, field = protocol.SendMessageV2, "l"
				}
				asked := c.brokers["a"].requests(code)
				if len(asked) != 1 || asked[0].fields[field] != "2147483647" {
					t.Errorf("requests %v, want one with a maximum of 2147483647", asked)
				}
			})
		})
	}
}
