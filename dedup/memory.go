package dedup

import (
	"container/list"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// DefaultMemoryLimit is how many keys a Memory keeps by default.
const DefaultMemoryLimit = 100_000

// Memory is a Store in the process: for tests, and for what one process gets twice. It
// forgets everything when the process ends, and knows nothing of other members. Make it
// with NewMemory.
type Memory struct {
	limit int

	mu     sync.Mutex // guards the following
	byKey  map[string]*list.Element
	order  *list.List // of *memoryEntry, by when they were claimed or done
	tokens uint64
}

// memoryEntry is one key.
type memoryEntry struct {
	key   string
	token string // "" when it is done
	until time.Time
}

var _ Store = (*Memory)(nil)

// MemoryOption sets something of a Memory.
type MemoryOption func(*Memory)

// Limit is how many keys are kept, 1 at least; DefaultMemoryLimit by default. Of more
// the one that has been done for the longest time is forgotten.
func Limit(n int) MemoryOption { return func(m *Memory) { m.limit = max(n, 1) } }

// NewMemory makes an empty store.
func NewMemory(opts ...MemoryOption) *Memory {
	m := &Memory{limit: DefaultMemoryLimit, byKey: make(map[string]*list.Element), order: list.New()}
	for _, o := range opts {
		if o != nil {
			o(m)
		}
	}
	return m
}

// Claim implements Store. Its error is ErrFull when there are claims only, as many as
// are kept at most.
func (m *Memory) Claim(_ context.Context, key string, lease time.Duration) (Claim, error) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.byKey[key]; e != nil {
		entry := e.Value.(*memoryEntry)
		switch {
		case !now.Before(entry.until):
			m.drop(e)
		case entry.token == "":
			return Claim{Key: key, State: Done}, nil
		default:
			return Claim{Key: key}, nil
		}
	}
	if !m.makeRoom(now) {
		return Claim{}, fmt.Errorf("%w: %d of them; raise dedup.Limit, or lower the handlers' concurrency", ErrFull, m.limit)
	}
	m.tokens++
	entry := &memoryEntry{key: key, token: strconv.FormatUint(m.tokens, 10), until: now.Add(lease)}
	m.byKey[key] = m.order.PushBack(entry)
	return Claim{Key: key, State: Claimed, Token: entry.token}, nil
}

// Complete implements Store. It does not fail.
func (m *Memory) Complete(_ context.Context, c Claim, ttl time.Duration) error {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.byKey[c.Key]; e != nil {
		m.drop(e)
	}
	if m.makeRoom(now) {
		m.byKey[c.Key] = m.order.PushBack(&memoryEntry{key: c.Key, until: now.Add(ttl)})
	}
	return nil
}

// Release implements Store. It does not fail.
func (m *Memory) Release(_ context.Context, c Claim) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.byKey[c.Key]; e != nil && c.Token != "" && e.Value.(*memoryEntry).token == c.Token {
		m.drop(e)
	}
	return nil
}

// makeRoom forgets what it must for one more key. mu is held.
func (m *Memory) makeRoom(now time.Time) bool {
	for e := m.order.Front(); e != nil && len(m.byKey) >= m.limit; {
		next := e.Next()
		if entry := e.Value.(*memoryEntry); entry.token == "" || !now.Before(entry.until) {
			m.drop(e)
		}
		e = next
	}
	return len(m.byKey) < m.limit
}

// drop forgets a key. mu is held.
func (m *Memory) drop(e *list.Element) {
	delete(m.byKey, e.Value.(*memoryEntry).key)
	m.order.Remove(e)
}

// Len is how many keys are kept.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.byKey)
}
