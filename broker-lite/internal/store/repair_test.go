package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

func TestADamagedStoreIsReportedAndRepaired(t *testing.T) {
	t.Parallel()
	o := Options{SegmentSize: 2000, QueueFileEntries: 7, Dir: testDir}
	var places []int64
	base := closed(t, o, func(s *Store) {
		for i := range 40 {
			places = append(places, mustPut(t, s, "orders", int32(i%2), "t", fmt.Sprint("body ", i)).PhysicalOffset)
		}
	})
	segment := func(phys int64) (string, int64) {
		offsets, err := listOffsets(base, filepath.Join(testDir, commitLogName))
		if err != nil {
			t.Fatal(err)
		}
		first := int64(0)
		for _, f := range offsets {
			if f <= phys {
				first = f
			}
		}
		return logPath(first), phys - first
	}
	flipLog := func(fs *vfs.Mem, i int, at int64) {
		path, off := segment(places[i])
		flip(t, fs, path, off+at)
	}
	for name, c := range map[string]struct {
		damage func(*vfs.Mem)
		kind   ProblemKind
		lost   []LostRange
	}{
		"nothing":     {damage: func(*vfs.Mem) {}},
		"a timestamp": {func(fs *vfs.Mem) { flipLog(fs, 10, 45) }, LogDamage, []LostRange{{"orders", 0, 5, 6}}},
		"a size":      {func(fs *vfs.Mem) { flipLog(fs, 11, 2) }, LogDamage, []LostRange{{"orders", 1, 5, 6}}},
		"a body":      {func(fs *vfs.Mem) { flipLog(fs, 12, 90) }, LogDamage, []LostRange{{"orders", 0, 6, 7}}},
		"an entry": {func(fs *vfs.Mem) {
			flip(t, fs, filepath.Join(testDir, consumeQueueDir, "orders", "0", offsetName(0)), 40)
		}, QueueDamage, nil},
		"a queue gone": {func(fs *vfs.Mem) { _ = vfs.RemoveTree(fs, filepath.Join(testDir, consumeQueueDir, "orders", "1")) }, QueueDamage, nil},
	} {
		o := o
		o.FS = base.Clone()
		c.damage(o.FS.(*vfs.Mem))
		r, err := Inspect(context.Background(), o, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if c.kind == "" {
			if r.ProblemsFound != 0 || r.Records != 40 || r.Entries != 40 || r.Queues != 2 {
				t.Errorf("%s: %+v", name, r)
			}
			continue
		}
		if r.ProblemsFound == 0 || r.Problems[0].Kind != c.kind {
			t.Fatalf("%s: %+v", name, r)
		}
		if diff := cmp.Diff(c.lost, r.Problems[0].Lost); diff != "" {
			t.Errorf("%s: lost: %s", name, diff)
		}
		if c.kind == LogDamage {
			if done, err := Repair(context.Background(), o, false, nil); !errors.Is(err, ErrNeedsCut) || done.Backup != "" {
				t.Errorf("%s: repair without a cut: %v", name, err)
			}
		}
		done, err := Repair(context.Background(), o, true, nil)
		if err != nil || done.After == nil || done.After.ProblemsFound > 0 {
			t.Fatalf("%s: %+v %v", name, done.After, err)
		}
		if _, err := o.FS.Stat(filepath.Join(done.Backup, checkpointName)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s := openStore(t, o)
		n := len(readAll(t, s, "orders", 0)) + len(readAll(t, s, "orders", 1))
		if n != 40-len(c.lost) || s.MaxOffset("orders", 0) != 20 || s.MaxOffset("orders", 1) != 20 {
			t.Errorf("%s: %d records are left, queues end at %d and %d", name, n, s.MaxOffset("orders", 0), s.MaxOffset("orders", 1))
		}
		mustClose(t, s)
	}
}
