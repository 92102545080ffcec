package store

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// holding takes the records whose bodies contain a text.
func holding(t *testing.T, text string) func([]byte) bool {
	return func(record []byte) bool {
		var r protocol.Record
		n, err := protocol.DecodeRecord(record, &r)
		if err != nil || n != len(record) {
			t.Errorf("asked for what is no record: %v", err)
		}
		return bytes.Contains(r.Body, []byte(text))
	}
}

func TestReadMatchingPassesOverWhatDoesNotMatch(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{})
	for i := range 10 {
		mustPut(t, s, "orders", 0, "t", fmt.Sprintf("%d%s", i, []string{"a", "b"}[i%2]))
		mustPut(t, s, "others", 0, "t", "beside them in the log")
	}
	size := len(record(t, "orders", 0, "t", []byte("0a")))
	for _, c := range []struct {
		name     string
		topic    string
		offset   int64
		messages int
		bytes    int
		text     string
		status   ReadStatus
		next     int64
		want     string
	}{
		{"no such queue", "none", 0, 32, 1 << 20, "a", NoQueue, 0, ""},
		{"all", "orders", 0, 32, 1 << 20, "", Found, 10, "0a1b2a3b4a5b6a7b8a9b"},
		{"every second", "orders", 0, 32, 1 << 20, "b", Found, 10, "1b3b5b7b9b"},
		{"the last", "orders", 0, 32, 1 << 20, "9", Found, 10, "9b"},
		{"the first", "orders", 0, 32, 1 << 20, "0", Found, 10, "0a"},
		{"no more than asked for", "orders", 0, 2, 1 << 20, "a", Found, 3, "0a2a"},
		{"none asked for", "orders", 1, 0, 1 << 20, "a", Found, 3, "2a"},
		{"limit in bytes", "orders", 0, 32, 2*size + size/2, "a", Found, 4, "0a2a"},
		{"first record larger than the limit", "orders", 0, 32, 1, "b", Found, 3, "1b"},
		{"none", "orders", 0, 32, 1 << 20, "c", NoMatched, 10, ""},
		{"at the end", "orders", 10, 32, 1 << 20, "a", OffsetOverflowOne, 10, ""},
		{"behind the end", "orders", 12, 32, 1 << 20, "a", OffsetOverflowBadly, 10, ""},
		{"before the beginning", "orders", -1, 32, 1 << 20, "a", OffsetTooSmall, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := s.ReadMatching(c.topic, 0, c.offset, c.messages, c.bytes, holding(t, c.text), []byte("dst"))
			if err != nil {
				t.Fatal(err)
			}
			if string(r.Body[:3]) != "dst" {
				t.Fatal("dst was not kept")
			}
			got := strings.Join(bodies(decode(t, r.Body[3:])), "")
			if r.Status != c.status || r.NextOffset != c.next || got != c.want || 2*r.Count != len(c.want) {
				t.Fatalf("%v, next %d, %d records %q; want %v, next %d, %q", r.Status, r.NextOffset, r.Count, got, c.status, c.next, c.want)
			}
		})
	}
}

func TestReadMatchingFindsWhatLiesFarBehind(t *testing.T) {
	t.Parallel()
	for name, tail := range map[string]int{"in memory": 0, "in files": minTailBytes} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, Options{TailBytes: tail, FS: vfs.NewMem()})
			const n = 3000
			for i := range n {
				mustPut(t, s, "orders", 0, "t", fmt.Sprintf("<%d> %s", i, strings.Repeat("x", 100)))
			}
			asked := 0
			match := func(rec []byte) bool { asked++; return holding(t, "<2500>")(rec) }
			at, reads := int64(0), 0
			for {
				r, err := s.ReadMatching("orders", 0, at, 32, 1<<20, match, nil)
				if err != nil {
					t.Fatal(err)
				}
				reads++
				if r.Status == Found {
					if r.Count != 1 || !holding(t, "<2500>")(r.Body) {
						t.Fatalf("%d records", r.Count)
					}
					break
				}
				if r.Status != NoMatched || r.NextOffset <= at {
					t.Fatalf("%v, next %d after %d", r.Status, r.NextOffset, at)
				}
				if seen := r.NextOffset - at; seen > 2*maxFilterEntries {
					t.Fatalf("one read looked at %d entries", seen)
				}
				at = r.NextOffset
			}
			if want := 2500/maxFilterEntries + 1; reads < want-1 || asked > n {
				t.Errorf("%d reads that asked %d times", reads, asked)
			}
		})
	}
}

func TestReadMatchingLooksAtABoundedNumberOfBytes(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{})
	for range 40 {
		mustPut(t, s, "orders", 0, "t", strings.Repeat("x", 1<<20))
	}
	r, err := s.ReadMatching("orders", 0, 0, 32, 256<<10, holding(t, "y"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != NoMatched || r.NextOffset < maxFilterBytes>>20-1 || r.NextOffset > maxFilterBytes>>20+1 {
		t.Fatalf("%v, next %d", r.Status, r.NextOffset)
	}
}
