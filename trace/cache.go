package trace

import (
	"maps"
	"sync"
	"sync/atomic"
)

// cached is how many entries a cache keeps: what comes after is made each time, so that a
// program that sends to ever new topics does not fill the memory.
const cached = 4096

// cache keeps what is the same for all messages of a kind. It is read for every message
// and grows rarely, so it is copied when it grows.
type cache[K comparable, V any] struct {
	make func(K) V

	read atomic.Pointer[map[K]V]
	mu   sync.Mutex // held while the map is replaced
}

func newCache[K comparable, V any](mk func(K) V) *cache[K, V] {
	c := &cache[K, V]{make: mk}
	c.read.Store(&map[K]V{})
	return c
}

func (c *cache[K, V]) get(k K) V {
	if v, ok := (*c.read.Load())[k]; ok {
		return v
	}
	v := c.make(k)
	c.mu.Lock()
	defer c.mu.Unlock()
	old := *c.read.Load()
	if len(old) >= cached {
		return v
	}
	grown := make(map[K]V, len(old)+1)
	maps.Copy(grown, old)
	grown[k] = v
	c.read.Store(&grown)
	return v
}
