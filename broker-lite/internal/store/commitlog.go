package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// nameDigits is the length of a file's name: its first offset in decimal, as
// Apache names its files.
const nameDigits = 20

func offsetName(offset int64) string { return fmt.Sprintf("%0*d", nameDigits, offset) }

// parseOffsetName is the inverse of offsetName; other names are not ours.
func parseOffsetName(name string) (int64, bool) {
	if len(name) != nameDigits {
		return 0, false
	}
	v, err := strconv.ParseInt(name, 10, 64)
	return v, err == nil && v >= 0
}

// listOffsets returns the offsets that the files of a directory are named by,
// ascending. A missing directory has none.
func listOffsets(fsys vfs.FS, dir string) ([]int64, error) {
	entries, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []int64
	for _, e := range entries {
		if v, ok := parseOffsetName(e.Name()); ok && !e.IsDir() {
			list = append(list, v)
		}
	}
	slices.Sort(list)
	return list, nil
}

// commitLog is what readers know of the log. The appender writes through a
// logWriter and tells of new files and of what may be read.
type commitLog struct {
	dir   string
	files *fileCache
	tail  *tail

	// visible is the physical offset behind the last record that may be read.
	visible atomic.Int64

	mu sync.RWMutex
	// mu guards the following.
	firsts []int64 // the files' first offsets, ascending
}

func (l *commitLog) key(first int64) fileKey { return fileKey{dir: l.dir, first: first} }

func (l *commitLog) path(first int64) string { return l.key(first).path() }

// segment returns the first offset of the file that holds phys.
func (l *commitLog) segment(phys int64) (first int64, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i := sort.Search(len(l.firsts), func(i int) bool { return l.firsts[i] > phys })
	if i == 0 {
		return 0, false
	}
	return l.firsts[i-1], true
}

// min is the first physical offset that the log holds.
func (l *commitLog) min() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.firsts) == 0 {
		return 0
	}
	return l.firsts[0]
}

func (l *commitLog) addSegment(first int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.firsts = append(l.firsts, first)
}

// read appends size bytes at phys, which one file holds, to dst. On error dst
// comes back as it was.
func (l *commitLog) read(dst []byte, phys int64, size int) ([]byte, error) {
	if b := l.tail.acquire(phys, size); b != nil {
		dst = append(dst, b.slice(phys, size)...)
		b.release()
		return dst, nil
	}
	at := len(dst)
	out := slices.Grow(dst, size)[:at+size]
	n, err := l.readFile(out[at:], phys)
	if n < size {
		return dst, err
	}
	return out, nil
}

// readSome reads up to len(b) bytes at phys, fewer at the end of the file that
// holds phys, and of what may be read. Without an error n is at least 1.
func (l *commitLog) readSome(b []byte, phys int64) (n int, err error) {
	if left := l.visible.Load() - phys; left < int64(len(b)) {
		b = b[:max(left, 0)]
	}
	if t := l.tail.acquire(phys, len(b)); t != nil {
		defer t.release()
		return copy(b, t.slice(phys, len(b))), nil
	}
	n, err = l.readFile(b, phys)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

func (l *commitLog) readFile(b []byte, phys int64) (int, error) {
	first, ok := l.segment(phys)
	if !ok {
		return 0, fmt.Errorf("%w: %d is before the log's first, %d", ErrNoRecord, phys, l.min())
	}
	f, err := l.files.acquire(l.key(first))
	if err != nil && phys < l.min() {
		return 0, fmt.Errorf("%w: %d was deleted, the log begins at %d", ErrNoRecord, phys, l.min())
	}
	if err != nil {
		return 0, fmt.Errorf("read commit log at %d: %w", phys, err)
	}
	defer l.files.release(f)
	n, err := f.ReadAt(b, phys-first)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		err = fmt.Errorf("read commit log file %s at physical offset %d: %w", l.path(first), phys, err)
	}
	return n, err
}
