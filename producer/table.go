package producer

import (
	"maps"
	"sync"
	"sync/atomic"
)

// table holds one V for each name. It is read for every message and grows
// rarely, so it is copied when it grows.
type table[V any] struct {
	make func(name string) *V

	read atomic.Pointer[map[string]*V]
	mu   sync.Mutex // held while the map is replaced
}

func newTable[V any](mk func(name string) *V) *table[V] {
	t := &table[V]{make: mk}
	t.read.Store(&map[string]*V{})
	return t
}

// get returns name's V, a new one the first time.
func (t *table[V]) get(name string) *V {
	if v, ok := (*t.read.Load())[name]; ok {
		return v
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.read.Load()
	if v, ok := old[name]; ok {
		return v
	}
	grown := make(map[string]*V, len(old)+1)
	maps.Copy(grown, old)
	v := t.make(name)
	grown[name] = v
	t.read.Store(&grown)
	return v
}
