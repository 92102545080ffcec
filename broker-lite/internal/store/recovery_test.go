package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

func logPath(first int64) string { return filepath.Join(testDir, commitLogName, offsetName(first)) }

// edit changes a file's bytes from outside.
func edit(tb testing.TB, fs vfs.FS, path string, f func(vfs.File)) {
	tb.Helper()
	file, err := fs.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		tb.Fatal(err)
	}
	f(file)
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		tb.Fatal(err)
	}
}

func flip(tb testing.TB, fs vfs.FS, path string, at int64) {
	tb.Helper()
	edit(tb, fs, path, func(f vfs.File) {
		var b [1]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			tb.Fatal(err)
		}
		b[0] ^= 0x55
		if _, err := f.WriteAt(b[:], at); err != nil {
			tb.Fatal(err)
		}
	})
}

func fileSize(tb testing.TB, fs vfs.FS, path string) int64 {
	tb.Helper()
	info, err := fs.Stat(path)
	if err != nil {
		tb.Fatal(err)
	}
	return info.Size()
}

// killed returns a store's files after a kill, before anything was synced.
func killed(tb testing.TB, o Options, f func(*Store)) *vfs.Mem {
	tb.Helper()
	mem := vfs.NewMem()
	o.FS, o.FlushInterval = mem, time.Hour
	s := openStore(tb, o)
	f(s)
	out := mem.Clone()
	mustClose(tb, s)
	return out
}

// closed returns a store's files after Close.
func closed(tb testing.TB, o Options, f func(*Store)) *vfs.Mem {
	tb.Helper()
	mem := vfs.NewMem()
	o.FS = mem
	s := openStore(tb, o)
	f(s)
	mustClose(tb, s)
	return mem
}

func fillThree(tb testing.TB) func(*Store) {
	return func(s *Store) {
		for _, body := range []string{"first", "second", "third"} {
			mustPut(tb, s, "orders", 0, "t", body)
		}
	}
}

func TestTornLastRecordIsCutOffWhereverItIsTorn(t *testing.T) {
	t.Parallel()
	for name, base := range map[string]*vfs.Mem{
		"killed": killed(t, Options{}, fillThree(t)),
		"closed": closed(t, Options{}, fillThree(t)), // the disk has lost its end
	} {
		size := fileSize(t, base, logPath(0))
		third := size - int64(len(record(t, "orders", 0, "t", []byte("third"))))
		for at := third; at < size; at++ {
			for _, how := range []string{"cut", "zeros", "garbage"} {
				switch {
				case how == "garbage" && at >= size-int64(len("TAGS t ")):
					continue // no checksum covers the properties
				case how != "cut" && name == "closed":
					continue // what is before the checkpoint is not read again
				}
				fs := base.Clone()
				edit(t, fs, logPath(0), func(f vfs.File) { tear(t, f, how, at, size) })
				s := openStore(t, Options{FS: fs})
				if got := bodies(readAll(t, s, "orders", 0)); len(got) != 2 {
					t.Fatalf("%s, %s at %d: %q is left, want the first two", name, how, at, got)
				}
				if n := fileSize(t, fs, logPath(0)); n != third {
					t.Fatalf("%s, %s at %d: the file has %d bytes, want %d", name, how, at, n, third)
				}
				if r := mustPut(t, s, "orders", 0, "", "fresh"); r.QueueOffset != 2 || r.PhysicalOffset != third {
					t.Fatalf("%s, %s at %d: the next append is at %+v", name, how, at, r)
				}
				mustClose(t, s)
			}
		}
	}
}

// tear spoils a file from an offset on.
func tear(tb testing.TB, f vfs.File, how string, at, size int64) {
	tb.Helper()
	var err error
	switch how {
	case "cut":
		err = f.Truncate(at)
	case "zeros":
		_, err = f.WriteAt(make([]byte, size-at), at)
	case "garbage":
		_, err = f.WriteAt(bytes.Repeat([]byte{0xA7}, int(size-at)+20), at)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func TestGarbageBehindTheLastRecordIsCutOff(t *testing.T) {
	t.Parallel()
	base := killed(t, Options{}, fillThree(t))
	size := fileSize(t, base, logPath(0))
	for _, garbage := range [][]byte{{0}, make([]byte, 7), make([]byte, 5000), []byte("garbage"), {0, 0, 0, 200, 0xDA, 0xA3, 0x20, 0xA7},
		{0x7F, 0xFF, 0xFF, 0xFF, 0xDA, 0xA3, 0x20, 0xA7, 1, 2, 3}, {0, 0, 1, 0, 0xCB, 0xD4, 0x31, 0x94}, {0, 0, 0, 8, 0xCB, 0xD4, 0x31, 0x94, 1}} {
		fs := base.Clone()
		edit(t, fs, logPath(0), func(f vfs.File) {
			if _, err := f.WriteAt(garbage, size); err != nil {
				t.Fatal(err)
			}
		})
		s := openStore(t, Options{FS: fs})
		if got := bodies(readAll(t, s, "orders", 0)); len(got) != 3 {
			t.Fatalf("% x: %q is left", garbage, got)
		}
		if n := fileSize(t, fs, logPath(0)); n != size {
			t.Fatalf("% x: the file has %d bytes, want %d", garbage, n, size)
		}
	}
}

func wantCorruption(t *testing.T, fs *vfs.Mem, o Options, segment string, offset int64) *CorruptionError {
	t.Helper()
	o.FS, o.Dir = fs, testDir
	s, err := Open(context.Background(), o)
	if err == nil {
		_ = s.Close()
	}
	var c *CorruptionError
	if !errors.As(err, &c) || c.Segment != segment || c.Offset != offset {
		t.Fatalf("Open: %v, want a CorruptionError of %s at %d", err, segment, offset)
	}
	return c
}

func TestDamageInTheMiddleIsReportedAndNothingIsCut(t *testing.T) {
	t.Parallel()
	base := closed(t, Options{}, fillThree(t))
	first := int64(len(record(t, "orders", 0, "t", []byte("first"))))
	second := int64(len(record(t, "orders", 0, "t", []byte("second"))))
	size := fileSize(t, base, logPath(0))
	for name, prepare := range map[string]func(*vfs.Mem){
		"all state files lost": func(fs *vfs.Mem) { removeDerived(t, Options{FS: fs, Dir: testDir}) },
		"checkpoint lost": func(fs *vfs.Mem) {
			if err := removeCheckpoint(fs, testDir); err != nil {
				t.Fatal(err)
			}
		},
	} {
		// The size, the magic, the CRC, the physical offset, the body.
		for _, at := range []int64{first + 3, first + 4, first + 8, first + 35, first + 84 + 4} {
			fs := base.Clone()
			prepare(fs)
			flip(t, fs, logPath(0), at)
			c := wantCorruption(t, fs, Options{}, logPath(0), first)
			if !strings.Contains(c.Reason, fmt.Sprintf("follows at %d", first+second)) {
				t.Fatalf("%s, byte %d: reason %q does not name the record that follows", name, at, c.Reason)
			}
			if n := fileSize(t, fs, logPath(0)); n != size {
				t.Fatalf("%s, byte %d: the file has %d bytes, want %d", name, at, n, size)
			}
		}
	}
}

// What was never synced may come through a power cut with holes in it. That is
// no damage.
func TestHoleInWhatWasNeverSyncedIsATornTail(t *testing.T) {
	t.Parallel()
	base := killed(t, Options{}, fillThree(t))
	first := int64(len(record(t, "orders", 0, "t", []byte("first"))))
	flip(t, base, logPath(0), first+84+4)
	s := openStore(t, Options{FS: base})
	if got := bodies(readAll(t, s, "orders", 0)); len(got) != 1 || got[0] != "first" {
		t.Fatalf("%q is left, want the first", got)
	}
}

func TestMessageThatContainsARecordDoesNotPassForOne(t *testing.T) {
	t.Parallel()
	inner := record(t, "orders", 0, "t", []byte("inner"))
	fs := closed(t, Options{}, func(s *Store) {
		mustPut(t, s, "orders", 0, "t", "first")
		mustPut(t, s, "orders", 0, "", string(inner))
	})
	first := int64(len(record(t, "orders", 0, "t", []byte("first"))))
	removeDerived(t, Options{FS: fs, Dir: testDir})
	flip(t, fs, logPath(0), first+4)
	s := openStore(t, Options{FS: fs})
	if got := bodies(readAll(t, s, "orders", 0)); len(got) != 1 {
		t.Fatalf("%q is left, want the first", got)
	}
}

func rolled(tb testing.TB) func(*Store) {
	return func(s *Store) {
		for i := range 12 {
			mustPut(tb, s, "orders", 0, "", fmt.Sprint(i, strings.Repeat("x", 200)))
		}
	}
}

func TestFullFileEndsWithABlankRecordAsApacheWritesIt(t *testing.T) {
	t.Parallel()
	o := Options{SegmentSize: 1000}
	fs := closed(t, o, rolled(t))
	size := int64(len(record(t, "orders", 0, "", []byte(fmt.Sprint(0, strings.Repeat("x", 200))))))
	perFile := (1000 - blankHeader) / size
	for first := int64(0); first < 3000; first += 1000 {
		if n := fileSize(t, fs, logPath(first)); n != 1000 {
			t.Fatalf("file %d has %d bytes, want 1000", first, n)
		}
		edit(t, fs, logPath(first), func(f vfs.File) {
			var b [8]byte
			if _, err := f.ReadAt(b[:], perFile*size); err != nil {
				t.Fatal(err)
			}
			rest, magic := binary.BigEndian.Uint32(b[:]), binary.BigEndian.Uint32(b[4:])
			if int64(rest) != 1000-perFile*size || magic != protocol.MagicBlank {
				t.Fatalf("file %d: blank of %d bytes with magic %#x, want %d", first, rest, magic, 1000-perFile*size)
			}
		})
	}
	s := openStore(t, Options{FS: fs, SegmentSize: 1000})
	if err := checkConsistent(s); err != nil {
		t.Fatal(err)
	}
}

func TestDamageInAFullFileIsReported(t *testing.T) {
	t.Parallel()
	o := Options{SegmentSize: 1000}
	size := int64(len(record(t, "orders", 0, "", []byte(fmt.Sprint(0, strings.Repeat("x", 200))))))
	blank := (1000 - blankHeader) / size * size
	base := closed(t, o, rolled(t))
	for _, c := range []struct {
		name   string
		damage func(fs *vfs.Mem)
		file   int64
		offset int64
	}{
		{"a flipped bit in the last record", func(fs *vfs.Mem) { flip(t, fs, logPath(0), blank-20) }, 0, blank - size},
		{"a flipped bit in the blank", func(fs *vfs.Mem) { flip(t, fs, logPath(1000), blank+5) }, 1000, 1000 + blank},
		{"a shorter file", func(fs *vfs.Mem) {
			edit(t, fs, logPath(1000), func(f vfs.File) { _ = f.Truncate(999) })
		}, 1000, 1999},
		{"a longer file", func(fs *vfs.Mem) {
			edit(t, fs, logPath(1000), func(f vfs.File) { _ = f.Truncate(1001) })
		}, 1000, 2000},
		{"a missing file", func(fs *vfs.Mem) { _ = fs.Remove(logPath(1000)) }, 0, 1000},
		{"the last file missing", func(fs *vfs.Mem) { _ = fs.Remove(logPath(3000)); _ = fs.Remove(logPath(2000)) }, 2000, 2000},
		{"a record of another place", func(fs *vfs.Mem) {
			edit(t, fs, logPath(1000), func(f vfs.File) {
				b := make([]byte, size)
				_, _ = f.ReadAt(b, 0)
				_, _ = f.WriteAt(b, size)
			})
		}, 1000, 1000 + size},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fs := base.Clone()
			if err := removeCheckpoint(fs, testDir); err != nil {
				t.Fatal(err)
			}
			c.damage(fs)
			wantCorruption(t, fs, o, logPath(c.file), c.offset)
		})
	}
}

func TestMissingCommitLogIsReported(t *testing.T) {
	t.Parallel()
	fs := closed(t, Options{}, fillThree(t))
	if err := fs.Remove(logPath(0)); err != nil {
		t.Fatal(err)
	}
	wantCorruption(t, fs, Options{}, logPath(0), 0)
}

func TestGapInAQueueIsReported(t *testing.T) {
	t.Parallel()
	first := int64(len(record(t, "orders", 0, "t", []byte("first"))))
	fs := closed(t, Options{}, fillThree(t))
	edit(t, fs, logPath(0), func(f vfs.File) {
		if _, err := f.WriteAt([]byte{5}, first+recordQueueOffset+7); err != nil {
			t.Fatal(err)
		}
	})
	removeDerived(t, Options{FS: fs, Dir: testDir})
	wantCorruption(t, fs, Options{}, logPath(0), first)
}

func TestSizesMayChangeBetweenRuns(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	var want []string
	for round, o := range []Options{
		{SegmentSize: 1000, QueueFileEntries: 5}, {SegmentSize: 700, QueueFileEntries: 3},
		{SegmentSize: 3000, QueueFileEntries: 50}, {SegmentSize: 500, QueueFileEntries: 1},
	} {
		o.FS = fs
		s := openStore(t, o)
		for i := range 10 + round {
			want = append(want, fmt.Sprint(round, i, strings.Repeat("x", 150)))
			mustPut(t, s, "orders", 0, "", want[len(want)-1])
		}
		if round%2 == 0 {
			fs = fs.Clone()
		}
		mustClose(t, s)
	}
	s := openStore(t, Options{FS: fs})
	if diff := cmp.Diff(want, bodies(readAll(t, s, "orders", 0))); diff != "" {
		t.Fatal(diff)
	}
	if err := checkConsistent(s); err != nil {
		t.Fatal(err)
	}
}

func TestSecondStoreInADirectoryIsRefused(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{"mem": {FS: vfs.NewMem(), Dir: testDir}, "os": {FS: vfs.OS(), Dir: t.TempDir()}} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, o)
			if _, err := Open(t.Context(), o); !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), o.Dir) {
				t.Fatalf("second Open: %v, want %v that names the directory", err, vfs.ErrLocked)
			}
			mustClose(t, s)
			mustClose(t, openStore(t, o))
		})
	}
}

func TestACommitLogElsewhereIsUsedAndOwned(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	o := Options{FS: fs, Dir: "/data/a", CommitLogDir: "/disk2/log"}
	s := openStore(t, o)
	mustPut(t, s, "orders", 0, "", "x")
	if _, err := Open(t.Context(), Options{FS: fs, Dir: "/data/b", CommitLogDir: "/disk2/log/"}); !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), "/disk2/log") {
		t.Errorf("a second store on the log: %v, want %v that names it", err, vfs.ErrLocked)
	}
	mustClose(t, s)
	if _, err := fs.Stat("/disk2/log/00000000000000000000"); err != nil {
		t.Error(err)
	}
	if _, err := fs.Stat("/data/a/commitlog"); err == nil {
		t.Error("there is a second commit log")
	}
	s = openStore(t, o)
	if got := bodies(readAll(t, s, "orders", 0)); len(got) != 1 {
		t.Errorf("%q after a restart", got)
	}
	mustClose(t, s)
	var damage *CorruptionError
	if _, err := Open(t.Context(), Options{FS: fs, Dir: "/data/a"}); !errors.As(err, &damage) {
		t.Errorf("without the log: %v", err)
	}
}

func TestNewerCheckpointIsNotTouched(t *testing.T) {
	t.Parallel()
	fs := closed(t, Options{}, fillThree(t))
	if err := vfs.WriteFileAtomic(fs, filepath.Join(testDir, checkpointName), []byte(`{"version":99}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{FS: fs, Dir: testDir}); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Fatalf("Open: %v, want an error that names the version", err)
	}
}

func TestRecoveryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	fs := closed(t, Options{}, fillThree(t))
	removeDerived(t, Options{FS: fs, Dir: testDir})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, Options{FS: fs, Dir: testDir}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Open: %v, want %v", err, context.Canceled)
	}
	mustClose(t, openStore(t, Options{FS: fs}))
}

func TestCleanlyClosedStoreIsNotScanned(t *testing.T) {
	t.Parallel()
	mem := closed(t, Options{SegmentSize: 1000, QueueFileEntries: 5}, rolled(t))
	reads := 0
	fs := vfs.NewFaulty(mem, vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
		if c.Op == vfs.OpRead && vfs.MatchPath(logFiles, c.Path) {
			reads++
		}
		return vfs.Fault{}
	}})
	s := openStore(t, Options{FS: fs, SegmentSize: 1000, QueueFileEntries: 5})
	if reads != 0 {
		t.Fatalf("Open read the commit log %d times", reads)
	}
	if n := s.MaxOffset("orders", 0); n != 12 {
		t.Fatalf("max offset %d, want 12", n)
	}
}

func TestLostSyncedEndIsLoggedAsAnError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fs    *vfs.Mem
		level string
	}{
		"synced":     {closed(t, Options{}, fillThree(t)), "ERROR"},
		"not synced": {killed(t, Options{}, fillThree(t)), "WARN"},
	} {
		edit(t, c.fs, logPath(0), cutTo(t, fileSize(t, c.fs, logPath(0))-1))
		var out bytes.Buffer
		s := openStore(t, Options{FS: c.fs, Logger: slog.New(slog.NewTextHandler(&out, nil))})
		mustClose(t, s)
		if !strings.Contains(out.String(), "level="+c.level) || !strings.Contains(out.String(), logPath(0)) {
			t.Fatalf("%s: log is %q, want level %s and the file", name, out.String(), c.level)
		}
	}
}

// After the log has lost its end, a checkpoint behind it would point into the
// middle of records to come.
func TestCheckpointBehindALostEndIsForgotten(t *testing.T) {
	t.Parallel()
	fs := closed(t, Options{}, fillThree(t))
	edit(t, fs, logPath(0), cutTo(t, fileSize(t, fs, logPath(0))-1))
	s := openStore(t, Options{FS: fs, FlushInterval: time.Hour})
	mustPut(t, s, "orders", 0, "", "a longer one than that which was lost")
	mustPut(t, s, "orders", 0, "", "another")
	after := fs.Clone()
	mustClose(t, s)
	s = openStore(t, Options{FS: after})
	if got := bodies(readAll(t, s, "orders", 0)); len(got) != 4 {
		t.Fatalf("%q is left, want 4 records", got)
	}
	if err := checkConsistent(s); err != nil {
		t.Fatal(err)
	}
}
