package store

import (
	"bytes"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

func TestDeletedDerivedFilesAreBuiltAnew(t *testing.T) {
	t.Parallel()
	o := Options{SegmentSize: 2000, QueueFileEntries: 5, TagsCode: func(r *protocol.Record) int64 { return r.QueueOffset * 11 }}
	base := closed(t, o, func(s *Store) {
		for i := range 60 {
			topic, q := fmt.Sprint("topic", i%2), int32(i%3)
			w := newWaiter()
			s.Append(&Append{Topic: topic, QueueID: q, Records: record(t, topic, q, "", []byte(fmt.Sprint(i))),
				TagsCodes: []int64{s.MaxOffset(topic, q) * 11}, Done: w})
			if r := <-w.c; r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	})
	remove := func(names ...string) func(*vfs.Mem) {
		return func(fs *vfs.Mem) {
			for _, n := range names {
				if err := vfs.RemoveTree(fs, filepath.Join(testDir, n)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	queue := consumeQueueDir + "/topic0/0/"
	for name, damage := range map[string]func(*vfs.Mem){
		"nothing":              func(*vfs.Mem) {},
		"everything":           remove(consumeQueueDir, checkpointName, checkpointName+".bak", flushedName),
		"all queues":           remove(consumeQueueDir),
		"a topic":              remove(consumeQueueDir + "/topic0"),
		"a queue":              remove(queue),
		"a queue's first file": remove(queue + offsetName(0)),
		"a queue's last file":  remove(queue + offsetName(5*entrySize)),
		"a file between":       remove(consumeQueueDir + "/topic1/1/" + offsetName(0)),
		"the checkpoint":       remove(checkpointName),
		"both checkpoints":     remove(checkpointName, checkpointName+".bak"),
		"flushed":              remove(flushedName),
		"half an entry": func(fs *vfs.Mem) {
			edit(t, fs, filepath.Join(testDir, queue+offsetName(5*entrySize)), cutTo(t, 3*entrySize+10))
		},
		"an entry": func(fs *vfs.Mem) {
			edit(t, fs, filepath.Join(testDir, queue+offsetName(5*entrySize)), cutTo(t, 3*entrySize))
		},
		"entries, and garbage added": func(fs *vfs.Mem) {
			edit(t, fs, filepath.Join(testDir, queue+offsetName(5*entrySize)), garbageAt(t, 3*entrySize))
		},
		"the checkpoint's content": func(fs *vfs.Mem) { edit(t, fs, filepath.Join(testDir, checkpointName), cutTo(t, 10)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := o
			o.FS = base.Clone()
			damage(o.FS.(*vfs.Mem))
			for range 2 {
				s := openStore(t, o)
				if err := checkConsistent(s); err != nil {
					t.Fatal(err)
				}
				if n := len(s.Queues()); n != 6 {
					t.Fatalf("%d queues, want 6", n)
				}
				mustClose(t, s)
			}
		})
	}
}

func cutTo(tb testing.TB, size int64) func(vfs.File) {
	return func(f vfs.File) {
		if err := f.Truncate(size); err != nil {
			tb.Fatal(err)
		}
	}
}

func garbageAt(tb testing.TB, at int64) func(vfs.File) {
	return func(f vfs.File) {
		if _, err := f.WriteAt(bytes.Repeat([]byte{0x11}, 400), at); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestWhatRecoveryShowsDoesNotGoAway(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		fs := killed(t, Options{}, fillThree(t))
		s := openStore(t, Options{FS: fs, SyncFlush: true})
		if n := s.MaxOffset("orders", 0); n != 3 {
			t.Fatalf("max offset %d after a kill, want 3", n)
		}
		after := fs.Crash(seed)
		mustClose(t, s)
		if got := readAll(t, openStore(t, Options{FS: after}), "orders", 0); len(got) != 3 {
			t.Fatalf("seed %d: %d records after a power cut, 3 could be read before", seed, len(got))
		}
	}
}

func TestPowerCutWhileQueuesAreBuiltAnewIsHarmless(t *testing.T) {
	t.Parallel()
	o := Options{SegmentSize: 1000, QueueFileEntries: 2}
	base := closed(t, o, rolled(t))
	if err := vfs.RemoveTree(base, filepath.Join(testDir, consumeQueueDir)); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(60) {
		fs := base.Clone()
		o.FS = fs
		s := openStore(t, o)
		after := fs.Crash(seed) // before a checkpoint vouches for the queues
		mustClose(t, s)
		o.FS = after
		s = openStore(t, o)
		if err := checkConsistent(s); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		mustClose(t, s)
	}
}

// The next three are about what recovery leaves for the power cut after it.

func TestCutOffEntriesStayCutOffBehindTheNextCheckpoint(t *testing.T) {
	t.Parallel()
	base := closed(t, Options{}, fillThree(t))
	queueFile := filepath.Join(testDir, consumeQueueDir, "orders", "0", offsetName(0))
	size := fileSize(t, base, logPath(0))
	edit(t, base, queueFile, func(f vfs.File) { // of a record that a power cut has taken
		if _, err := f.WriteAt(appendEntry(nil, size, 100, 0, 0), 3*entrySize); err != nil {
			t.Fatal(err)
		}
	})
	for seed := range uint64(20) {
		fs := base.Clone()
		s := openStore(t, Options{FS: fs})
		mustPut(t, s, "other", 0, "", strings.Repeat("x", 200))
		mustClose(t, s) // with a checkpoint
		var out bytes.Buffer
		s = openStore(t, Options{FS: fs.Crash(seed), Logger: slog.New(slog.NewTextHandler(&out, nil))})
		if err := checkConsistent(s); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if strings.Contains(out.String(), "anew") {
			t.Fatalf("seed %d: the queues had to be built anew", seed)
		}
	}
}

func TestLostSyncedEndIsNotHeldAgainstWhatFollows(t *testing.T) {
	t.Parallel()
	base := closed(t, Options{}, func(s *Store) {
		mustPut(t, s, "orders", 0, "", "first")
		mustPut(t, s, "orders", 0, "", strings.Repeat("lost", 5000))
	})
	edit(t, base, logPath(0), cutTo(t, 200))
	for seed := range uint64(200) {
		fs := base.Clone()
		s := openStore(t, Options{FS: fs, FlushInterval: time.Hour})
		for range 14 {
			mustPut(t, s, "orders", 0, "", strings.Repeat("new", 400))
		}
		after := fs.Crash(seed)
		mustClose(t, s)
		if err := checkConsistent(openStore(t, Options{FS: after})); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestQueueFilesBehindAGapAreRemoved(t *testing.T) {
	t.Parallel()
	o := Options{QueueFileEntries: 2, SegmentSize: 1000}
	for name, first := range map[string]int64{"of a queue": 20, "of a queue that lost its first file": 4} {
		fs := closed(t, o, rolled(t)) // 12 entries
		dir := filepath.Join(testDir, consumeQueueDir, "orders", "0")
		if first == 4 {
			dir = filepath.Join(testDir, consumeQueueDir, "orders", "1")
			if err := fs.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		stray := filepath.Join(dir, offsetName(first*entrySize))
		f, err := fs.OpenFile(stray, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(appendEntry(nil, 0, 200, 0, 0), 0)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		o.FS, o.Logger = fs, slog.New(slog.NewTextHandler(&out, nil))
		s := openStore(t, o)
		if _, err := fs.Stat(stray); !errors.Is(err, iofs.ErrNotExist) {
			t.Fatalf("%s: the file is still there: %v", name, err)
		}
		if err := checkConsistent(s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if strings.Contains(out.String(), "anew") {
			t.Fatalf("%s: the queues had to be built anew", name)
		}
	}
}

// The queues of version 1 had entries of 20 bytes, and no version of their own but
// the checkpoint's.
func TestQueuesOfAnOlderFormatAreBuiltAnew(t *testing.T) {
	t.Parallel()
	const old = 20
	for _, checkpoint := range []string{`{"version":1,"physicalOffset":%d,"entries":28}`, ``} {
		var end int64
		o := Options{QueueFileEntries: 7}
		fs := closed(t, o, func(s *Store) {
			for i := range 28 {
				mustPut(t, s, "orders", 0, "t", fmt.Sprint(i))
			}
			end = s.log.visible.Load()
		})
		dir := filepath.Join(testDir, consumeQueueDir, "orders", "0")
		for i := range int64(4) {
			data, err := vfs.ReadFile(fs, filepath.Join(dir, offsetName(i*7*entrySize)))
			if err != nil {
				t.Fatal(err)
			}
			var was []byte
			for ; len(data) > 0; data = data[entrySize:] {
				was = append(was, data[:old]...)
			}
			if err := fs.Remove(filepath.Join(dir, offsetName(i*7*entrySize))); err != nil {
				t.Fatal(err)
			}
			if err := vfs.WriteFileAtomic(fs, filepath.Join(dir, offsetName(i*7*old)), was); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{checkpointName, checkpointName + ".bak"} {
			path := filepath.Join(testDir, name)
			if checkpoint == "" {
				if err := vfs.RemoveTree(fs, path); err != nil {
					t.Fatal(err)
				}
			} else if err := vfs.WriteFileAtomic(fs, path, fmt.Appendf(nil, checkpoint, end)); err != nil {
				t.Fatal(err)
			}
		}
		o.FS = fs
		for range 2 {
			s := openStore(t, o)
			if got := readAll(t, s, "orders", 0); len(got) != 28 || string(got[27].Body) != "27" {
				t.Fatalf("checkpoint %q: %d records", checkpoint, len(got))
			}
			if err := checkConsistent(s); err != nil {
				t.Fatal(err)
			}
			mustClose(t, s)
		}
	}
}
