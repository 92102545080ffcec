package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

// Mem is a file system in memory. NewMem makes one. It is a tree below one
// root: "a" and "/a" are the same file. Space reports a volume of 1 TiB.
//
// Mem keeps two states, what a running process sees and what is durable, and
// shares the pages that are equal in both, so that keeping the second costs
// next to nothing until it is asked for.
type Mem struct {
	// mu guards the following, and everything below root. One lock for the
	// whole tree makes Crash and Clone a cut at one instant.
	mu      sync.RWMutex
	root    *memDir
	pending []nameOp // directory changes since their SyncDir, in order
	locks   map[string]bool
	disk    *rand.Rand // set: makes pages durable at will
}

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{root: newMemDir(), locks: map[string]bool{}}
}

// WriteBack lets the file system make pages durable before they are synced, as
// a kernel does when it likes, by choices drawn from seed: after a power cut a
// file may then hold content that was overwritten or cut off since.
func (m *Mem) WriteBack(seed uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disk = rand.New(rand.NewPCG(seed, 0x7072616e646f6d21))
}

// memDir is a directory: its entries are *memDir or *memFile.
type memDir struct {
	live    map[string]any
	durable map[string]any
}

func newMemDir() *memDir { return &memDir{live: map[string]any{}, durable: map[string]any{}} }

// nameOp is a directory change that no SyncDir has made durable: node appears
// as to, and disappears as from; either directory may be nil.
type nameOp struct {
	node     any
	fromDir  *memDir
	fromName string
	toDir    *memDir
	toName   string
}

func (o *nameOp) touches(d *memDir) bool { return o.fromDir == d || o.toDir == d }

// apply plays the change on entries, a view of the durable directories. A
// change whose node is not where it should be did not happen.
func (o *nameOp) apply(entries func(*memDir) map[string]any) {
	if o.fromDir != nil {
		from := entries(o.fromDir)
		if from == nil || from[o.fromName] != o.node {
			return
		}
		delete(from, o.fromName)
	}
	if o.toDir != nil {
		if to := entries(o.toDir); to != nil {
			to[o.toName] = o.node
		}
	}
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func splitPath(name string) []string {
	name = filepath.ToSlash(filepath.Clean(name))
	name = strings.Trim(name, "/")
	if name == "" || name == "." {
		return nil
	}
	return strings.Split(name, "/")
}

// find returns the node of a name. The caller holds mu.
func (m *Mem) find(name string) (any, error) {
	var node any = m.root
	for _, part := range splitPath(name) {
		d, ok := node.(*memDir)
		if !ok {
			return nil, fs.ErrNotExist
		}
		if node, ok = d.live[part]; !ok {
			return nil, fs.ErrNotExist
		}
	}
	return node, nil
}

// parent returns the directory that holds name, and name's last part.
func (m *Mem) parent(name string) (*memDir, string, error) {
	parts := splitPath(name)
	if len(parts) == 0 {
		return nil, "", fs.ErrInvalid
	}
	node, err := m.find(strings.Join(parts[:len(parts)-1], "/"))
	if err != nil {
		return nil, "", err
	}
	d, ok := node.(*memDir)
	if !ok {
		return nil, "", fs.ErrNotExist
	}
	return d, parts[len(parts)-1], nil
}

func (m *Mem) change(o nameOp) {
	if o.fromDir != nil {
		delete(o.fromDir.live, o.fromName)
	}
	if o.toDir != nil {
		o.toDir.live[o.toName] = o.node
	}
	m.pending = append(m.pending, o)
}

// OpenFile implements FS.
func (m *Mem) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	node, exists := dir.live[base]
	if !exists {
		if flag&os.O_CREATE == 0 {
			return nil, pathError("open", name, fs.ErrNotExist)
		}
		f := &memFile{}
		m.change(nameOp{node: f, toDir: dir, toName: base})
		return &memHandle{fs: m, file: f, name: name, write: true}, nil
	}
	f, ok := node.(*memFile)
	if !ok {
		return nil, pathError("open", name, fmt.Errorf("%w: is a directory", fs.ErrInvalid))
	}
	if flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0 {
		return nil, pathError("open", name, fs.ErrExist)
	}
	write := flag&(os.O_RDWR|os.O_WRONLY) != 0
	if flag&os.O_TRUNC != 0 && write {
		f.truncate(0)
	}
	return &memHandle{fs: m, file: f, name: name, write: write}, nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err != nil {
		return pathError("remove", name, err)
	}
	node, ok := dir.live[base]
	if !ok {
		return pathError("remove", name, fs.ErrNotExist)
	}
	if d, ok := node.(*memDir); ok && len(d.live) > 0 {
		return pathError("remove", name, fmt.Errorf("%w: directory not empty", fs.ErrInvalid))
	}
	m.change(nameOp{node: node, fromDir: dir, fromName: base})
	return nil
}

// Rename implements FS.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fromDir, fromName, err := m.parent(from)
	if err != nil {
		return pathError("rename", from, err)
	}
	node, ok := fromDir.live[fromName]
	if !ok {
		return pathError("rename", from, fs.ErrNotExist)
	}
	toDir, toName, err := m.parent(to)
	if err != nil {
		return pathError("rename", to, err)
	}
	if _, ok := toDir.live[toName].(*memDir); ok {
		return pathError("rename", to, fs.ErrExist)
	}
	m.change(nameOp{node: node, fromDir: fromDir, fromName: fromName, toDir: toDir, toName: toName})
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string, _ fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.root
	for _, part := range splitPath(name) {
		switch next := dir.live[part].(type) {
		case nil:
			made := newMemDir()
			m.change(nameOp{node: made, toDir: dir, toName: part})
			dir = made
		case *memDir:
			dir = next
		default:
			return pathError("mkdir", name, fs.ErrExist)
		}
	}
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	node, err := m.find(name)
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	d, ok := node.(*memDir)
	if !ok {
		return nil, pathError("readdir", name, fs.ErrInvalid)
	}
	list := make([]fs.DirEntry, 0, len(d.live))
	for n, e := range d.live {
		list = append(list, fs.FileInfoToDirEntry(infoOf(n, e)))
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name() < list[j].Name() })
	return list, nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	node, err := m.find(name)
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	return infoOf(filepath.Base(name), node), nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	node, err := m.find(name)
	if err != nil {
		return pathError("syncdir", name, err)
	}
	d, ok := node.(*memDir)
	if !ok {
		return pathError("syncdir", name, fs.ErrInvalid)
	}
	rest := m.pending[:0]
	for i := range m.pending {
		if o := &m.pending[i]; o.touches(d) {
			o.apply(func(d *memDir) map[string]any { return d.durable })
		} else {
			rest = append(rest, *o)
		}
	}
	clear(m.pending[len(rest):])
	m.pending = rest
	return nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	key := strings.Join(splitPath(name), "/")
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[key] {
		return nil, fmt.Errorf("lock %s: %w", name, ErrLocked)
	}
	m.locks[key] = true
	return &memLock{fs: m, key: key}, nil
}

// Space implements FS.
func (m *Mem) Space(string) (Space, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	const total = int64(1) << 40
	free := total - m.root.bytes()
	return Space{Total: total, Free: free, Available: free}, nil
}

func (d *memDir) bytes() int64 {
	var n int64
	for _, e := range d.live {
		switch e := e.(type) {
		case *memDir:
			n += e.bytes()
		case *memFile:
			n += e.size
		}
	}
	return n
}

type memLock struct {
	fs   *Mem
	key  string
	once sync.Once
}

func (l *memLock) Close() error {
	l.once.Do(func() {
		l.fs.mu.Lock()
		defer l.fs.mu.Unlock()
		delete(l.fs.locks, l.key)
	})
	return nil
}

// memInfo describes a node; Mem keeps no times.
type memInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func infoOf(name string, node any) memInfo {
	if f, ok := node.(*memFile); ok {
		return memInfo{name: name, size: f.size, mode: 0o644}
	}
	return memInfo{name: name, mode: fs.ModeDir | 0o755}
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }
