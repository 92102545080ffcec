package index

import (
	"fmt"
	"strings"
	"testing"
)

// filled has n messages of about 500 bytes with two keys each, in files.
func filled(b *testing.B, n int) *rig {
	r := newRig(b, Options{})
	r.segment = 64 << 20
	r.open()
	for i := range n {
		r.send(sent{topic: "orders", keys: fmt.Sprintf("order-%d customer-%d", i, i%1000), unique: fmt.Sprintf("%032X", i), tags: "paid", body: strings.Repeat("x", 300)})
	}
	return r
}

func BenchmarkBuild(b *testing.B) {
	r := filled(b, 100_000)
	_, end := r.store.LogBounds()
	b.SetBytes(end)
	for b.Loop() {
		r.close()
		r.removeAll()
		r.open()
		if got := r.find(always("orders", "order-99999")); len(got) != 1 {
			b.Fatal(got)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	r := filled(b, 200_000)
	for name, key := range map[string]string{"old": "order-1", "new": "order-199999", "common": "customer-7", "none": "nobody"} {
		r.find(always("orders", key))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.find(always("orders", key))
			}
		})
	}
}
