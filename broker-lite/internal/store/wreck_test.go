package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// wreckage is a store of 40 records in 5 files, closed or killed, that a test damages.
type wreckage struct {
	t      *testing.T
	o      Options
	fs     *vfs.Mem
	places []int64
	sizes  []int64
	lost   map[int]bool // records that the damage has taken
}

const wreckRecords = 40

func newWreckage(t *testing.T, make func(testing.TB, Options, func(*Store)) *vfs.Mem) *wreckage {
	w := &wreckage{t: t, o: Options{SegmentSize: 1000, QueueFileEntries: 7, Dir: testDir}, lost: map[int]bool{}}
	w.fs = make(t, w.o, func(s *Store) {
		for i := range wreckRecords {
			body := fmt.Sprintf("body %d %s", i, strings.Repeat("x", i%7))
			w.places = append(w.places, mustPut(t, s, "orders", int32(i%2), "t", body).PhysicalOffset)
			w.sizes = append(w.sizes, int64(len(record(t, "orders", 0, "t", []byte(body)))))
		}
	})
	w.o.FS = w.fs
	return w
}

// files are the log's.
func (w *wreckage) files() []int64 {
	w.t.Helper()
	firsts, err := listOffsets(w.fs, filepath.Join(testDir, commitLogName))
	if err != nil {
		w.t.Fatal(err)
	}
	return firsts
}

// in lists the records of the file that begins at first.
func (w *wreckage) in(first int64) (list []int) {
	for i, at := range w.places {
		if at >= first && at < first+w.o.SegmentSize {
			list = append(list, i)
		}
	}
	return list
}

// flip damages a byte of a record, and so loses it.
func (w *wreckage) flip(i int, at int64) {
	w.lost[i] = true
	first := w.places[i] / w.o.SegmentSize * w.o.SegmentSize
	flip(w.t, w.fs, logPath(first), w.places[i]-first+at)
}

// shorten cuts a file to a size, and loses what is behind it.
func (w *wreckage) shorten(first, size int64) {
	edit(w.t, w.fs, logPath(first), cutTo(w.t, size))
	for _, i := range w.in(first) {
		if w.places[i]+w.sizes[i] > first+size {
			w.lost[i] = true
		}
	}
}

// removeFile removes a file of the log.
func (w *wreckage) removeFile(first int64) {
	if err := errors.Join(w.fs.Remove(logPath(first)), w.fs.SyncDir(filepath.Dir(logPath(first)))); err != nil {
		w.t.Fatal(err)
	}
	for _, i := range w.in(first) {
		w.lost[i] = true
	}
}

// look opens the store, and compares what it has with what is not lost. Offsets are
// what they were: what was lost is passed over.
func (w *wreckage) look() error {
	s, err := Open(w.t.Context(), w.o)
	if err != nil {
		return err
	}
	list, err := listStored(s)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	var got, want []string
	for _, r := range list {
		got = append(got, fmt.Sprintf("%d:%d %s", r.queueID, r.offset, r.body))
	}
	for i := range wreckRecords {
		if !w.lost[i] {
			want = append(want, fmt.Sprintf("%d:%d body %d %s", i%2, i/2, i, strings.Repeat("x", i%7)))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("records: %s", diff)
	}
	return nil
}

// clean inspects, and wants nothing to be found.
func (w *wreckage) clean() error {
	r, err := Inspect(w.t.Context(), w.o, nil)
	if err == nil && r.ProblemsFound > 0 {
		err = fmt.Errorf("%d places are damaged: %s", r.ProblemsFound, &r.Problems[0])
	}
	return err
}

// wreck is a way to damage a store.
type wreck struct {
	cut    bool // it takes a cut to repair it
	closed bool // nothing is wrong with a store that was killed, whose end was not synced and that had no checkpoint
	damage func(w *wreckage)
}

func wrecks() map[string]wreck {
	return map[string]wreck{
		"a torn end": {false, false, func(w *wreckage) {
			last := w.files()[len(w.files())-1]
			size := fileSize(w.t, w.fs, logPath(last))
			edit(w.t, w.fs, logPath(last), func(f vfs.File) {
				if _, err := f.WriteAt(bytes.Repeat([]byte{7}, 33), size); err != nil {
					w.t.Fatal(err)
				}
			})
		}},
		"an end that is lost, in a record":     {false, false, func(w *wreckage) { w.shortenLast(10) }},
		"an end that is lost, behind a record": {false, true, func(w *wreckage) { w.shortenLast(0) }},
		"the last file gone":                   {true, true, func(w *wreckage) { w.removeFile(w.files()[len(w.files())-1]) }},
		"the first record of a file":           {true, false, func(w *wreckage) { w.flip(w.in(1000)[0], 88) }},
		"the last record of a file":            {true, false, func(w *wreckage) { l := w.in(1000); w.flip(l[len(l)-1], 88) }},
		"the last two records of a file, and its end": {true, false, func(w *wreckage) {
			l := w.in(1000)
			w.flip(l[len(l)-1], 3)
			w.flip(l[len(l)-2], 3)
			flip(w.t, w.fs, logPath(1000), w.places[l[len(l)-1]]+w.sizes[l[len(l)-1]]-1000+5)
		}},
		"the blank record at a file's end": {true, false, func(w *wreckage) {
			l := w.in(1000)
			flip(w.t, w.fs, logPath(1000), w.places[l[len(l)-1]]+w.sizes[l[len(l)-1]]-1000+5)
		}},
		"a file gone in the middle":       {true, false, func(w *wreckage) { w.removeFile(2000) }},
		"two files gone in the middle":    {true, false, func(w *wreckage) { w.removeFile(1000); w.removeFile(2000) }},
		"a file short by its blank":       {true, false, func(w *wreckage) { w.shorten(1000, 999) }},
		"a file short by a record":        {true, false, func(w *wreckage) { l := w.in(1000); w.shorten(1000, w.places[l[len(l)-1]]-1000) }},
		"a file short in a record":        {true, false, func(w *wreckage) { w.shorten(1000, w.places[w.in(1000)[3]]-1000+20) }},
		"a file empty":                    {true, false, func(w *wreckage) { w.shorten(2000, 0) }},
		"one record":                      {true, false, func(w *wreckage) { w.flip(12, 88) }},
		"neighbours":                      {true, false, func(w *wreckage) { w.flip(12, 2); w.flip(13, 2); w.flip(14, 88) }},
		"many places in many files":       {true, false, func(w *wreckage) { w.flip(1, 88); w.flip(5, 88); w.flip(13, 2); w.flip(20, 88); w.removeFile(3000) }},
		"the log and a queue":             {true, true, func(w *wreckage) { w.flip(12, 88); w.removeQueueFile(0) }},
		"a queue's first file":            {false, true, func(w *wreckage) { w.removeQueueFile(0) }},
		"zeros over the middle of a file": {true, false, func(w *wreckage) { w.zero(12, 15) }},
	}
}

func (w *wreckage) shortenLast(more int64) {
	last := w.files()[len(w.files())-1]
	l := w.in(last)
	w.shorten(last, w.places[l[len(l)-2]]-last+more)
}

func (w *wreckage) removeQueueFile(first int64) {
	dir := filepath.Join(testDir, consumeQueueDir, "orders", "1")
	if err := errors.Join(w.fs.Remove(filepath.Join(dir, offsetName(first))), w.fs.SyncDir(dir)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wreckage) zero(from, to int) {
	first := w.places[from] / 1000 * 1000
	edit(w.t, w.fs, logPath(first), func(f vfs.File) {
		if _, err := f.WriteAt(make([]byte, w.places[to]-w.places[from]), w.places[from]-first); err != nil {
			w.t.Fatal(err)
		}
	})
	for i := from; i < to; i++ {
		w.lost[i] = true
	}
}

// eachWreck runs f for every damage to a store that was closed, and to one that was
// killed before its first checkpoint.
func eachWreck(t *testing.T, f func(t *testing.T, w *wreckage, cut bool)) {
	t.Helper()
	for name, c := range wrecks() {
		for how, make := range map[string]func(testing.TB, Options, func(*Store)) *vfs.Mem{"closed": closed, "killed": killed} {
			if how == "killed" && c.closed {
				continue
			}
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				w := newWreckage(t, make)
				c.damage(w)
				f(t, w, c.cut)
			})
		}
	}
}

func TestRepairMendsWhatIsDamagedAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	eachWreck(t, func(t *testing.T, w *wreckage, cut bool) {
		was := filesOf(t, w.fs, filepath.Join(testDir, commitLogName))
		if err := w.clean(); err == nil {
			t.Fatal("check finds nothing")
		}
		if cut {
			done, err := Repair(t.Context(), w.o, false, nil)
			if !errors.Is(err, ErrNeedsCut) || done.Backup != "" || !maps.Equal(was, filesOf(t, w.fs, filepath.Join(testDir, commitLogName))) {
				t.Fatalf("without a cut: %+v, %v; want nothing changed", done, err)
			}
		}
		done, err := Repair(t.Context(), w.o, cut, nil)
		if err != nil || done.Backup == "" {
			t.Fatalf("%+v, %v", done, err)
		}
		for path, data := range filesOf(t, w.fs, filepath.Join(done.Backup, commitLogName)) {
			if was[path] != data {
				t.Errorf("%s in the backup is not what it was", path)
			}
			delete(was, path)
		}
		for path, data := range filesOf(t, w.fs, filepath.Join(testDir, commitLogName)) {
			if before, ok := was[path]; ok && before != data {
				t.Errorf("%s was changed, and is not in the backup", path)
			}
		}
		if err := w.clean(); err != nil {
			t.Errorf("after the repair: %v", err)
		}
		if again, err := Repair(t.Context(), w.o, false, nil); err != nil || again.Backup != "" {
			t.Errorf("a second repair: %+v, %v; want nothing to do", again, err)
		}
		if err := w.look(); err != nil {
			t.Error(err)
		}
		w.goOn()
	})
}

// goOn uses a repaired store, kills it, and builds all anew.
func (w *wreckage) goOn() {
	w.t.Helper()
	s := openStore(w.t, w.o)
	next := s.MaxOffset("orders", 0)
	if r := mustPut(w.t, s, "orders", 0, "t", "more"); r.QueueOffset != next {
		w.t.Errorf("the next record is at %d, the queue ended at %d", r.QueueOffset, next)
	}
	killed := w.fs.Clone()
	mustClose(w.t, s)
	anew := w.fs.Clone()
	removeDerived(w.t, Options{FS: anew, Dir: testDir})
	for name, fs := range map[string]*vfs.Mem{"closed": w.fs, "killed": killed, "built anew": anew} {
		o := w.o
		o.FS = fs
		if err := (&wreckage{t: w.t, o: o, fs: fs}).clean(); err != nil {
			w.t.Errorf("%s after one more record: %v", name, err)
		}
		s := openStore(w.t, o)
		if got := bodies(readAll(w.t, s, "orders", 0)); len(got) == 0 || got[len(got)-1] != "more" {
			w.t.Errorf("%s: the last is not the last: %q", name, got)
		}
		mustClose(w.t, s)
	}
}

// filesOf reads a directory.
func filesOf(t *testing.T, fs vfs.FS, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	list, err := fs.ReadDir(dir)
	if err != nil && len(list) > 0 {
		t.Fatal(err)
	}
	for _, e := range list {
		data, err := vfs.ReadFile(fs, filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

// A repair that is killed, or loses power, is begun anew.
func TestRepairThatIsInterruptedCanBeRepeated(t *testing.T) {
	t.Parallel()
	images := 0
	for _, name := range []string{"many places in many files", "a file gone in the middle", "the last two records of a file, and its end", "the log and a queue", "a torn end"} {
		w := newWreckage(t, closed)
		w.fs.WriteBack(7)
		wrecks()[name].damage(w)
		mem := w.fs
		var list []*vfs.Mem
		n := uint64(0)
		w.o.FS = vfs.NewFaulty(mem, vfs.Hooks{After: func(c vfs.Call, _ error) {
			if changing(c.Op) && strings.HasPrefix(c.Path, testDir+"/") { // the copy is of no use yet, and does no harm
				if n++; n%2 == 0 {
					list = append(list, mem.Clone())
				} else {
					list = append(list, mem.Crash(n))
				}
			}
		}})
		if _, err := Repair(t.Context(), w.o, true, nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, fs := range list {
			w.fs, w.o.FS = fs, fs
			w.o.Now = func() time.Time { return time.Now().Add(time.Hour) } // another directory for the copy
			if _, err := Repair(t.Context(), w.o, true, nil); err != nil {
				t.Fatalf("%s: image %d of %d: %v", name, i, len(list), err)
			}
			if err := errors.Join(w.clean(), w.look()); err != nil {
				t.Fatalf("%s: image %d of %d: %v", name, i, len(list), err)
			}
		}
		images += len(list)
	}
	t.Logf("%d interruptions", images)
}

func TestRepairWithoutRoomForTheCopyChangesNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(vfs.Call) bool{
		"the disk says so":         nil,
		"it shows while it copies": func(c vfs.Call) bool { return c.Op == vfs.OpWrite && strings.Contains(c.Path, ".backup-") },
	} {
		w := newWreckage(t, closed)
		wrecks()["one record"].damage(w)
		was := w.fs.Clone()
		w.o.FS = noRoomFS{w.fs}
		if fault != nil {
			w.o.FS = vfs.NewFaulty(w.fs, vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
				if fault(c) {
					return vfs.Fault{Err: syscall.ENOSPC}
				}
				return vfs.Fault{}
			}})
		}
		done, err := Repair(t.Context(), w.o, true, nil)
		if err == nil || !strings.Contains(err.Error(), "nothing was changed") || done.Backup != "" {
			t.Fatalf("%s: %+v, %v", name, done, err)
		}
		for _, dir := range []string{testDir + "/" + commitLogName, testDir + "/" + consumeQueueDir + "/orders/0"} {
			if diff := cmp.Diff(filesOf(t, was, dir), filesOf(t, w.fs, dir)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		list, err := w.fs.ReadDir(filepath.Dir(testDir))
		if err != nil || len(list) != 1 {
			t.Errorf("%s: %v, %v; want nothing beside the store", name, list, err)
		}
	}
}

// noRoomFS has 100 bytes left.
type noRoomFS struct{ *vfs.Mem }

func (noRoomFS) Space(string) (vfs.Space, error) {
	return vfs.Space{Total: 1 << 30, Free: 100, Available: 100}, nil
}

func TestRepairNamesWhatTheLostEndHeld(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"an end that is lost, in a record", "an end that is lost, behind a record", "the last file gone"} {
		w := newWreckage(t, closed)
		wrecks()[name].damage(w)
		r, err := Inspect(t.Context(), w.o, nil)
		if err != nil || r.ProblemsFound != 1 {
			t.Fatalf("%s: %+v, %v; want one place", name, r, err)
		}
		lost := 0
		for _, l := range r.Problems[0].Lost {
			lost += int(l.To - l.From)
		}
		if lost != len(w.lost) {
			t.Errorf("%s: %d records are named as lost, want %d", name, lost, len(w.lost))
		}
	}
}
