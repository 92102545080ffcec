package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// dumped lists what a dump shows, bodies or what is damaged.
func dumped(t *testing.T, o Options, d Dumping, limit int) (list []string) {
	t.Helper()
	d.Record = func(r *protocol.Record) (bool, error) {
		text := string(r.Body)
		if note, ok := Note(r); ok {
			text = note
		}
		list = append(list, text)
		return limit == 0 || len(list) < limit, nil
	}
	d.Problem = func(p *Problem) error {
		list = append(list, fmt.Sprintf("%s %d-%d", p.Kind, p.Offset, p.End))
		return nil
	}
	if err := Dump(t.Context(), o, d); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestDumpListsTheLogInOrderWithItsDamage(t *testing.T) {
	t.Parallel()
	o := Options{SegmentSize: 500, Dir: testDir}
	var at []int64
	fs := closed(t, o, func(s *Store) {
		for i := range 9 {
			at = append(at, mustPut(t, s, "orders", 0, "", fmt.Sprint(i)).PhysicalOffset)
		}
		if err := s.DeleteTopic(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		mustPut(t, s, "orders", 0, "", "new")
	})
	o.FS = fs
	check := func(what string, d Dumping, limit int, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, dumped(t, o, d, limit)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	const note = "topic orders was deleted"
	check("all", Dumping{}, 0, "0", "1", "2", "3", "4", "5", "6", "7", "8", note, "new")
	check("the first", Dumping{}, 3, "0", "1", "2")
	check("from", Dumping{From: at[7]}, 0, "7", "8", note, "new")
	check("from the middle of one", Dumping{From: at[6] + 1}, 1, "7")
	check("to", Dumping{To: at[2] + 1}, 0, "0", "1", "2")
	check("from to", Dumping{From: at[5], To: at[7]}, 0, "5", "6")

	flip(t, fs, logPath(0), at[1]+88) // in its body
	damage := fmt.Sprintf("damaged log %d-%d", at[1], at[2])
	check("damaged", Dumping{}, 4, "0", damage, "2", "3")
	check("damaged before", Dumping{From: at[2]}, 1, "2")
	check("damaged behind", Dumping{To: at[1]}, 0, "0")
	if _, err := Repair(t.Context(), o, true, nil); err != nil {
		t.Fatal(err)
	}
	check("cut", Dumping{}, 3, "0", "damaged records were cut out", "2")

	// Files before from are not opened: what is wrong there does not matter.
	edit(t, fs, logPath(0), cutTo(t, 10))
	check("a file before is damaged", Dumping{From: at[8]}, 0, "8", note, "new")
}

func TestDumpTellsWhatACutHasLost(t *testing.T) {
	t.Parallel()
	o := Options{Dir: testDir}
	var at int64
	fs := closed(t, o, func(s *Store) {
		mustPut(t, s, "orders", 0, "", "a")
		at = mustPut(t, s, "orders", 0, "", strings.Repeat("b", 300)).PhysicalOffset
		mustPut(t, s, "orders", 0, "", "c")
	})
	o.FS = fs
	flip(t, fs, logPath(0), at+100)
	if _, err := Repair(t.Context(), o, true, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"a", "damaged records were cut out: topic orders queue 0 offset 1", "c"}
	if diff := cmp.Diff(want, dumped(t, o, Dumping{}, 0)); diff != "" {
		t.Error(diff)
	}
}

func TestDumpEndsWithTheErrorOfItsReader(t *testing.T) {
	t.Parallel()
	o := Options{Dir: testDir}
	o.FS = closed(t, o, fillThree(t))
	broken := errors.New("broken pipe")
	n := 0
	err := Dump(t.Context(), o, Dumping{Record: func(*protocol.Record) (bool, error) { n++; return true, broken }})
	if !errors.Is(err, broken) || n != 1 {
		t.Errorf("%v after %d records", err, n)
	}
	s := openStore(t, o)
	defer mustClose(t, s)
	if err := Dump(t.Context(), o, Dumping{}); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("of an open store: %v", err)
	}
}
