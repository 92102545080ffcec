package store

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

func TestAppendedRecordsAreReadBackPlaced(t *testing.T) {
	t.Parallel()
	for _, sync := range []bool{false, true} {
		t.Run(fmt.Sprintf("sync=%v", sync), func(t *testing.T) {
			t.Parallel()
			s := openStore(t, Options{SyncFlush: sync})
			var want []string
			for i := range 100 {
				body := fmt.Sprintf("body %d", i)
				r := mustPut(t, s, "orders", 3, "paid", body)
				if r.QueueOffset != int64(i) || r.Status != StatusOK {
					t.Fatalf("append %d: %+v", i, r)
				}
				want = append(want, body)
			}
			got := readAll(t, s, "orders", 3)
			if diff := cmp.Diff(want, bodies(got)); diff != "" {
				t.Fatal(diff)
			}
			phys := int64(0)
			for i, rec := range got {
				if rec.QueueOffset != int64(i) || rec.PhysicalOffset != phys || rec.StoreTimestamp == 0 {
					t.Fatalf("record %d is placed at queue offset %d, physical offset %d, store time %d; want %d, %d",
						i, rec.QueueOffset, rec.PhysicalOffset, rec.StoreTimestamp, i, phys)
				}
				phys += int64(rec.Size)
			}
		})
	}
}

func TestReopenedStoreGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"close", "kill"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			var want []string
			for round := range 4 {
				s := openStore(t, Options{FS: fs, SegmentSize: 1000, QueueFileEntries: 7})
				for i := range 25 {
					body := fmt.Sprintf("round %d body %d", round, i)
					mustPut(t, s, "orders", 0, "", body)
					mustPut(t, s, "orders", 1, "", body)
					want = append(want, body)
				}
				if end == "kill" {
					fs = fs.Clone()
				}
				mustClose(t, s)
			}
			s := openStore(t, Options{FS: fs, SegmentSize: 1000, QueueFileEntries: 7})
			for q := range int32(2) {
				if diff := cmp.Diff(want, bodies(readAll(t, s, "orders", q))); diff != "" {
					t.Fatal(diff)
				}
			}
		})
	}
}
