package vfs

import (
	"io"
	"io/fs"
	"math/rand/v2"
)

const (
	pageSize   = 4096
	sectorSize = 512
)

type page [pageSize]byte

// memFile is a file's content, live and durable. A page that both have is never
// written again: a write replaces it by a copy. A nil page is a hole.
type memFile struct {
	pages []*page
	size  int64

	durable     []*page
	durableSize int64

	// dirtyFrom and dirtyTo bound the pages that may differ from durable.
	dirtyFrom, dirtyTo int
}

func pagesFor(size int64) int { return int((size + pageSize - 1) / pageSize) }

func (f *memFile) touch(from, to int) {
	if f.dirtyFrom >= f.dirtyTo {
		f.dirtyFrom, f.dirtyTo = from, to
		return
	}
	f.dirtyFrom, f.dirtyTo = min(f.dirtyFrom, from), max(f.dirtyTo, to)
}

// writable returns page i, made the live state's own.
func (f *memFile) writable(i int) *page {
	for len(f.pages) <= i {
		f.pages = append(f.pages, nil)
	}
	p := f.pages[i]
	switch {
	case p == nil:
		p = new(page)
	case i < len(f.durable) && f.durable[i] == p:
		c := *p
		p = &c
	}
	f.pages[i] = p
	return p
}

func (f *memFile) writeAt(b []byte, off int64) {
	if len(b) == 0 {
		return
	}
	f.touch(int(off/pageSize), pagesFor(off+int64(len(b))))
	f.size = max(f.size, off+int64(len(b)))
	for len(b) > 0 {
		p := f.writable(int(off / pageSize))
		n := copy(p[off%pageSize:], b)
		b, off = b[n:], off+int64(n)
	}
}

func (f *memFile) readAt(b []byte, off int64) int {
	if off >= f.size {
		return 0
	}
	b = b[:min(int64(len(b)), f.size-off)]
	done := 0
	for done < len(b) {
		i, at := int(off/pageSize), off%pageSize
		n := min(len(b)-done, int(pageSize-at))
		if i < len(f.pages) && f.pages[i] != nil {
			copy(b[done:done+n], f.pages[i][at:])
		} else {
			clear(b[done : done+n])
		}
		done, off = done+n, off+int64(n)
	}
	return done
}

func (f *memFile) truncate(size int64) {
	if n := pagesFor(size); n < len(f.pages) {
		f.touch(n, len(f.pages))
		clear(f.pages[n:])
		f.pages = f.pages[:n]
	}
	if at := size % pageSize; size < f.size && at != 0 {
		if i := int(size / pageSize); i < len(f.pages) && f.pages[i] != nil {
			f.touch(i, i+1)
			clear(f.writable(i)[at:])
		}
	}
	f.size = size
}

func (f *memFile) sync() {
	n := len(f.pages)
	for len(f.durable) < n {
		f.durable = append(f.durable, nil)
	}
	for i := f.dirtyFrom; i < min(f.dirtyTo, n); i++ {
		f.durable[i] = f.pages[i]
	}
	if n < len(f.durable) {
		clear(f.durable[n:])
		f.durable = f.durable[:n]
	}
	f.durableSize = f.size
	f.dirtyFrom, f.dirtyTo = 0, 0
}

// writeBack makes some pages durable, and perhaps the size.
func (f *memFile) writeBack(disk *rand.Rand) {
	for i := f.dirtyFrom; i < min(f.dirtyTo, len(f.pages)); i++ {
		if disk.IntN(2) == 0 {
			continue
		}
		for len(f.durable) <= i {
			f.durable = append(f.durable, nil)
		}
		f.durable[i] = f.pages[i]
	}
	if disk.IntN(2) == 0 {
		f.durableSize = f.size
	}
}

// memHandle is an open file.
type memHandle struct {
	fs    *Mem
	file  *memFile
	name  string
	write bool
	// closed is guarded by fs.mu.
	closed bool
}

func (h *memHandle) ReadAt(b []byte, off int64) (int, error) {
	h.fs.mu.RLock()
	defer h.fs.mu.RUnlock()
	if h.closed {
		return 0, pathError("read", h.name, fs.ErrClosed)
	}
	if off < 0 {
		return 0, pathError("read", h.name, fs.ErrInvalid)
	}
	n := h.file.readAt(b, off)
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// change runs f with the lock, on an open file that may be written.
func (h *memHandle) change(op string, f func()) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	switch {
	case h.closed:
		return pathError(op, h.name, fs.ErrClosed)
	case !h.write:
		return pathError(op, h.name, fs.ErrPermission)
	}
	f()
	if h.fs.disk != nil && h.fs.disk.IntN(4) == 0 {
		h.file.writeBack(h.fs.disk)
	}
	return nil
}

func (h *memHandle) WriteAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, pathError("write", h.name, fs.ErrInvalid)
	}
	if err := h.change("write", func() { h.file.writeAt(b, off) }); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (h *memHandle) Truncate(size int64) error {
	if size < 0 {
		return pathError("truncate", h.name, fs.ErrInvalid)
	}
	return h.change("truncate", func() { h.file.truncate(size) })
}

func (h *memHandle) Sync() error { return h.change("sync", h.file.sync) }

func (h *memHandle) Size() (int64, error) {
	h.fs.mu.RLock()
	defer h.fs.mu.RUnlock()
	if h.closed {
		return 0, pathError("size", h.name, fs.ErrClosed)
	}
	return h.file.size, nil
}

func (h *memHandle) Close() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.closed {
		return pathError("close", h.name, fs.ErrClosed)
	}
	h.closed = true
	return nil
}
