package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

const (
	fileMagic   = 0x524B4958 // "RKIX"
	fileVersion = 1
	headerSize  = 4 + 4 + 7*8
	blockSize   = 1024 // entries behind one fence
	nameDigits  = 20
	tempSuffix  = ".tmp"
)

// file is a file of entries, as it is kept in memory. It does not change.
type file struct {
	path        string
	from, to    int64 // the stretch of the log
	first, last int64 // store times, ms
	end         position
	count       int64
	fences      []uint64
}

func (f *file) entriesAt() int64 { return headerSize + int64(len(f.fences))*8 + 4 }

func (f *file) size() int64 { return f.entriesAt() + f.count*entrySize }

// overlaps reports whether the file has records of a time range.
func (f *file) overlaps(begin, end int64) bool {
	return f.count > 0 && f.first <= end && f.last >= begin
}

func (f *file) header() []byte {
	b := make([]byte, 0, f.entriesAt())
	b = binary.BigEndian.AppendUint32(b, fileMagic)
	b = binary.BigEndian.AppendUint32(b, fileVersion)
	for _, v := range []int64{f.from, f.to, f.first, f.last, f.end.lastOffset, f.end.lastTime, f.count} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	for _, v := range f.fences {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// writeFile writes the entries of the log from from to done into a file of their own.
func (x *Index) writeFile(from int64, done position, entries []entry) (*file, error) {
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b entry) int {
		switch {
		case a.hash != b.hash && a.hash < b.hash:
			return -1
		case a.hash != b.hash:
			return 1
		}
		return int(min(max(a.phys-b.phys, -1), 1))
	})
	f := &file{
		path: filepath.Join(x.opt.Dir, fmt.Sprintf("%0*d", nameDigits, from)), from: from, to: done.phys, end: done, count: int64(len(sorted)),
	}
	secFirst, secLast := uint32(math.MaxUint32), uint32(0)
	for i, e := range sorted {
		if i%blockSize == 0 {
			f.fences = append(f.fences, e.hash)
		}
		secFirst, secLast = min(secFirst, e.sec), max(secLast, e.sec)
	}
	f.first, f.last = int64(secFirst)*1000, int64(secLast)*1000+999
	if err := vfs.MkdirAllSync(x.opt.FS, x.opt.Dir, 0o755); err != nil {
		return nil, err
	}
	if err := f.write(x.opt.FS, sorted); err != nil {
		return nil, fmt.Errorf("write %s: %w", f.path, err)
	}
	if err := x.opt.FS.Rename(f.path+tempSuffix, f.path); err != nil {
		return nil, err
	}
	return f, x.opt.FS.SyncDir(x.opt.Dir)
}

// write writes the file under its temporary name.
func (f *file) write(fsys vfs.FS, sorted []entry) (err error) {
	w, err := fsys.OpenFile(f.path+tempSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	const chunk = 1 << 16
	b, at := f.header(), int64(0)
	for _, e := range sorted {
		if len(b)+entrySize > max(chunk, cap(b)) {
			if _, err := w.WriteAt(b, at); err != nil {
				return err
			}
			b, at = b[:0], at+int64(len(b))
		}
		b = e.append(b)
	}
	if _, err := w.WriteAt(b, at); err != nil {
		return err
	}
	return w.Sync()
}

// errDamaged says that a file is not what writeFile has written.
var errDamaged = errors.New("not a whole file of the message index")

// openFile reads a file's header and fences. No number in it makes for more memory
// than the file has room for.
func openFile(fsys vfs.FS, path string) (f *file, err error) {
	r, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	size, err := r.Size()
	if err != nil {
		return nil, err
	}
	head := make([]byte, headerSize)
	if n, err := r.ReadAt(head, 0); n < headerSize {
		return nil, fmt.Errorf("%w: %d bytes: %w", errDamaged, n, err)
	}
	count := int64(binary.BigEndian.Uint64(head[headerSize-8:]))
	if count < 0 || count > size/entrySize {
		return nil, fmt.Errorf("%w: %d entries in %d bytes", errDamaged, count, size)
	}
	whole := make([]byte, headerSize+(count+blockSize-1)/blockSize*8+4)
	if n, err := r.ReadAt(whole, 0); n < len(whole) {
		return nil, fmt.Errorf("%w: %d bytes: %w", errDamaged, n, err)
	}
	return parseFile(path, size, whole)
}

// parseFile reads what header wrote.
func parseFile(path string, size int64, b []byte) (*file, error) {
	sum := len(b) - 4
	if binary.BigEndian.Uint32(b) != fileMagic || binary.BigEndian.Uint32(b[4:]) != fileVersion || binary.BigEndian.Uint32(b[sum:]) != crc32.ChecksumIEEE(b[:sum]) {
		return nil, errDamaged
	}
	f := &file{path: path}
	for i, v := range []*int64{&f.from, &f.to, &f.first, &f.last, &f.end.lastOffset, &f.end.lastTime, &f.count} {
		*v = int64(binary.BigEndian.Uint64(b[8+8*i:]))
	}
	f.end.phys = f.to
	for at := headerSize; at < sum; at += 8 {
		f.fences = append(f.fences, binary.BigEndian.Uint64(b[at:]))
	}
	if f.size() != size || f.from < 0 || f.from > f.to {
		return nil, errDamaged
	}
	return f, nil
}

// parseName reads a file's name; others are not ours.
func parseName(name string) (from int64, ok bool) {
	if len(name) != nameDigits {
		return 0, false
	}
	v, err := strconv.ParseInt(name, 10, 64)
	return v, err == nil && v >= 0
}

// remove deletes files that are no use any more.
func (x *Index) remove(list []*file) error {
	var errs []error
	for _, f := range list {
		if err := x.opt.FS.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
