package consumer

import (
	"context"
	"slices"

	"github.com/rocketkit/rocketkit/driver"
)

// attend has the messages of a queue given back when it is revoked, as soon as that is
// known: those that wait for a worker, which may be paused or busy for long, while the next
// member of an ordered group waits for the queue. mu is held.
func (p *pool) attend(queue context.Context) {
	term := queue.Done()
	if _, known := p.terms[term]; !known && term != nil {
		p.terms[term] = context.AfterFunc(queue, func() { p.giveBack(term) })
	}
}

// giveBack settles what waits of a queue that is revoked: it does not count.
func (p *pool) giveBack(term <-chan struct{}) {
	p.mu.Lock()
	delete(p.terms, term)
	if p.closed { // the workers do it
		p.mu.Unlock()
		return
	}
	back := p.takeOut(term)
	p.giving++
	p.mu.Unlock()
	for _, t := range back {
		t.settler.Settle(t.d, driver.Verdict{})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giving--
	p.checkEnded()
}

// takeOut takes what waits of a queue. mu is held.
func (p *pool) takeOut(term <-chan struct{}) (out []task) {
	if p.lanes != nil {
		p.lanes.list = slices.DeleteFunc(p.lanes.list, func(l *batchLane) bool {
			if l.key.term == term {
				out = append(out, l.tasks...)
			}
			return l.key.term == term
		})
		p.n -= len(out)
		return out
	}
	kept := 0
	for i := range p.n {
		at := &p.ring[(p.head+i)&(len(p.ring)-1)]
		t := *at
		*at = task{}
		if t.queue.Done() == term {
			out = append(out, t)
			continue
		}
		p.ring[(p.head+kept)&(len(p.ring)-1)] = t
		kept++
	}
	p.n = kept
	return out
}
