package store

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// wholeLog reads the log with a buffer of that size.
func wholeLog(tb testing.TB, s *Store, from int64, size int) (bodies []string, end int64) {
	tb.Helper()
	buf := make([]byte, 0, size)
	for range 1000 {
		next, kept, err := s.ReadLog(from, buf, func(phys int64, rec []byte) {
			var r protocol.Record
			if n, err := protocol.DecodeRecord(rec, &r); err != nil || n != len(rec) || r.PhysicalOffset != phys {
				tb.Fatalf("the record at %d: %d of %d bytes, says %d: %v", phys, n, len(rec), r.PhysicalOffset, err)
			}
			bodies = append(bodies, string(r.Body))
		})
		if err != nil {
			tb.Fatal(err)
		}
		if next == from {
			return bodies, from
		}
		from, buf = next, kept
	}
	tb.Fatal("it does not end")
	return nil, 0
}

func TestReadLogGivesEveryRecordOfEveryFile(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{SegmentSize: 2000})
	var want []string
	for i := range 40 {
		body := fmt.Sprint(i, strings.Repeat("x", i*7%300))
		mustPut(t, s, []string{"a", "b"}[i%2], 0, "", body)
		want = append(want, body)
	}
	_, end := s.LogBounds()
	for _, size := range []int{0, 64, 200, 1000, 100_000} {
		got, at := wholeLog(t, s, 0, size)
		if diff := cmp.Diff(want, got); diff != "" || at != end {
			t.Errorf("buffer of %d: ends at %d, want %d\n%s", size, at, end, diff)
		}
	}
	mustPut(t, s, "a", 0, "", "later")
	if got, _ := wholeLog(t, s, end, 100); len(got) != 1 || got[0] != "later" {
		t.Errorf("from %d on: %q", end, got)
	}
}

func TestReadLogTellsOfDamageAndGoesOnBehindIt(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openStore(t, Options{FS: fs, SegmentSize: 1000})
	for i := range 12 {
		mustPut(t, s, "a", 0, "", fmt.Sprint(i, strings.Repeat("x", 100)))
	}
	f, err := fs.OpenFile(s.log.path(0), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 0); err != nil {
		t.Fatal(err)
	}
	next, _, err := s.ReadLog(0, make([]byte, 0, 4096), func(phys int64, _ []byte) { t.Errorf("a record at %d", phys) })
	var damage *CorruptionError
	if !errors.As(err, &damage) || damage.Offset != 0 || next != 1000 {
		t.Errorf("next is %d, err %v", next, err)
	}
	if got, _ := wholeLog(t, s, next, 4096); len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "11x") {
		t.Errorf("behind it: %q", got)
	}
}
