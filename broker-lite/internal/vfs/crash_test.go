package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// outcomes counts what many power cuts leave.
func outcomes(m *Mem, see func(*Mem) string) map[string]int {
	out := map[string]int{}
	for seed := range uint64(300) {
		out[see(m.Crash(seed))]++
	}
	return out
}

func seeFile(name string) func(*Mem) string {
	return func(m *Mem) string {
		b, err := readWhole(m, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "missing"
		case err != nil:
			return err.Error()
		case len(b) > 40:
			return fmt.Sprintf("%d bytes", len(b))
		}
		return string(b)
	}
}

func wantOutcomes(t *testing.T, got map[string]int, want ...string) {
	t.Helper()
	wantAmong(t, got, want...)
	if len(got) != len(want) {
		t.Errorf("outcomes %v, want only %q", got, want)
	}
}

func wantAmong(t *testing.T, got map[string]int, want ...string) {
	t.Helper()
	for _, w := range want {
		if got[w] == 0 {
			t.Errorf("%q never happened in %v", w, got)
		}
	}
}

func TestSyncedContentSurvivesUnsyncedMay(t *testing.T) {
	t.Parallel()
	m := NewMem()
	put(t, m, "file", "old")
	must(t, m.SyncDir("/"))
	wantOutcomes(t, outcomes(m, seeFile("file")), "old")
	f := open(t, m, "file", os.O_RDWR)
	write(t, f, 0, "new")
	wantOutcomes(t, outcomes(m, seeFile("file")), "old", "new")
	must(t, f.Sync())
	wantOutcomes(t, outcomes(m, seeFile("file")), "new")
	must(t, f.Truncate(1))
	wantAmong(t, outcomes(m, seeFile("file")), "new", "n")
	must(t, f.Sync())
	wantOutcomes(t, outcomes(m, seeFile("file")), "n")
	if got := content(t, m, "file"); got != "n" {
		t.Fatalf("Crash changed the original to %q", got)
	}
}

func TestNewEntriesNeedSyncDir(t *testing.T) {
	t.Parallel()
	m := NewMem()
	put(t, m, "file", "content") // its content is synced, its name is not
	wantOutcomes(t, outcomes(m, seeFile("file")), "content", "missing")
	must(t, m.SyncDir("/"))
	wantOutcomes(t, outcomes(m, seeFile("file")), "content")
	must(t, m.Remove("file"))
	wantOutcomes(t, outcomes(m, seeFile("file")), "content", "missing")
	must(t, m.SyncDir("/"))
	wantOutcomes(t, outcomes(m, seeFile("file")), "missing")

	must(t, m.MkdirAll("a/b", 0o755))
	put(t, m, "a/b/file", "deep")
	must(t, m.SyncDir("a/b"))
	wantOutcomes(t, outcomes(m, seeFile("a/b/file")), "deep", "missing") // its directories are not durable
	must(t, m.SyncDir("a"))
	must(t, m.SyncDir("/"))
	wantOutcomes(t, outcomes(m, seeFile("a/b/file")), "deep")
}

func TestRenameHappensAsAWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	m := NewMem()
	put(t, m, "old", "old")
	put(t, m, "new", "new")
	must(t, m.SyncDir("/"))
	must(t, m.Rename("new", "old"))
	both := func(m *Mem) string { return seeFile("old")(m) + "," + seeFile("new")(m) }
	wantOutcomes(t, outcomes(m, both), "old,new", "new,missing")
	must(t, m.SyncDir("/"))
	wantOutcomes(t, outcomes(m, both), "new,missing")
}

func TestLargeUnsyncedWritesAreTornBySectors(t *testing.T) {
	t.Parallel()
	m := NewMem()
	must(t, m.SyncDir("/"))
	f := open(t, m, "file", os.O_RDWR|os.O_CREATE)
	must(t, m.SyncDir("/"))
	write(t, f, 0, strings.Repeat("s", 3*pageSize))
	must(t, f.Sync())
	write(t, f, 0, strings.Repeat("u", 3*pageSize))
	kinds := map[string]int{}
	for seed := range uint64(300) {
		b := content(t, m.Crash(seed), "file")
		if len(b) != 3*pageSize {
			t.Fatalf("seed %d: %d bytes", seed, len(b))
		}
		for at := 0; at < len(b); at += sectorSize {
			if s := b[at : at+sectorSize]; strings.Count(s, "u") != 0 && strings.Count(s, "u") != sectorSize {
				t.Fatalf("seed %d: the sector at %d is torn in itself", seed, at)
			}
		}
		switch n := strings.Count(b, "u"); {
		case n == 0:
			kinds["lost"]++
		case n == len(b):
			kinds["kept"]++
		case n%pageSize == 0:
			kinds["some pages"]++
		default:
			kinds["torn pages"]++
		}
	}
	for _, k := range []string{"lost", "kept", "some pages", "torn pages"} {
		if kinds[k] == 0 {
			t.Errorf("%q never happened: %v", k, kinds)
		}
	}
}

func TestUnsyncedGrowthMayLeaveHoles(t *testing.T) {
	t.Parallel()
	m := NewMem()
	f := open(t, m, "file", os.O_RDWR|os.O_CREATE)
	must(t, m.SyncDir("/"))
	write(t, f, 0, strings.Repeat("x", 2*pageSize))
	hole := 0
	for seed := range uint64(300) {
		b := content(t, m.Crash(seed), "file")
		if len(b) == 2*pageSize && b[0] == 0 && b[len(b)-1] == 'x' {
			hole++
		}
	}
	if hole == 0 {
		t.Fatal("the first page was never lost with the second kept")
	}
}

func TestWriteBackMayKeepWhatWasCutOffSince(t *testing.T) {
	t.Parallel()
	got := map[string]int{}
	for seed := range uint64(200) {
		m := NewMem()
		m.WriteBack(seed)
		f := open(t, m, "file", os.O_RDWR|os.O_CREATE)
		must(t, m.SyncDir("/"))
		write(t, f, 0, "keep")
		must(t, f.Sync())
		write(t, f, 4, "cut")
		must(t, f.Truncate(4))
		write(t, f, 4, "new")
		got[content(t, m.Crash(seed), "file")]++
		must(t, f.Sync())
		if after := content(t, m.Crash(seed), "file"); after != "keepnew" {
			t.Fatalf("after a sync: %q", after)
		}
	}
	wantAmong(t, got, "keep", "keepcut", "keepnew")
}

func TestEqualSeedsMakeEqualChoices(t *testing.T) {
	t.Parallel()
	m := NewMem()
	for i := range 20 {
		f := open(t, m, fmt.Sprint("file", i), os.O_RDWR|os.O_CREATE)
		write(t, f, 0, strings.Repeat(fmt.Sprint(i), 6000))
	}
	see := func(m *Mem) (list []string) {
		for _, n := range names(t, m, "/") {
			list = append(list, n+content(t, m, n))
		}
		return list
	}
	for seed := range uint64(30) {
		if diff := cmp.Diff(see(m.Crash(seed)), see(m.Crash(seed))); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestCloneIsWhatAKilledProcessLeaves(t *testing.T) {
	t.Parallel()
	m := NewMem()
	f := open(t, m, "file", os.O_RDWR|os.O_CREATE)
	write(t, f, 0, "written")
	if _, err := m.Lock("lock"); err != nil {
		t.Fatal(err)
	}
	c := m.Clone()
	if got := content(t, c, "file"); got != "written" {
		t.Fatalf("the clone has %q", got)
	}
	write(t, f, 0, "changed")
	if got := content(t, c, "file"); got != "written" {
		t.Fatalf("the clone has %q after the original changed", got)
	}
	l, err := c.Lock("lock")
	must(t, err)
	must(t, l.Close())
	// And it knows that nothing of it is durable.
	wantAmong(t, outcomes(c, seeFile("file")), "written", "missing", "")
}

func TestWhatACrashLeavesIsDurableAndItsOwn(t *testing.T) {
	t.Parallel()
	m := NewMem()
	put(t, m, "file", "content")
	must(t, m.SyncDir("/"))
	after := m.Crash(1)
	f := open(t, after, "file", os.O_RDWR)
	write(t, f, 0, "changed")
	if got := content(t, m, "file"); got != "content" {
		t.Fatalf("the original has %q", got)
	}
	g := open(t, m, "file", os.O_RDWR)
	write(t, g, 0, "other!!")
	must(t, g.Sync())
	wantOutcomes(t, outcomes(after, seeFile("file")), "content", "changed")
}

func TestAtomicFileIsOldOrNewAfterAnyPowerCut(t *testing.T) {
	t.Parallel()
	m := NewMem()
	must(t, m.MkdirAll("dir", 0o755))
	must(t, m.SyncDir("/"))
	var allowed map[string]bool
	cuts := 0
	fsys := NewFaulty(m, Hooks{After: func(c Call, _ error) {
		for seed := range uint64(20) {
			b, err := ReadFile(m.Crash(seed), "dir/state")
			got := string(b)
			if errors.Is(err, fs.ErrNotExist) {
				got = "none"
			} else if err != nil {
				got = err.Error()
			}
			if !allowed[got] {
				t.Errorf("after %s %s: %q", c.Op, c.Path, got)
			}
			cuts++
		}
	}})
	last := "none"
	for i := range 4 {
		next := fmt.Sprint("content ", i)
		allowed = map[string]bool{last: true, next: true}
		must(t, WriteFileAtomic(fsys, "dir/state", []byte(next)))
		allowed = map[string]bool{next: true}
		must(t, fsys.SyncDir("dir"))
		last = next
	}
	if cuts < 100 {
		t.Fatalf("only %d power cuts", cuts)
	}
}

func TestBackupServesWhenTheFileIsSpoilt(t *testing.T) {
	t.Parallel()
	valid := func(b []byte) error {
		if !strings.HasPrefix(string(b), "good") {
			return errors.New("spoilt")
		}
		return nil
	}
	m := NewMem()
	if _, err := ReadFileValid(m, "state", valid); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no file: %v", err)
	}
	must(t, WriteFileAtomic(m, "state", []byte("good 1")))
	must(t, WriteFileAtomic(m, "state", []byte("good 2")))
	put(t, m, "state", "bad")
	if b, err := ReadFileValid(m, "state", valid); string(b) != "good 1" || err != nil {
		t.Fatalf("%q, %v; want the backup", b, err)
	}
	if b, err := ReadFile(m, "state"); string(b) != "bad" || err != nil {
		t.Fatalf("%q, %v; want the file as it is", b, err)
	}
	must(t, m.Remove("state"))
	if b, err := ReadFile(m, "state"); string(b) != "good 1" || err != nil {
		t.Fatalf("%q, %v; want the backup", b, err)
	}
	put(t, m, "state", "bad")
	put(t, m, "state.bak", "bad")
	if _, err := ReadFileValid(m, "state", valid); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "state: spoilt") {
		t.Fatalf("both spoilt: %v, want what is wrong with the file", err)
	}
}
