package store

import (
	"slices"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// whole is what recovery asks of a record, but for its place in the log.
func whole(b []byte, offset int64) bool {
	var rec protocol.Record
	if _, err := protocol.DecodeRecord(b, &rec); err != nil || rec.VerifyBody() != nil || checkTopic(rec.Topic) != nil {
		return false
	}
	return !torn(b, len(rec.Properties), offset)
}

// Wherever a record lies, the NULs that were written in its properties are no tear, and
// a lost sector, or end, of them is one.
func TestNULsByRightAreToldFromTornSectors(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("\x00", sectorSize-3)
	for name, tt := range map[string]struct{ props, body string }{
		"none":               {"", "x"},
		"few":                {"TAGS\x01a\x00b\x02KEYS\x01\x00k\x00\x02", "x"},
		"first and alone":    {"\x00\x01\x00\x02", "x"},
		"many":               {"a\x01" + many + "\x02b\x01" + many + "x" + many + "\x02", "x"},
		"256 bytes":          {"\x00" + strings.Repeat("p", 254) + "\x02", "x"}, // whose length has a zero
		"behind a zero body": {"TAGS\x01a\x00b\x02", strings.Repeat("\x00", 2*sectorSize)},
	} {
		b := recordWith(t, "orders", 0, []byte(tt.body), []byte(tt.props))
		if _, err := checkRecord(b, "orders", 0); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		size := int64(len(b))
		for offset := range int64(sectorSize) {
			if !whole(b, offset) {
				t.Fatalf("%s, at %d: taken for torn", name, offset)
			}
			if tt.props == "" {
				continue
			}
			for sector := int64(0); sector < offset+size; sector += sectorSize {
				from, to := max(sector-offset, 0), min(sector+sectorSize-offset, size)
				if to <= size-int64(len(tt.props)) {
					continue // it has nothing of the properties
				}
				spoilt := slices.Clone(b)
				clear(spoilt[from:to])
				if whole(spoilt, offset) {
					t.Fatalf("%s, at %d: bytes %d to %d of %d are zeros, and it is taken for whole", name, offset, from, to, size)
				}
			}
		}
		for end := size - int64(len(tt.props)); end < size; end++ {
			spoilt := slices.Clone(b)
			clear(spoilt[end:])
			if whole(spoilt, 0) {
				t.Fatalf("%s: zeros from byte %d of %d on, and it is taken for whole", name, end, size)
			}
		}
	}
}

func TestPropertiesWithNULsSurviveAKill(t *testing.T) {
	t.Parallel()
	fs := killed(t, Options{}, func(s *Store) {
		for _, tag := range []string{"a\x00b", "\x00", "plain"} {
			mustPut(t, s, "orders", 0, tag, "body of "+tag)
		}
	})
	s := openStore(t, Options{FS: fs})
	got := readAll(t, s, "orders", 0)
	if len(got) != 3 || string(got[0].Properties) != "TAGS\x01a\x00b\x02" || string(got[1].Properties) != "TAGS\x01\x00\x02" {
		t.Errorf("%d records: %q", len(got), bodies(got))
	}
}
