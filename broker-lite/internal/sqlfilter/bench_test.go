package sqlfilter

import (
	"strings"
	"sync"
	"testing"
)

// realistic are the properties of a message as the broker stores it.
var realistic = encode("amount=12;region=eu;rate=0.25;UNIQ_KEY=7F0000010A3C18B4AAC27E2A5F3C0001;CLUSTER=DefaultCluster;KEYS=order-4711;TAGS=paid;WAIT=true")

var common = []struct {
	name, expr string
	want       bool
}{
	{"Comparison", "amount > 10", true},
	{"Equal", "region = 'eu'", true},
	{"In", "region IN ('us', 'eu', 'cn')", true},
	{"InSet", "region IN ('1','2','3','4','5','6','7','8','9','eu')", true},
	{"Double", "rate < 0.5", true},
	{"Between", "amount BETWEEN 10 AND 20", true},
	{"Contains", "KEYS CONTAINS '47' AND KEYS STARTSWITH 'order-'", true},
	{"Mixed", "amount > 10 AND region IN ('eu', 'us') AND (TAGS = 'paid' OR missing IS NOT NULL)", true},
	{"Missing", "nowhere = 1 AND amount > 10", false},
	{"Failing", "region > 10", false},
}

func TestMatchAllocatesNothing(t *testing.T) {
	for _, c := range common {
		e := mustCompile(t, c.expr)
		if got := e.Match(realistic); got != c.want {
			t.Errorf("%s is %t", c.expr, got)
		}
		if n := testing.AllocsPerRun(100, func() { e.Match(realistic) }); n != 0 {
			t.Errorf("%s: %v allocations", c.expr, n)
		}
	}
}

func TestOneExpressionServesManyGoroutines(t *testing.T) {
	t.Parallel()
	e := mustCompile(t, "amount BETWEEN 10 AND 20 AND region IN ('1','2','3','4','5','6','7','8','9','eu')")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if !e.Match(realistic) || e.Match(nil) || e.String() == "" {
					t.Error("wrong answer")
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkMatch(b *testing.B) {
	for _, c := range common {
		b.Run(c.name, func(b *testing.B) {
			e := mustCompile(b, c.expr)
			b.ReportAllocs()
			b.SetBytes(int64(len(realistic)))
			for b.Loop() {
				e.Match(realistic)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for name, expr := range map[string]string{
		"Short": "amount > 10 AND region IN ('eu', 'us')",
		"64KiB": "a = 1" + strings.Repeat(" AND a = 1", MaxLength/10-1),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(expr)))
			for b.Loop() {
				if _, err := Compile(expr); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
