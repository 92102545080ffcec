package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// eachFS runs a test on every implementation, in an empty directory.
func eachFS(t *testing.T, f func(t *testing.T, fsys FS, dir string)) {
	t.Helper()
	for name, c := range map[string]struct {
		fs  FS
		dir string
	}{
		"os":               {OS(), t.TempDir()},
		"mem":              {NewMem(), "/dir"},
		"faulty, no fault": {NewFaulty(NewMem(), Hooks{}), "dir"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.fs.MkdirAll(c.dir, 0o755); err != nil {
				t.Fatal(err)
			}
			f(t, c.fs, c.dir)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, fsys FS, name string, flag int) File {
	t.Helper()
	f, err := fsys.OpenFile(name, flag, 0o644)
	must(t, err)
	return f
}

func write(t *testing.T, f File, off int64, s string) {
	t.Helper()
	n, err := f.WriteAt([]byte(s), off)
	if n != len(s) || err != nil {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(s), err)
	}
}

func content(t *testing.T, fsys FS, name string) string {
	t.Helper()
	b, err := readWhole(fsys, name)
	must(t, err)
	return string(b)
}

func put(t *testing.T, fsys FS, name, s string) {
	t.Helper()
	f := open(t, fsys, name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	write(t, f, 0, s)
	must(t, f.Sync())
	must(t, f.Close())
}

func names(t *testing.T, fsys FS, dir string) (list []string) {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		n := e.Name()
		if e.IsDir() {
			n += "/"
		}
		list = append(list, n)
	}
	return list
}

func TestFilesReadBackWhatWasWritten(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "file")
		f := open(t, fsys, name, os.O_RDWR|os.O_CREATE)
		write(t, f, 0, "hello world")
		write(t, f, 6, "there")
		write(t, f, 10_000, "far") // a hole over several pages
		want := "hello there" + strings.Repeat("\x00", 10_000-11) + "far"
		if n, err := f.Size(); n != int64(len(want)) || err != nil {
			t.Fatalf("size %d, %v; want %d", n, err, len(want))
		}
		if got := content(t, fsys, name); got != want {
			t.Fatal("other content")
		}
		b := make([]byte, 10)
		if n, err := f.ReadAt(b, 9_998); n != 5 || !errors.Is(err, io.EOF) || string(b[:5]) != "\x00\x00far" {
			t.Fatalf("read over the end: %d bytes %q, %v", n, b[:n], err)
		}
		if n, err := f.ReadAt(b, 20_000); n != 0 || !errors.Is(err, io.EOF) {
			t.Fatalf("read behind the end: %d bytes, %v", n, err)
		}
		if n, err := f.ReadAt(b[:2], 0); n != 2 || err != nil {
			t.Fatalf("read: %d bytes, %v", n, err)
		}
		must(t, f.Truncate(8))
		must(t, f.Truncate(12))
		if got := content(t, fsys, name); got != "hello th\x00\x00\x00\x00" {
			t.Fatalf("after cutting and lengthening: %q", got)
		}
		must(t, f.Truncate(0))
		must(t, f.Truncate(5000))
		if got := content(t, fsys, name); got != strings.Repeat("\x00", 5000) {
			t.Fatal("old content came back after truncating to nothing")
		}
		must(t, f.Sync())
		must(t, f.Close())
		if _, err := f.ReadAt(b, 0); err == nil {
			t.Fatal("a closed file can be read")
		}
	})
}

func TestOpenFlagsMeanWhatTheyMeanInPackageOS(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "file")
		if _, err := fsys.OpenFile(name, os.O_RDWR, 0); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), name) {
			t.Fatalf("a missing file: %v", err)
		}
		if _, err := fsys.OpenFile(filepath.Join(dir, "no", "file"), os.O_RDWR|os.O_CREATE, 0o644); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("in a missing directory: %v", err)
		}
		put(t, fsys, name, "content")
		if _, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644); !errors.Is(err, fs.ErrExist) {
			t.Fatalf("exclusively, where it exists: %v", err)
		}
		must(t, open(t, fsys, name, os.O_RDWR|os.O_CREATE).Close())
		if got := content(t, fsys, name); got != "content" {
			t.Fatalf("O_CREATE on a file that exists leaves %q", got)
		}
		f := open(t, fsys, name, os.O_RDONLY)
		if _, err := f.WriteAt([]byte("x"), 0); err == nil {
			t.Fatal("a file opened for reading was written")
		}
		must(t, f.Close())
		must(t, open(t, fsys, name, os.O_RDWR|os.O_TRUNC).Close())
		if got := content(t, fsys, name); got != "" {
			t.Fatalf("O_TRUNC leaves %q", got)
		}
		if _, err := fsys.OpenFile(dir, os.O_RDWR, 0); err == nil {
			t.Fatal("a directory was opened for writing")
		}
	})
}

func TestDirectoriesListMakeAndRemove(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys FS, dir string) {
		must(t, fsys.MkdirAll(filepath.Join(dir, "b", "c"), 0o755))
		must(t, fsys.MkdirAll(filepath.Join(dir, "b"), 0o755))
		put(t, fsys, filepath.Join(dir, "z"), "z")
		put(t, fsys, filepath.Join(dir, "a"), "a")
		if diff := cmp.Diff([]string{"a", "b/", "z"}, names(t, fsys, dir)); diff != "" {
			t.Fatal(diff)
		}
		info, err := fsys.Stat(filepath.Join(dir, "z"))
		if err != nil || info.Size() != 1 || info.IsDir() || info.Name() != "z" {
			t.Fatalf("stat of a file: %v, %v", info, err)
		}
		if info, err := fsys.Stat(filepath.Join(dir, "b")); err != nil || !info.IsDir() {
			t.Fatalf("stat of a directory: %v, %v", info, err)
		}
		if _, err := fsys.Stat(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("stat of nothing: %v", err)
		}
		if _, err := fsys.ReadDir(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("list of nothing: %v", err)
		}
		if err := fsys.MkdirAll(filepath.Join(dir, "a", "sub"), 0o755); err == nil {
			t.Fatal("a directory was made below a file")
		}
		if err := fsys.Remove(filepath.Join(dir, "b")); err == nil {
			t.Fatal("a directory that is not empty was removed")
		}
		if err := fsys.Remove(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("remove of nothing: %v", err)
		}
		must(t, fsys.Remove(filepath.Join(dir, "b", "c")))
		must(t, fsys.Remove(filepath.Join(dir, "b")))
		must(t, fsys.Remove(filepath.Join(dir, "a")))
		must(t, fsys.SyncDir(dir))
		if diff := cmp.Diff([]string{"z"}, names(t, fsys, dir)); diff != "" {
			t.Fatal(diff)
		}
		if err := fsys.SyncDir(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("sync of nothing: %v", err)
		}
		must(t, RemoveTree(fsys, filepath.Join(dir, "none")))
		must(t, RemoveTree(fsys, dir))
		if _, err := fsys.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("after RemoveTree: %v", err)
		}
	})
}

func TestRenameReplacesAndOpenFilesLiveOn(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys FS, dir string) {
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		put(t, fsys, a, "from a")
		put(t, fsys, b, "from b")
		f := open(t, fsys, b, os.O_RDWR)
		must(t, fsys.Rename(a, b))
		if got := content(t, fsys, b); got != "from a" {
			t.Fatalf("b has %q", got)
		}
		if diff := cmp.Diff([]string{"b"}, names(t, fsys, dir)); diff != "" {
			t.Fatal(diff)
		}
		must(t, fsys.Remove(b))
		buf := make([]byte, 6)
		if _, err := f.ReadAt(buf, 0); err != nil || string(buf) != "from b" {
			t.Fatalf("the replaced file reads %q, %v", buf, err)
		}
		must(t, f.Close())
		if err := fsys.Rename(a, b); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("rename of nothing: %v", err)
		}
	})
}

func TestLockIsExclusiveUntilClosed(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "lock")
		l, err := fsys.Lock(name)
		must(t, err)
		if _, err := fsys.Lock(name); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), name) {
			t.Fatalf("second lock: %v, want %v and the name", err, ErrLocked)
		}
		must(t, l.Close())
		l, err = fsys.Lock(name)
		must(t, err)
		must(t, l.Close())
	})
}

func TestSpaceHasASize(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys FS, dir string) {
		s, err := fsys.Space(dir)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("not on this system")
		}
		if err != nil || s.Total <= 0 || s.Available < 0 || s.Available > s.Free || s.Free > s.Total {
			t.Fatalf("%+v, %v", s, err)
		}
	})
}

func TestFilesOfManyGoroutinesDoNotMix(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys FS, dir string) {
		done := make(chan error)
		for g := range 4 {
			go func() {
				name := filepath.Join(dir, string(rune('a'+g)))
				want := bytes.Repeat([]byte{byte(g)}, 9000)
				f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
				if err != nil {
					done <- err
					return
				}
				for i := 0; err == nil && i < 9000; i += 500 {
					_, err = f.WriteAt(want[i:i+500], int64(i))
				}
				got, rerr := readWhole(fsys, name)
				if !bytes.Equal(got, want) {
					rerr = errors.Join(rerr, errors.New(name+" has other content"))
				}
				done <- errors.Join(err, rerr, f.Sync(), f.Close())
			}()
		}
		for range 4 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestMkdirAllSyncMakesParentsDurable(t *testing.T) {
	t.Parallel()
	m := NewMem()
	var synced []string
	fsys := NewFaulty(m, Hooks{After: func(c Call, _ error) {
		if c.Op == OpSyncDir {
			synced = append(synced, c.Path)
		}
	}})
	must(t, MkdirAllSync(fsys, "/a/b/c", 0o755))
	for seed := range uint64(20) {
		if _, err := m.Crash(seed).Stat("/a/b/c"); err != nil {
			t.Fatal(err)
		}
	}
	synced = nil
	must(t, MkdirAllSync(fsys, "/a/b/c", 0o755))
	if synced != nil {
		t.Fatalf("%q were synced though nothing was made", synced)
	}
	put(t, m, "/a/file", "")
	if err := MkdirAllSync(fsys, "/a/file", 0o755); err == nil {
		t.Fatal("a directory was made where a file is")
	}
}
