package dlq_test

import (
	"math"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/dlq"
)

// A rate whose pause is longer than a time.Duration can be would be none.
func TestRatesThatCannotBeKeptAreRefused(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{math.NaN(), math.Inf(-1), -1, 1e-300, 0.0001} {
		// There is no client: a rate that is taken would panic.
		if _, err := dlq.Redrive(t.Context(), nil, "billing", dlq.Rate(rate)); err == nil || !strings.Contains(err.Error(), "rate") {
			t.Errorf("%v: %v", rate, err)
		}
	}
}
