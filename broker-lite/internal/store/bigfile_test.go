package store

import (
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// forgetfulFS takes large writes to commit log files for holes, and counts the bytes
// of all: so that 1 GiB needs no room.
type forgetfulFS struct {
	*vfs.Mem
	written *atomic.Int64
}

type forgetfulFile struct {
	vfs.File
	written *atomic.Int64
}

func (f forgetfulFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	file, err := f.Mem.OpenFile(name, flag, perm)
	if err != nil || filepath.Base(filepath.Dir(name)) != commitLogName {
		return file, err
	}
	return forgetfulFile{file, f.written}, nil
}

func (f forgetfulFile) WriteAt(b []byte, off int64) (int, error) {
	f.written.Add(int64(len(b)))
	if len(b) < 1<<20 {
		return f.File.WriteAt(b, off)
	}
	if _, err := f.File.WriteAt(b[len(b)-1:], off+int64(len(b))-1); err != nil { // its size
		return 0, err
	}
	return len(b), nil
}

// Files of a standalone server have 1 GiB: what the last record leaves of that is a
// hole, and physical offsets go on in the next.
func TestAFileOfOneGiBEndsWithAHole(t *testing.T) {
	t.Parallel()
	const size = 1 << 30
	o := Options{SegmentSize: size, Dir: testDir, FlushInterval: time.Hour, CheckpointInterval: time.Hour, CheckpointBytes: 2 * size}
	mem, written := vfs.NewMem(), new(atomic.Int64)
	o.FS = forgetfulFS{mem, written}
	s := openStore(t, o)
	rec := recordWith(t, "orders", 0, make([]byte, 4<<20-1000), nil)
	n := 0
	for end := 0; end+len(rec)+blankHeader <= size; end += len(rec) {
		w := newWaiter()
		s.Append(&Append{Topic: "orders", Records: rec, TagsCodes: []int64{0}, Done: w})
		if r := <-w.c; r.Err != nil || r.PhysicalOffset != int64(end) {
			t.Fatalf("record %d: %+v, want it at %d", n, r, end)
		}
		n++
	}
	end := int64(n * len(rec))
	if left := size - end; left <= blankHeader || fileSize(t, mem, logPath(0)) != end || written.Load() != end {
		t.Fatalf("the file has %d bytes, %d were written, want %d, and a rest", fileSize(t, mem, logPath(0)), written.Load(), end)
	}
	body := strings.Repeat("x", int(size-end)) // does not fit
	if r := mustPut(t, s, "orders", 0, "t", body); r.PhysicalOffset != size || r.QueueOffset != int64(n) {
		t.Fatalf("behind the full file: %+v, want physical offset %d, offset %d", r, size, n)
	}
	blank := make([]byte, blankHeader)
	edit(t, mem, logPath(0), func(f vfs.File) {
		if _, err := f.ReadAt(blank, end); err != nil {
			t.Fatal(err)
		}
	})
	left, magic, err := protocol.RecordSize(blank)
	if err != nil || magic != protocol.MagicBlank || int64(left) != size-end {
		t.Errorf("the file ends with %x, %v; want a blank record of %d bytes", blank, err, size-end)
	}
	wrote := end + blankHeader + int64(len(record(t, "orders", 0, "t", []byte(body))))
	if got := fileSize(t, mem, logPath(0)); got != size || written.Load() != wrote {
		t.Errorf("the full file has %d bytes, want %d; %d were written, want %d: the rest is a hole", got, size, written.Load(), wrote)
	}
	mustClose(t, s)
	s = openStore(t, o)
	r, err := s.Read("orders", 0, int64(n), 1, 1<<20, nil, nil)
	if err != nil || r.Count != 1 {
		t.Errorf("after a restart the record in the second file: %+v, %v", r.Status, err)
	}
	mustClose(t, s)
}

// A consume queue file has 300,000 entries, as Apache's.
func TestAConsumeQueueFileHas300000Entries(t *testing.T) {
	t.Parallel()
	const entries, batch = defaultQueueFileEntries, 1000
	o := Options{Dir: testDir, FS: vfs.NewMem(), FlushInterval: time.Hour, CheckpointInterval: time.Hour}
	s := openStore(t, o)
	one := recordWith(t, "orders", 0, nil, nil)
	a := &Append{Topic: "orders"}
	for range batch {
		a.Records, a.TagsCodes = append(a.Records, one...), append(a.TagsCodes, 0)
	}
	for range entries/batch + 1 {
		w := newWaiter()
		a.Done = w
		s.Append(a)
		if r := <-w.c; r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	mustClose(t, s)
	dir := filepath.Join(testDir, consumeQueueDir, "orders", "0")
	for first, want := range map[int64]int64{0: 300_000 * entrySize, 300_000 * entrySize: batch * entrySize} {
		if got := fileSize(t, o.FS, filepath.Join(dir, offsetName(first))); got != want {
			t.Errorf("file %d has %d bytes, want %d", first, got, want)
		}
	}
	s = openStore(t, o)
	for _, offset := range []int64{0, 299_999, 300_000, 300_999} {
		if r, err := s.Read("orders", 0, offset, 1, 1<<20, nil, nil); err != nil || r.Count != 1 || r.NextOffset != offset+1 {
			t.Errorf("offset %d: %v, %v", offset, r.Status, err)
		}
	}
	mustClose(t, s)
}
