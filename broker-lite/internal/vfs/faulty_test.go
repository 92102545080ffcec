package vfs

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

var errPlanted = errors.New("planted")

func TestNthCallOfAnOperationFails(t *testing.T) {
	t.Parallel()
	fsys := NewFaulty(NewMem(), Hooks{Before: FailNth(OpSync, "dir/b*", 2, errPlanted)})
	must(t, fsys.MkdirAll("dir", 0o755))
	a, b := open(t, fsys, "dir/a", os.O_RDWR|os.O_CREATE), open(t, fsys, "dir/b1", os.O_RDWR|os.O_CREATE)
	for range 3 {
		must(t, a.Sync())
	}
	must(t, b.Sync())
	if err := b.Sync(); !errors.Is(err, errPlanted) || !strings.Contains(err.Error(), "dir/b1") {
		t.Fatalf("second sync: %v, want the planted error and the path", err)
	}
	must(t, b.Sync())
}

func TestEveryOperationCanFailAndIsReported(t *testing.T) {
	t.Parallel()
	var fail Op
	seen := map[Op]error{}
	m := NewMem()
	fsys := NewFaulty(m, Hooks{
		Before: func(c Call) Fault {
			if c.Op == fail {
				return Fault{Err: errPlanted}
			}
			return Fault{}
		},
		After: func(c Call, err error) { seen[c.Op] = err },
	})
	must(t, fsys.MkdirAll("dir", 0o755))
	put(t, fsys, "dir/file", "content")
	f := open(t, fsys, "dir/file", os.O_RDWR)
	for op, call := range map[Op]func() error{
		OpOpen:     func() error { _, err := fsys.OpenFile("dir/file", os.O_RDWR, 0); return err },
		OpRemove:   func() error { return fsys.Remove("dir/file") },
		OpRename:   func() error { return fsys.Rename("dir/file", "dir/other") },
		OpMkdir:    func() error { return fsys.MkdirAll("dir/sub", 0o755) },
		OpReadDir:  func() error { _, err := fsys.ReadDir("dir"); return err },
		OpStat:     func() error { _, err := fsys.Stat("dir/file"); return err },
		OpSyncDir:  func() error { return fsys.SyncDir("dir") },
		OpLock:     func() error { _, err := fsys.Lock("dir/lock"); return err },
		OpSpace:    func() error { _, err := fsys.Space("dir"); return err },
		OpRead:     func() error { _, err := f.ReadAt(make([]byte, 1), 0); return err },
		OpWrite:    func() error { _, err := f.WriteAt([]byte("x"), 0); return err },
		OpSync:     func() error { return f.Sync() },
		OpTruncate: func() error { return f.Truncate(1) },
		OpSize:     func() error { _, err := f.Size(); return err },
	} {
		fail = op
		if err := call(); !errors.Is(err, errPlanted) {
			t.Errorf("%s: %v, want the planted error", op, err)
		}
		if !errors.Is(seen[op], errPlanted) {
			t.Errorf("%s: After was told %v", op, seen[op])
		}
		if got := content(t, m, "dir/file"); got != "content" {
			t.Fatalf("%s failed and yet changed the file to %q", op, got)
		}
	}
	fail = OpClose
	if err := f.Close(); !errors.Is(err, errPlanted) {
		t.Fatalf("close: %v", err)
	}
	fail = ""
	if _, err := f.ReadAt(make([]byte, 1), 0); err == nil {
		t.Fatal("the file is open after a failed close")
	}
}

func TestVolumeIsFullInTheMiddleOfAWrite(t *testing.T) {
	t.Parallel()
	v := NewVolume(10)
	m := NewMem()
	f := open(t, NewFaulty(m, Hooks{Before: v.Before}), "file", os.O_RDWR|os.O_CREATE)
	write(t, f, 0, "123456")
	n, err := f.WriteAt([]byte("abcdef"), 6)
	if n != 4 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("wrote %d bytes, %v; want 4 and no space", n, err)
	}
	if got := content(t, m, "file"); got != "123456abcd" {
		t.Fatalf("the file has %q", got)
	}
	write(t, f, 0, "overwrite!") // all 10 bytes are there already
}

func TestVolumeTakesWritesAgainWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	v := NewVolume(0)
	f := open(t, NewFaulty(NewMem(), Hooks{Before: v.Before}), "file", os.O_RDWR|os.O_CREATE)
	if n, err := f.WriteAt([]byte("x"), 5); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("wrote %d bytes, %v", n, err)
	}
	v.Free(6)
	write(t, f, 5, "x")
	write(t, f, 0, "12345x") // in place
	v.Free(-3)
	v.Free(2)
	if _, err := f.WriteAt([]byte("y"), 6); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a volume that is over its limit takes a write: %v", err)
	}
}

func TestPatternsMatchTheLastPartsOfAPath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"", "/any/thing", true}, {"c", "/a/b/c", true}, {"b/c", "/a/b/c", true}, {"b/*", "/a/b/c", true},
		{"*", "/a/b/c", true}, {"b", "/a/b/c", false}, {"a/c", "/a/b/c", false}, {"x/a/b/c", "/a/b/c", false}, {"[", "/a", false},
	} {
		if got := MatchPath(c.pattern, c.path); got != c.want {
			t.Errorf("MatchPath(%q, %q) = %v", c.pattern, c.path, got)
		}
	}
}
