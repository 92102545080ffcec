package store

import (
	"sync"
	"sync/atomic"
)

// tail keeps the last bytes of the commit log in memory. The appender gathers
// its batches in it and writes the file from it, so that a record is copied
// once, and readers who follow the producers never touch the file.
type tail struct {
	blockSize int
	maxBytes  int

	mu sync.Mutex
	// mu guards the following. The blocks are in the order of the log; the
	// appender fills the last.
	blocks []*block
	bytes  int
}

// block is a stretch of the log. Only the appender writes to mem, and only
// behind what readers have been told of. base changes only while no reader can
// find the block.
type block struct {
	base int64 // physical offset of mem[0]
	mem  []byte
	used int          // owned by the appender
	refs atomic.Int32 // readers; taken under tail.mu
}

func newTail(maxBytes int) *tail {
	size := 1 << 20
	for maxBytes/size < 4 {
		size /= 2
	}
	return &tail{blockSize: size, maxBytes: maxBytes}
}

// start makes the last block a new one that begins at base and holds at least
// need bytes. Called by the appender.
func (t *tail) start(base int64, need int) *block {
	size := max(need, t.blockSize)
	b := t.evict(size)
	if b == nil {
		b = &block{mem: make([]byte, size)}
	}
	b.base, b.used = base, 0
	t.mu.Lock()
	defer t.mu.Unlock()
	t.blocks = append(t.blocks, b)
	t.bytes += len(b.mem)
	return b
}

// evict drops the oldest blocks until size more bytes fit, and returns one of
// that size that can be used again, if there is one.
func (t *tail) evict(size int) (reusable *block) {
	t.mu.Lock()
	defer t.mu.Unlock()
	gone := 0
	for ; gone < len(t.blocks) && t.bytes+size > t.maxBytes; gone++ {
		old := t.blocks[gone]
		t.bytes -= len(old.mem)
		// Nobody can find it any more; whoever reads it still, keeps it.
		if len(old.mem) == size && old.refs.Load() == 0 {
			reusable = old
		}
	}
	left := copy(t.blocks, t.blocks[gone:])
	clear(t.blocks[left:])
	t.blocks = t.blocks[:left]
	return reusable
}

// acquire returns the block that holds [phys, phys+size), or nil. The caller
// asks only for what has been published, and releases what it gets.
func (t *tail) acquire(phys int64, size int) *block {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.blocks) - 1; i >= 0; i-- {
		b := t.blocks[i]
		if phys < b.base {
			continue
		}
		if phys+int64(size) > b.base+int64(len(b.mem)) {
			return nil
		}
		b.refs.Add(1)
		return b
	}
	return nil
}

// slice returns a published stretch.
func (b *block) slice(phys int64, size int) []byte {
	at := phys - b.base
	return b.mem[at : at+int64(size)]
}

func (b *block) release() { b.refs.Add(-1) }
