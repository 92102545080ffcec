package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sync"
	"syscall"
)

// Op names a call of FS or File.
type Op string

// The calls that a Faulty file system reports.
const (
	OpOpen     Op = "open"
	OpRemove   Op = "remove"
	OpRename   Op = "rename" // Call.Path is the new name
	OpMkdir    Op = "mkdir"
	OpReadDir  Op = "readdir"
	OpStat     Op = "stat"
	OpSyncDir  Op = "syncdir"
	OpLock     Op = "lock"
	OpSpace    Op = "space"
	OpRead     Op = "read"
	OpWrite    Op = "write"
	OpSync     Op = "sync"
	OpTruncate Op = "truncate"
	OpSize     Op = "size"
	OpClose    Op = "close"
)

// Call is one call on a Faulty file system.
type Call struct {
	Op     Op
	Path   string
	Offset int64 // of a read or write; the size of a truncate
	Len    int   // bytes to read or write
	Grows  int64 // bytes by which a write would lengthen the file
}

// Fault is what happens in place of a call. The zero Fault lets it pass.
type Fault struct {
	Err error
	// Partial is how many bytes of a write reach the file before Err.
	Partial int
}

// Hooks are called around each call, on the goroutine that makes it, with no
// lock held; Before may block, to make a call slow. Either may be nil.
type Hooks struct {
	Before func(Call) Fault
	After  func(Call, error)
}

// NewFaulty returns fsys with hooks around every call.
func NewFaulty(fsys FS, h Hooks) FS { return &faultyFS{inner: fsys, hooks: h} }

type faultyFS struct {
	inner FS
	hooks Hooks
}

// do runs f between the hooks.
func (h *Hooks) do(c Call, f func() error) error {
	fault := h.before(c)
	err := fault.Err
	if err == nil {
		err = f()
	} else {
		err = pathError(string(c.Op), c.Path, err)
	}
	h.after(c, err)
	return err
}

func (h *Hooks) before(c Call) Fault {
	if h.Before == nil {
		return Fault{}
	}
	return h.Before(c)
}

func (h *Hooks) after(c Call, err error) {
	if h.After != nil {
		h.After(c, err)
	}
}

func (f *faultyFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	var file File
	err := f.hooks.do(Call{Op: OpOpen, Path: name}, func() (err error) {
		file, err = f.inner.OpenFile(name, flag, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &faultyFile{inner: file, hooks: &f.hooks, name: name}, nil
}

func (f *faultyFS) Remove(name string) error {
	return f.hooks.do(Call{Op: OpRemove, Path: name}, func() error { return f.inner.Remove(name) })
}

func (f *faultyFS) Rename(from, to string) error {
	return f.hooks.do(Call{Op: OpRename, Path: to}, func() error { return f.inner.Rename(from, to) })
}

func (f *faultyFS) MkdirAll(name string, perm fs.FileMode) error {
	return f.hooks.do(Call{Op: OpMkdir, Path: name}, func() error { return f.inner.MkdirAll(name, perm) })
}

func (f *faultyFS) SyncDir(name string) error {
	return f.hooks.do(Call{Op: OpSyncDir, Path: name}, func() error { return f.inner.SyncDir(name) })
}

func (f *faultyFS) ReadDir(name string) (list []fs.DirEntry, err error) {
	err = f.hooks.do(Call{Op: OpReadDir, Path: name}, func() (err error) {
		list, err = f.inner.ReadDir(name)
		return err
	})
	return list, err
}

func (f *faultyFS) Stat(name string) (info fs.FileInfo, err error) {
	err = f.hooks.do(Call{Op: OpStat, Path: name}, func() (err error) {
		info, err = f.inner.Stat(name)
		return err
	})
	return info, err
}

func (f *faultyFS) Lock(name string) (l io.Closer, err error) {
	err = f.hooks.do(Call{Op: OpLock, Path: name}, func() (err error) {
		l, err = f.inner.Lock(name)
		return err
	})
	return l, err
}

func (f *faultyFS) Space(name string) (s Space, err error) {
	err = f.hooks.do(Call{Op: OpSpace, Path: name}, func() (err error) {
		s, err = f.inner.Space(name)
		return err
	})
	return s, err
}

type faultyFile struct {
	inner File
	hooks *Hooks
	name  string
}

func (f *faultyFile) ReadAt(b []byte, off int64) (n int, err error) {
	err = f.hooks.do(Call{Op: OpRead, Path: f.name, Offset: off, Len: len(b)}, func() (err error) {
		n, err = f.inner.ReadAt(b, off)
		return err
	})
	return n, err
}

func (f *faultyFile) WriteAt(b []byte, off int64) (n int, err error) {
	size, err := f.inner.Size()
	if err != nil {
		return 0, err
	}
	c := Call{Op: OpWrite, Path: f.name, Offset: off, Len: len(b), Grows: max(0, off+int64(len(b))-size)}
	fault := f.hooks.before(c)
	if fault.Err != nil {
		b = b[:min(fault.Partial, len(b))]
	}
	if len(b) > 0 || fault.Err == nil {
		n, err = f.inner.WriteAt(b, off)
	}
	if err == nil && fault.Err != nil {
		err = pathError(string(OpWrite), f.name, fault.Err)
	}
	f.hooks.after(c, err)
	return n, err
}

func (f *faultyFile) Sync() error {
	return f.hooks.do(Call{Op: OpSync, Path: f.name}, f.inner.Sync)
}

func (f *faultyFile) Truncate(size int64) error {
	return f.hooks.do(Call{Op: OpTruncate, Path: f.name, Offset: size}, func() error { return f.inner.Truncate(size) })
}

func (f *faultyFile) Size() (n int64, err error) {
	err = f.hooks.do(Call{Op: OpSize, Path: f.name}, func() (err error) {
		n, err = f.inner.Size()
		return err
	})
	return n, err
}

// Close closes the file even when its hook makes the call fail.
func (f *faultyFile) Close() error {
	var closed error
	err := f.hooks.do(Call{Op: OpClose, Path: f.name}, func() error {
		closed = f.inner.Close()
		return closed
	})
	if err != nil && closed == nil {
		closed = f.inner.Close()
		if closed != nil {
			return fmt.Errorf("%w (and %w)", err, closed)
		}
	}
	return err
}

// FailNth returns a Before hook that lets the n-th call (from 1) of op on a
// matching path fail with err. The pattern is path.Match's, over the path's
// last parts as many as the pattern has; "" matches every path.
func FailNth(op Op, pattern string, n int, err error) func(Call) Fault {
	var mu sync.Mutex
	seen := 0
	return func(c Call) Fault {
		if c.Op != op || !MatchPath(pattern, c.Path) {
			return Fault{}
		}
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen == n {
			return Fault{Err: err}
		}
		return Fault{}
	}
}

// MatchPath reports whether the last parts of name match pattern.
func MatchPath(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	want, have := splitPath(pattern), splitPath(name)
	if len(have) < len(want) {
		return false
	}
	for i, part := range have[len(have)-len(want):] {
		if ok, err := path.Match(want[i], part); err != nil || !ok {
			return false
		}
	}
	return true
}

// Volume is a Before hook that plays a disk of limited size: writes that
// lengthen a file use it up, and when it is full a write stops in the middle
// with ENOSPC. Removing and truncating give nothing back: call Free.
type Volume struct {
	mu sync.Mutex
	// mu guards the following.
	free int64
}

// NewVolume returns a volume with room for so many bytes.
func NewVolume(bytes int64) *Volume { return &Volume{free: bytes} }

// Free adds room, or with a negative number takes it away.
func (v *Volume) Free(bytes int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.free += bytes
}

// Before is the hook.
func (v *Volume) Before(c Call) Fault {
	if c.Op != OpWrite || c.Grows == 0 {
		return Fault{}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if c.Grows > v.free {
		part := max(0, c.Len-int(c.Grows-max(v.free, 0)))
		v.free = min(v.free, 0)
		return Fault{Err: syscall.ENOSPC, Partial: part}
	}
	v.free -= c.Grows
	return Fault{}
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

var (
	_ FS = osFS{}
	_ FS = (*Mem)(nil)
	_ FS = (*faultyFS)(nil)
)
