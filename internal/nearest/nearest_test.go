package nearest_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/internal/nearest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheNearestNameIsFoundWithinAThirdOfItsLength(t *testing.T) {
	t.Parallel()
	names := []string{"paid", "refunded", "shipped"}
	for name, want := range map[string]string{
		"payd": "paid", "PAID": "paid", "apid": "paid", "refund": "refunded", "refnuded": "refunded", "x": "", "": "", "cancelled": "",
		strings.Repeat("p", 1000): "",
	} {
		if got := nearest.To(name, names); got != want {
			t.Errorf("To(%q) = %q, want %q", name, got, want)
		}
	}
	if got := nearest.To("paid", nil); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}

func TestASwapIsOneEdit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abcd", 1}, {"abc", "", 3}, {"abc", "axc", 1}} {
		if got := nearest.Distance(tc.a, tc.b); got != tc.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
