package pop

// Status says whether a queue can be popped.
type Status uint8

// The statuses.
const (
	Free    Status = iota
	Busy           // another pop is reading it
	Blocked        // its messages were popped in order, and are not acknowledged
	Full           // too many of its messages are invisible
	Failing        // the journal cannot be written
)

// Pop is one answer to a pop. Its fields do not change.
type Pop struct {
	s         *Service
	Time      int64 // ms since 1970
	Invisible int64 // ms
	Ordered   bool
	Attempt   string // of an orderly pop; "" is none
}

// MaxInvisible bounds the time for which messages are invisible, in ms: some 34
// years.
const MaxInvisible = 1 << 40

// NewPop begins a pop, at the clock's time.
func (s *Service) NewPop(invisible int64, ordered bool, attempt string) *Pop {
	return &Pop{s: s, Time: s.now(), Invisible: bounded(invisible), Ordered: ordered, Attempt: attempt}
}

// Claim is a queue that a pop reads. It must be released.
type Claim struct {
	p      *Pop
	q      *queue
	Offset int64 // where to read
}

// Claim takes a queue for a pop, if it is free. init is where it begins when the
// group has no offset. One that is busy or full wakes a pop when it no longer is.
func (p *Pop) Claim(key Key, init int64) (*Claim, Status) {
	s := p.s
	s.mu.Lock()
	defer s.free()
	q := s.find(key, init)
	if status := s.status(q, p); status != Free {
		return nil, status
	}
	q.busy = true
	return &Claim{p: p, q: q, Offset: q.next}, Free
}

// status says whether p may claim q. mu is held.
func (s *Service) status(q *queue, p *Pop) Status {
	switch {
	case s.journal.failing:
		return Failing
	case q.busy:
		q.missed = true
		return Busy
	case p.Ordered && q.order.blocks(p.Attempt, p.Time):
		return Blocked
	case !p.Ordered && (len(q.messages) >= s.o.MaxPerQueue || s.total >= maxTotal):
		q.missed = true
		return Full
	}
	return Free
}

// Available reports whether a pop of a queue with the given end would find
// something to read. A queue that is busy or full wakes a pop later.
func (p *Pop) Available(key Key, init, end int64) bool {
	s := p.s
	s.mu.Lock()
	defer s.free()
	if q := s.queues[key]; q != nil && s.status(q, p) != Free {
		return false
	}
	return s.find(key, init).next < end
}

// Take makes messages invisible, or locks the queue with them, and returns how often
// each was delivered before, as far as the queue's lock knows. next is where the
// queue goes on.
func (c *Claim) Take(offsets []int64, next int64) []int32 {
	s, q := c.p.s, c.q
	s.mu.Lock()
	defer s.free()
	until := c.p.Time + c.p.Invisible
	if !c.p.Ordered {
		s.enter(&entry{kind: kindPop, key: q.key, popTime: c.p.Time, until: until, next: next, offsets: offsets}, nil)
		return make([]int32, len(offsets))
	}
	e := &entry{kind: kindOrder, key: q.key, popTime: c.p.Time, next: offsets[0], offsets: offsets, attempt: c.p.Attempt}
	e.counts = q.order.countsFor(c.p.Attempt, offsets)
	e.untils = make([]int64, len(offsets))
	for i := range e.untils {
		e.untils[i] = until
	}
	s.enter(e, nil)
	return e.counts
}

// Skip lets the queue go on from next: nothing before it is for the group, or the
// offset was wrong.
func (c *Claim) Skip(next int64) {
	s, q := c.p.s, c.q
	s.mu.Lock()
	defer s.free()
	q.next, c.Offset = next, next
	s.journal.waiting = append(s.journal.waiting, item{q: q, next: next, epoch: q.epoch})
}

// Release gives the queue back. Done or End must follow.
func (c *Claim) Release() {
	s, q := c.p.s, c.q
	s.mu.Lock()
	defer s.free()
	q.busy = false
	if q.missed {
		s.wake(q)
	}
	s.drop(q)
}

// drop forgets a queue when its consumer offset says all. mu is held.
func (s *Service) drop(q *queue) {
	if _, dirty := s.dirty[q]; !dirty && q.idle() && s.queues[q.key] == q {
		delete(s.queues, q.key)
	}
}

// Done calls done when what was taken is stored, or with the error when it is not:
// then it must not be handed out, and comes again when its time is up.
func (p *Pop) Done(done func(error)) {
	p.s.mu.Lock()
	p.s.after(done)
	p.s.free()
	p.s.write()
}

// End ends a pop that took nothing.
func (p *Pop) End() { p.s.write() }
