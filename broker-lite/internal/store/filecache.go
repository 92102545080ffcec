package store

import (
	"container/list"
	"errors"
	"log/slog"
	"os"
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
	open map[string]*cachedFile
	lru  list.List // of *cachedFile, the most recently used in front
}

type cachedFile struct {
	vfs.File
	path string
	refs int
	elem *list.Element // nil when it is no longer in the cache
}

func newFileCache(fsys vfs.FS, maxOpen int, log *slog.Logger) *fileCache {
	return &fileCache{fs: fsys, max: maxOpen, log: log, open: map[string]*cachedFile{}}
}

// acquire returns an existing file, open for reading and writing.
func (c *fileCache) acquire(path string) (*cachedFile, error) {
	c.mu.Lock()
	if f := c.open[path]; f != nil {
		f.refs++
		c.lru.MoveToFront(f.elem)
		c.mu.Unlock()
		return f, nil
	}
	c.mu.Unlock()
	file, err := c.fs.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	f := c.open[path]
	var surplus []vfs.File
	if f != nil { // another goroutine was faster
		f.refs++
		c.lru.MoveToFront(f.elem)
		surplus = []vfs.File{file}
	} else {
		f = c.insert(path, file)
		surplus = c.evict()
	}
	c.mu.Unlock()
	c.closeFiles(surplus)
	return f, nil
}

// create makes the file anew and returns it. What others still hold under this
// path, the file of a queue that was deleted, is theirs alone from now on.
func (c *fileCache) create(path string) (*cachedFile, error) {
	file, err := c.fs.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	surplus := c.remove(path)
	f := c.insert(path, file)
	surplus = append(surplus, c.evict()...)
	c.mu.Unlock()
	c.closeFiles(surplus)
	return f, nil
}

func (c *fileCache) insert(path string, file vfs.File) *cachedFile {
	f := &cachedFile{File: file, path: path, refs: 1}
	f.elem = c.lru.PushFront(f)
	c.open[path] = f
	return f
}

// evict takes idle files beyond the bound out of the cache.
func (c *fileCache) evict() (idle []vfs.File) {
	for e := c.lru.Back(); e != nil && c.lru.Len() > c.max; {
		f := e.Value.(*cachedFile)
		e = e.Prev()
		if f.refs == 0 {
			idle = append(idle, c.remove(f.path)...)
		}
	}
	return idle
}

// remove takes a file out of the cache; it is returned when it is idle, and
// otherwise closed by the last release.
func (c *fileCache) remove(path string) (idle []vfs.File) {
	f := c.open[path]
	if f == nil {
		return nil
	}
	delete(c.open, path)
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
func (c *fileCache) drop(path string) {
	c.mu.Lock()
	idle := c.remove(path)
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

// close closes all files; those in use when they are released.
func (c *fileCache) close() error {
	c.mu.Lock()
	var idle []vfs.File
	for path := range c.open {
		idle = append(idle, c.remove(path)...)
	}
	c.mu.Unlock()
	var errs []error
	for _, f := range idle {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
