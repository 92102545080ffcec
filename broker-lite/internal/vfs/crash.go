package vfs

import (
	"maps"
	"math/rand/v2"
)

// Clone returns a copy as another process would find it after this one was
// killed: all that was written, with the same knowledge of what is durable, and
// no locks.
func (m *Mem) Clone() *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := copier{made: map[any]any{}, file: (*memFile).clone}
	out := &Mem{locks: map[string]bool{}, root: c.dir(m.root)}
	for _, o := range m.pending {
		c.op(&o)
		out.pending = append(out.pending, o)
	}
	return out
}

// Crash returns the file system as it is found after a power cut at this
// instant; m goes on as it is. What was not durable is lost, kept or torn by
// choices drawn from seed: see the package's rules. Everything in the result is
// durable.
func (m *Mem) Crash(seed uint64) *Mem {
	rng := rand.New(rand.NewPCG(seed, 0x726f636b65746b69))
	m.mu.RLock()
	defer m.mu.RUnlock()

	view := map[*memDir]map[string]any{}
	entries := func(d *memDir) map[string]any {
		if view[d] == nil {
			view[d] = maps.Clone(d.durable)
		}
		return view[d]
	}
	keep := chooser(rng)
	for i := range m.pending {
		if keep() {
			m.pending[i].apply(entries)
		}
	}
	c := copier{made: map[any]any{}, entries: entries, file: func(f *memFile) *memFile { return f.crash(rng) }}
	return &Mem{root: c.dir(m.root), locks: map[string]bool{}}
}

// chooser decides once for all, or for each by itself: single survivors among
// many would be rare otherwise.
func chooser(rng *rand.Rand) func() bool {
	switch rng.IntN(3) {
	case 0:
		return func() bool { return false }
	case 1:
		return func() bool { return true }
	default:
		return func() bool { return rng.IntN(2) == 0 }
	}
}

// copier copies a tree. With entries set it copies that one view of it, as live
// and durable.
type copier struct {
	made    map[any]any
	entries func(*memDir) map[string]any
	file    func(*memFile) *memFile
}

func (c *copier) node(n any) any {
	if made, ok := c.made[n]; ok {
		return made
	}
	switch n := n.(type) {
	case *memDir:
		return c.dir(n)
	case *memFile:
		f := c.file(n)
		c.made[n] = f
		return f
	}
	return nil
}

func (c *copier) dir(d *memDir) *memDir {
	out := newMemDir()
	c.made[d] = out
	live, durable := d.live, d.durable
	if c.entries != nil {
		live, durable = c.entries(d), c.entries(d)
	}
	// In the order of names, so that equal seeds make equal choices.
	for _, name := range sortedKeys(live) {
		out.live[name] = c.node(live[name])
	}
	for _, name := range sortedKeys(durable) {
		out.durable[name] = c.node(durable[name])
	}
	return out
}

func (c *copier) op(o *nameOp) {
	o.node = c.node(o.node)
	if o.fromDir != nil {
		o.fromDir = c.node(o.fromDir).(*memDir)
	}
	if o.toDir != nil {
		o.toDir = c.node(o.toDir).(*memDir)
	}
}

func (f *memFile) clone() *memFile {
	out := *f
	out.durable = append([]*page(nil), f.durable...)
	out.pages = append([]*page(nil), f.pages...)
	for i, p := range out.pages {
		if p != nil && !(i < len(out.durable) && out.durable[i] == p) {
			c := *p
			out.pages[i] = &c
		}
	}
	return &out
}

// crash draws what is left of a file.
func (f *memFile) crash(rng *rand.Rand) *memFile {
	out := &memFile{size: f.durableSize}
	keep := chooser(rng)
	if f.size != f.durableSize && keep() {
		out.size = f.size
		if rng.IntN(4) == 0 {
			lo, hi := min(f.size, f.durableSize), max(f.size, f.durableSize)
			out.size = lo + rng.Int64N(hi-lo+1)
		}
	}
	for i := range pagesFor(out.size) {
		old, live := pageAt(f.durable, i), pageAt(f.pages, i)
		p := old
		if live != old && keep() {
			p = mix(old, live, rng)
		}
		out.pages = append(out.pages, p)
	}
	// Through truncate, so that nothing is left behind the end. The pages are
	// durable already, and so copied before they change.
	out.durable = append([]*page(nil), out.pages...)
	size := out.size
	out.size = int64(len(out.pages)) * pageSize
	out.truncate(size)
	out.sync()
	return out
}

func pageAt(pages []*page, i int) *page {
	if i < len(pages) {
		return pages[i]
	}
	return nil
}

// mix returns the new page, or one time in three a mixture of both by sectors.
func mix(old, live *page, rng *rand.Rand) *page {
	var p, o page
	if old != nil {
		o = *old
	}
	if live != nil {
		p = *live
	}
	if rng.IntN(3) == 0 {
		for at := 0; at < pageSize; at += sectorSize {
			if rng.IntN(2) == 0 {
				copy(p[at:at+sectorSize], o[at:])
			}
		}
	}
	return &p
}
