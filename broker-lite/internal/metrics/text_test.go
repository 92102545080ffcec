package metrics

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFamiliesAreWrittenAsPrometheusReadsThem(t *testing.T) {
	t.Parallel()
	w := NewWriter(Label{"cluster", "c"})
	w.Family("messages_total", Counter, "What came in,\nwith a \\.")
	w.Sample(3, Label{"topic", `a"b\c` + "\nd\xffé"})
	w.Sample(1e21)
	w.Family("ratio", Gauge, "")
	w.Sample(math.Inf(-1))
	w.Sample(0.25)
	w.Family("size", Histogram, "Sizes.")
	w.Buckets([]float64{10, 1024}, []int64{2, 0, 1}, 1234, Label{"topic", "t"})
	want := `# HELP messages_total What came in,\nwith a \\.
# TYPE messages_total counter
messages_total{cluster="c",topic="a\"b\\c\nd` + "\uFFFD" + `é"} 3
messages_total{cluster="c"} 1e+21
# HELP ratio 
# TYPE ratio gauge
ratio{cluster="c"} -Inf
ratio{cluster="c"} 0.25
# HELP size Sizes.
# TYPE size histogram
size_bucket{cluster="c",topic="t",le="10"} 2
size_bucket{cluster="c",topic="t",le="1024"} 2
size_bucket{cluster="c",topic="t",le="+Inf"} 3
size_sum{cluster="c",topic="t"} 1234
size_count{cluster="c",topic="t"} 3
`
	var got strings.Builder
	if _, err := w.WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestASampleWithoutLabelsHasNoBraces(t *testing.T) {
	t.Parallel()
	w := NewWriter()
	w.Family("up", Gauge, "Up.")
	w.Sample(1)
	var got strings.Builder
	if _, err := w.WriteTo(&got); err != nil || !strings.HasSuffix(got.String(), "\nup 1\n") {
		t.Errorf("%q, %v", got.String(), err)
	}
}
