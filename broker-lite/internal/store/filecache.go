package store

import (
	"container/list"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// fileCache keeps a bounded number of files open: thousands of idle queues hold
// none. Files in use may exceed the bound.
type fileCache struct {
	fs  vfs.FS
	max int
	log *slog.Logger

	mu sync.Mutex
	// mu guards the following, and the fields of every cachedFile.
	open map[fileKey]*cachedFile
	lru  list.List // of *cachedFile, the most recently used in front
	shut bool
}

// fileKey names a file by the offset it begins with, so that looking it up
// makes no path.
type fileKey struct {
	dir   string
	first int64
}

func (k fileKey) path() string { return filepath.Join(k.dir, offsetName(k.first)) }

type cachedFile struct {
	vfs.File
	key  fileKey
	refs int
	elem *list.Element // nil when it is no longer in the cache
}

func newFileCache(fsys vfs.FS, maxOpen int, log *slog.Logger) *fileCache {
	return &fileCache{fs: fsys, max: maxOpen, log: log, open: map[fileKey]*cachedFile{}}
}

// acquire returns an existing file, open for reading and writing.
func (c *fileCache) acquire(key fileKey) (*cachedFile, error) {
	c.mu.Lock()
	if f := c.open[key]; f != nil {
		f.refs++
		c.lru.MoveToFront(f.elem)
		c.mu.Unlock()
		return f, nil
	}
	shut := c.shut
	c.mu.Unlock()
	if shut {
		return nil, ErrClosed
	}
	file, err := c.fs.OpenFile(key.path(), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	f := c.open[key]
	var surplus []vfs.File
	if c.shut {
		c.mu.Unlock()
		c.closeFiles([]vfs.File{file})
		return nil, ErrClosed
	}
	if f != nil { // another goroutine was faster
		f.refs++
		c.lru.MoveToFront(f.elem)
		surplus = []vfs.File{file}
	} else {
		f = c.insert(key, file)
		surplus = c.evict()
	}
	c.mu.Unlock()
	c.closeFiles(surplus)
	return f, nil
}

// create makes the file anew and returns it. What others still hold under this
// name, the file of a queue that was deleted, is theirs alone from now on.
func (c *fileCache) create(key fileKey) (*cachedFile, error) {
	file, err := c.fs.OpenFile(key.path(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	surplus := c.remove(key)
	f := c.insert(key, file)
	surplus = append(surplus, c.evict()...)
	c.mu.Unlock()
	c.closeFiles(surplus)
	return f, nil
}

func (c *fileCache) insert(key fileKey, file vfs.File) *cachedFile {
	f := &cachedFile{File: file, key: key, refs: 1}
	f.elem = c.lru.PushFront(f)
	c.open[key] = f
	return f
}

// evict takes idle files beyond the bound out of the cache.
func (c *fileCache) evict() (idle []vfs.File) {
	for e := c.lru.Back(); e != nil && c.lru.Len() > c.max; {
		f := e.Value.(*cachedFile)
		e = e.Prev()
		if f.refs == 0 {
			idle = append(idle, c.remove(f.key)...)
		}
	}
	return idle
}

// remove takes a file out of the cache; it is returned when it is idle, and
// otherwise closed by the last release.
func (c *fileCache) remove(key fileKey) (idle []vfs.File) {
	f := c.open[key]
	if f == nil {
		return nil
	}
	delete(c.open, key)
	c.lru.Remove(f.elem)
	f.elem = nil
	if f.refs == 0 {
		return []vfs.File{f.File}
	}
	return nil
}

func (c *fileCache) release(f *cachedFile) {
	c.mu.Lock()
	var idle []vfs.File
	if f.refs--; f.refs == 0 {
		if f.elem == nil {
			idle = []vfs.File{f.File}
		} else {
			idle = c.evict()
		}
	}
	c.mu.Unlock()
	c.closeFiles(idle)
}

// drop forgets a file that is about to be removed.
func (c *fileCache) drop(key fileKey) {
	c.mu.Lock()
	idle := c.remove(key)
	c.mu.Unlock()
	c.closeFiles(idle)
}

func (c *fileCache) closeFiles(files []vfs.File) {
	for _, f := range files {
		if err := f.Close(); err != nil {
			c.log.Warn("closing a file of the store failed", "error", err)
		}
	}
}

// close closes all files, those in use when they are released, and opens no
// more.
func (c *fileCache) close() error {
	c.mu.Lock()
	c.shut = true
	var idle []vfs.File
	for key := range c.open {
		idle = append(idle, c.remove(key)...)
	}
	c.mu.Unlock()
	var errs []error
	for _, f := range idle {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
