package index

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

func TestMessagesAreFoundByWhatTheyHave(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{}).open()
	r.send(sent{topic: "a", keys: "k1 k2  k3", unique: "U1", tags: "T || x", body: "1"})
	r.send(sent{topic: "b", keys: "k1", unique: "U2", body: "2"})
	r.send(sent{topic: "a", keys: "k1 k1 U3", unique: "U3", body: "3"})
	r.send(sent{topic: "a", keys: "T#red", body: "4"})
	r.send(sent{topic: "a", tags: "red", body: "5"})
	r.send(sent{topic: "a", body: "6"})
	for _, c := range []struct {
		topic, key string
		kind       Kind
		want       []string
	}{
		{"a", "k1", ByKey, []string{"1", "3"}},
		{"a", "k2", ByKey, []string{"1"}},
		{"a", "k3", ByKey, []string{"1"}},
		{"a", "k", ByKey, nil},
		{"a", "k1 k2", ByKey, nil},
		{"a", "", ByKey, nil},
		{"b", "k1", ByKey, []string{"2"}},
		{"c", "k1", ByKey, nil},
		{"a", "U1", ByKey, []string{"1"}},
		{"a", "U3", ByKey, []string{"3"}},
		{"a", "U2", ByKey, nil},
		{"a", "T || x", ByTags, []string{"1"}},
		{"a", "x", ByTags, nil},
		// One name in the index, and two messages.
		{"a", "red", ByTags, []string{"5"}},
		{"a", "T#red", ByKey, []string{"4"}},
	} {
		q := always(c.topic, c.key)
		q.Kind = c.kind
		if diff := cmp.Diff(c.want, r.find(q)); diff != "" {
			t.Errorf("topic %s, key %q, kind %d:\n%s", c.topic, c.key, c.kind, diff)
		}
	}
}

func TestAQueryGetsTheNewestOfItsTimeInTheOrderOfTheLog(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{FileEntries: 7, ReadBytes: 500}).open()
	for i := range 30 {
		r.send(sent{topic: "a", keys: "k", body: fmt.Sprint(i)})
	}
	at := func(i int64) int64 { return began.UnixMilli() + i*1000 }
	for _, c := range []struct {
		name       string
		begin, end int64
		most       int
		bytes      int
		want       []string
	}{
		{"all", 0, 1<<63 - 1, 3, 1 << 20, []string{"27", "28", "29"}},
		{"both ends count", at(5), at(8), 10, 1 << 20, []string{"5", "6", "7", "8"}},
		{"to the millisecond", at(5) + 1, at(8) - 1, 10, 1 << 20, []string{"6", "7"}},
		{"the newest before a time", -1 << 63, at(8), 2, 1 << 20, []string{"7", "8"}},
		{"bytes", 0, 1<<63 - 1, 10, 250, []string{"28", "29"}},
		{"a message larger than the bytes", 0, 1<<63 - 1, 10, 1, []string{"29"}},
		{"none at all", 0, 1<<63 - 1, 0, 1 << 20, nil},
		{"fewer than none", 0, 1<<63 - 1, -1, 1 << 20, nil},
		{"later", at(40), 1<<63 - 1, 10, 1 << 20, nil},
		{"earlier", 0, at(0) - 1, 10, 1 << 20, nil},
		{"no time", at(8), at(5), 10, 1 << 20, nil},
	} {
		q := Query{Topic: "a", Key: "k", Begin: c.begin, End: c.end, Max: c.most, MaxBytes: c.bytes}
		if diff := cmp.Diff(c.want, r.find(q)); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

func TestNothingHappensBeforeTheFirstQuery(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{}).open()
	r.send(sent{topic: "a", keys: "k", body: "1"})
	if r.index.started {
		t.Error("it reads the log, though nobody asks")
	}
	r.close()
	if _, err := r.fs.Stat(indexDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has a directory: %v", err)
	}
}

func TestItFollowsTheLogAfterTheFirstQuery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}).open()
		defer r.close()
		r.send(sent{topic: "a", keys: "k", body: "1"})
		r.find(always("a", "k"))
		r.send(sent{topic: "a", keys: "k", body: "2"})
		_, end := r.store.LogBounds()
		time.Sleep(gatherTime + time.Millisecond) // virtual
		synctest.Wait()
		if r.index.done.phys != end {
			t.Errorf("it covers %d bytes of %d", r.index.done.phys, end)
		}
	})
}

func TestAnIndexIsTakenUpWhereItEnded(t *testing.T) {
	t.Parallel()
	for _, entries := range []int{1000, 10} {
		r := newRig(t, Options{FileEntries: entries, ReadBytes: 500}).open()
		for i := range 25 {
			r.send(sent{topic: "a", keys: fmt.Sprint("k", i%3), body: fmt.Sprint(i)})
		}
		r.find(always("a", "k0"))
		_, end := r.store.LogBounds()
		r.close()
		r.open()
		if got := r.index.done.phys; got != end {
			t.Errorf("%d entries a file: it covers %d bytes, want %d", entries, got, end)
		}
		if !r.index.started {
			t.Error("it does not follow the log")
		}
		r.send(sent{topic: "a", keys: "k0", body: "later"})
		if diff := cmp.Diff(r.want(always("a", "k0")), r.find(always("a", "k0"))); diff != "" {
			t.Errorf("%d entries a file:\n%s", entries, diff)
		}
	}
}

// damage writes over a file of the index.
func (r *rig) damage(name string, at int64, b ...byte) {
	r.Helper()
	f, err := r.fs.OpenFile(filepath.Join(indexDir, name), os.O_RDWR, 0)
	if err != nil {
		r.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			r.Error(err)
		}
	}()
	if _, err := f.WriteAt(b, at); err != nil {
		r.Fatal(err)
	}
}

func TestWhatDoesNotFitIsIndexedAgain(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(r *rig, files []string){
		"a file is missing":         func(r *rig, files []string) { r.remove(files[1]) },
		"the first file is missing": func(r *rig, files []string) { r.remove(files[0]) },
		"a header is damaged":       func(r *rig, files []string) { r.damage(files[1], 20, 0xFF) },
		"a fence is damaged":        func(r *rig, files []string) { r.damage(files[1], headerSize, 0xFF) },
		"a count is huge":           func(r *rig, files []string) { r.damage(files[0], headerSize-8, 0x7F) },
		"a file is too long":        func(r *rig, files []string) { r.damage(files[2], 5000, 1) },
		"a file was being written":  func(r *rig, files []string) { r.write(files[1]+".tmp", "abc") },
		"Apache's index is there":   func(r *rig, _ []string) { r.write("20260101000000000", "abc") },
		"all is gone":               func(r *rig, files []string) { r.remove(files...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Options{FileEntries: 8, ReadBytes: 500}).open()
			for i := range 40 {
				r.send(sent{topic: "a", keys: fmt.Sprint("k", i%3), body: fmt.Sprint(i)})
			}
			r.find(always("a", "k1"))
			r.close()
			spoil(r, r.files())
			r.open()
			if diff := cmp.Diff(r.want(always("a", "k1")), r.find(always("a", "k1"))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func (r *rig) files() []string {
	r.Helper()
	list, err := r.fs.ReadDir(indexDir)
	if err != nil {
		r.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	if len(names) < 3 {
		r.Fatalf("there are %d files", len(names))
	}
	return names
}

func (r *rig) remove(names ...string) {
	r.Helper()
	for _, name := range names {
		if err := r.fs.Remove(filepath.Join(indexDir, name)); err != nil {
			r.Fatal(err)
		}
	}
}

// removeAll deletes the index.
func (r *rig) removeAll() {
	r.Helper()
	if err := vfs.RemoveTree(r.fs, indexDir); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) write(name, text string) {
	r.Helper()
	if err := vfs.WriteFileAtomic(r.fs, filepath.Join(indexDir, name), []byte(text)); err != nil {
		r.Fatal(err)
	}
}

func TestAnIndexOfAnotherLogIsDropped(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{FileEntries: 8, ReadBytes: 500}).open()
	for i := range 40 {
		r.send(sent{topic: "a", keys: "k", body: fmt.Sprint("old", i)})
	}
	r.find(always("a", "k"))
	r.close()
	entries, err := r.fs.ReadDir("/data")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "index" {
			if err := vfs.RemoveTree(r.fs, filepath.Join("/data", e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.sent = nil
	r.clock.Add(1000)
	// The new log is longer than the old when the index comes to it.
	r.options.Dir = "/data/none"
	r.open()
	for i := range 60 {
		r.send(sent{topic: "a", keys: "k", body: fmt.Sprint("one of the new ", i)})
	}
	r.close()
	r.options.Dir = ""
	r.open()
	if diff := cmp.Diff(r.want(always("a", "k")), r.find(always("a", "k"))); diff != "" {
		t.Error(diff)
	}
}

func TestAQueryThatCannotWaitSaysHowFarTheIndexIs(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{}).open()
	r.send(sent{topic: "a", keys: "k", unique: "U", body: "1"})
	_, end := r.store.LogBounds()
	r.find(always("a", "k"))
	r.index.cancel() // nothing is indexed from now on
	<-r.index.ended
	r.index.ctx = context.Background()
	r.send(sent{topic: "a", keys: "k", body: "2"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, now := r.store.LogBounds()
	_, err := r.index.Query(ctx, always("a", "k"))
	var building *BuildingError
	if !errors.As(err, &building) || building.Done != end || building.Behind != now-end {
		t.Errorf("err is %v, want %d of %d bytes", err, end, now)
	}
	q := always("a", "U")
	q.Any = true
	if res, err := r.index.Query(ctx, q); err != nil || res.Count != 1 {
		t.Errorf("by its unique key: %d messages, %v", res.Count, err)
	}
	q.Key = "V"
	if _, err := r.index.Query(ctx, q); !errors.As(err, &building) {
		t.Errorf("by a unique key that is not there: %v", err)
	}
}

func TestAQueryAfterCloseIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{}).open()
	r.send(sent{topic: "a", keys: "k", body: "1"})
	if err := r.index.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.index.Query(t.Context(), always("a", "k")); !errors.Is(err, ErrClosed) {
		t.Errorf("err is %v", err)
	}
}

// A random workload, with restarts, kills and power cuts, finds what a look at all
// messages finds.
func TestItFindsWhatALookAtAllMessagesFinds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(15) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			r := newRig(t, Options{FileEntries: 1 + rng.IntN(60), ReadBytes: 1 << (6 + rng.IntN(8)), SaveBytes: int64(1 + rng.IntN(20_000))})
			r.segment = 4096
			r.open()
			word := func(n int) string { return fmt.Sprint("w", rng.IntN(n)) }
			for step := range 120 {
				for range rng.IntN(12) {
					r.send(sent{
						topic: word(3), keys: strings.Join([]string{word(5), word(50)}[rng.IntN(2):], " "), unique: fmt.Sprint("U", len(r.sent)),
						tags: word(2), body: fmt.Sprint(seed, "/", len(r.sent)),
					})
				}
				switch rng.IntN(12) {
				case 0:
					r.close()
					r.open()
				case 1:
					r.kill((*vfs.Mem).Clone)
					r.open()
				case 3:
					r.expire(1 + rng.IntN(2))
				case 2:
					r.kill(func(m *vfs.Mem) *vfs.Mem { return m.Crash(seed + uint64(step)) })
					r.open()
					_, end := r.store.LogBounds()
					r.sent = slices.DeleteFunc(r.sent, func(m sent) bool { return m.phys >= end })
				}
				q := always(word(3), word(50))
				q.Kind, q.Max = Kind(rng.IntN(2)), rng.IntN(40)
				q.Begin = began.UnixMilli() + int64(rng.IntN(200)*1000)
				q.End = q.Begin + int64(rng.IntN(500)*1000)
				if diff := cmp.Diff(r.want(q), r.find(q)); diff != "" {
					t.Fatalf("step %d, %+v:\n%s", step, q, diff)
				}
			}
		})
	}
}

func TestEntriesOfDeletedFilesGoWithThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{FileEntries: 8, ReadBytes: 500})
		r.segment = 1000
		r.open()
		for i := range 60 {
			r.send(sent{topic: "a", keys: fmt.Sprint("k", i%3), body: fmt.Sprint(i)})
		}
		r.find(always("a", "k1"))
		synctest.Wait()
		before := r.files()
		r.expire(3)
		want := r.want(always("a", "k1"))
		if diff := cmp.Diff(want, r.find(always("a", "k1"))); diff != "" || len(want) == 0 || want[0] == "1" {
			t.Errorf("%d messages:\n%s", len(want), diff)
		}
		r.send(sent{topic: "a", keys: "k1", body: "last"})
		r.find(always("a", "k1"))
		synctest.Wait()
		if after := r.files(); slices.Contains(after, before[0]) || !slices.Contains(after, before[len(before)-1]) {
			t.Errorf("the files were %q and are %q", before, after)
		}
		r.close()
	})
}

// expire deletes the log's oldest files.
func (r *rig) expire(files int) {
	r.Helper()
	if _, err := r.store.DeleteExpired(r.Context(), store.Expiry{Force: true, MaxFiles: files}); err != nil {
		r.Fatal(err)
	}
}

func FuzzFile(f *testing.F) {
	fsys := vfs.NewMem()
	x := &Index{opt: Options{FS: fsys, Dir: indexDir}}
	var entries []entry
	for i := range 3000 {
		entries = append(entries, entry{uint64(i) << 50, int64(i), 7})
	}
	for _, n := range []int{0, 1, 3000} {
		file, err := x.writeFile(0, position{phys: 5000}, entries[:n])
		if err != nil {
			f.Fatal(err)
		}
		r, err := fsys.OpenFile(file.path, os.O_RDONLY, 0)
		if err != nil {
			f.Fatal(err)
		}
		b := make([]byte, file.size())
		if _, err := r.ReadAt(b, 0); err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys := vfs.NewMem()
		if err := fsys.MkdirAll(indexDir, 0o755); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(indexDir, "f")
		if err := vfs.WriteFileAtomic(fsys, path, data); err != nil {
			t.Fatal(err)
		}
		file, err := openFile(fsys, path)
		if err != nil {
			return
		}
		if file.size() != int64(len(data)) || !slices.Equal(file.header(), data[:file.entriesAt()]) {
			t.Errorf("%+v of %d bytes", file, len(data))
		}
		x := &Index{opt: Options{FS: fsys}}
		if got, err := x.readEntries(file); err != nil || int64(len(got)) != file.count {
			t.Errorf("%d of %d entries: %v", len(got), file.count, err)
		}
	})
}
