package producer

import (
	"context"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// maxLingering is how many messages one request carries at most.
const maxLingering = 1024

// linger gathers messages that go to one queue, so that they share a request.
//
// A message is a member of one gathering, until that is answered or the message's
// own ctx ends, whichever is first: claimed says that one of them has taken it. A
// gathering is handed over by whoever fills it or by its timer. The gatherings of
// one line are handed over one after the other, in their order, by one goroutine
// at a time.
type linger struct {
	p      *Producer
	wait   time.Duration
	bytes  int // of a request
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex // guards the following, gatherings and members
	lines    map[lineKey]*line
	draining bool // nothing waits any more
}

// lineKey is what messages must have in common. A zero queue: any of the topic's.
type lineKey struct {
	topic string
	queue message.Queue
}

type line struct {
	filling *gathering   // nil: none
	ready   []*gathering // to hand over
	busy    bool         // somebody does
}

// gathering is the messages of one request.
type gathering struct {
	key     lineKey
	members []*member
	size    int
	timer   *time.Timer
	begun   bool   // it is a request
	reading int    // attempts for which the driver reads the messages
	broker  string // of the last attempt
}

// member is a message of a gathering. Once it is claimed, o is somebody else's.
type member struct {
	o       *op
	group   *gathering
	claimed bool
	late    bool // its ctx ended while the driver read it
	stop    func() bool
}

// outcome is what became of a request, or of one of its messages.
type outcome struct {
	receipt  driver.Receipt
	err      error
	queue    message.Queue
	tried    []string
	attempts int
	unsafe   bool
}

func newLinger(p *Producer) *linger {
	l := &linger{p: p, wait: p.cfg.linger, bytes: min(p.cfg.batchBytes, p.cfg.maxMessageSize), lines: map[lineKey]*line{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// takes reports whether a message may share a request.
func (l *linger) takes(o *op) bool {
	return l != nil && o.kind == single && !o.alone && o.out.Delay.IsZero() && !isRetryTopic(o.out.Topic)
}

// add takes o, which is open. It is settled later, once: members are not tried
// again, their requests are.
func (l *linger) add(o *op) {
	key := lineKey{topic: o.out.Topic}
	queues, err := l.p.queues(o.ctx, key.topic) // here, where o's own ctx bounds it
	if sel := l.p.selector(o.out.Message); sel != nil && err == nil {
		key.queue, err = l.p.selected(sel, o.out.Message, queues)
	}
	if err != nil {
		l.complete(o, outcome{err: err})
		return
	}
	size, user := storedSize(&o.out), o.user
	l.mu.Lock()
	ln := l.lines[key]
	if ln == nil {
		ln = &line{}
		l.lines[key] = ln
	}
	if g := ln.filling; g != nil && (g.size+size > l.bytes || len(g.members) == maxLingering) {
		ln.full()
	}
	g := ln.filling
	if g == nil {
		g = &gathering{key: key}
		g.timer = time.AfterFunc(l.wait, func() { l.due(g) })
		ln.filling = g
	}
	m := &member{o: o, group: g}
	g.members = append(g.members, m)
	g.size += size
	if g.size >= l.bytes || l.draining {
		ln.full()
	}
	mine := ln.take()
	l.mu.Unlock()
	l.watch(user, m) // o may have its answer, and be another message's
	if mine {
		l.hand(key, ln)
	}
}

// watch lets go of a member whose ctx ends.
func (l *linger) watch(ctx context.Context, m *member) {
	if ctx.Done() == nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { l.ended(ctx, m) })
	l.mu.Lock()
	over := m.claimed
	m.stop = stop
	l.mu.Unlock()
	if over {
		stop()
	}
}

// full makes what is filling ready. l.mu is held.
func (ln *line) full() {
	ln.filling.timer.Stop()
	ln.ready = append(ln.ready, ln.filling)
	ln.filling = nil
}

// take makes the caller the one who hands over, if there is something and nobody
// does. l.mu is held.
func (ln *line) take() bool {
	if ln.busy || len(ln.ready) == 0 {
		return false
	}
	ln.busy = true
	return true
}

// due is the end of a gathering's time.
func (l *linger) due(g *gathering) {
	l.mu.Lock()
	ln := l.lines[g.key]
	if ln == nil || ln.filling != g {
		l.mu.Unlock()
		return
	}
	ln.full()
	mine := ln.take()
	l.mu.Unlock()
	if mine {
		l.hand(g.key, ln)
	}
}

// hand hands over what is ready. The first is the caller's own; what others have
// made ready meanwhile gets a goroutine.
func (l *linger) hand(key lineKey, ln *line) {
	l.p.flow.join()
	defer l.p.flow.leave()
	l.mu.Lock()
	g := ln.ready[0]
	ln.ready = ln.ready[1:]
	l.mu.Unlock()
	l.send(g)

	l.mu.Lock()
	ln.busy = false
	more := ln.take()
	if !more && ln.filling == nil {
		delete(l.lines, key)
	}
	l.mu.Unlock()
	if more {
		go l.hand(key, ln)
	}
}

// send makes a request of a gathering.
func (l *linger) send(g *gathering) {
	r := l.p.newOp()
	r.gathering = g
	r.ctx = newSendContext(l.ctx, l.p.sends.sendTimeout)
	r.user = r.ctx
	if !l.begin(r) {
		r.ctx.end(context.Canceled)
		return
	}
	l.attempt(r)
}

// attempt makes one attempt at a request. Members whose ctx ends while the driver
// reads them are let go afterwards: they may be changed then.
func (l *linger) attempt(r *op) {
	g := r.gathering
	r.attempt() // and r may be somebody else's
	l.mu.Lock()
	g.reading--
	var late []*op
	if g.reading == 0 {
		for _, m := range g.members {
			if m.late && !m.claimed {
				m.claimed, m.o.kept = true, true
				late = append(late, m.o)
			}
		}
	}
	broker := g.broker
	l.mu.Unlock()
	for _, o := range late {
		l.leave(o, broker)
	}
}

// goes notes where an attempt goes.
func (l *linger) goes(g *gathering, broker string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g.broker = broker
}

// begin fills a request with the members that are left, before each attempt;
// false: there are none.
func (l *linger) begin(r *op) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := r.gathering
	r.batch = make([]*driver.Outgoing, 0, len(g.members))
	for _, m := range g.members {
		if !m.claimed {
			r.batch = append(r.batch, &m.o.out)
		}
	}
	switch len(r.batch) {
	case 0:
		return false
	case 1: // which may be as large as allowed, and is packed
		r.kind, r.out = single, *r.batch[0]
	default:
		r.kind = batch
	}
	g.begun = true
	g.reading++
	return true
}

// ended is called when a member's ctx ends.
func (l *linger) ended(ctx context.Context, m *member) {
	l.mu.Lock()
	g := m.group
	if m.claimed || g.reading > 0 {
		m.late = true
		l.mu.Unlock()
		return
	}
	m.claimed, m.o.kept = true, g.begun
	begun, broker := g.begun, g.broker
	l.mu.Unlock()
	if begun {
		l.leave(m.o, broker)
	} else {
		l.complete(m.o, outcome{err: ctx.Err()})
	}
}

// leave ends a member whose request goes on without it.
func (l *linger) leave(o *op, broker string) {
	l.complete(o, outcome{
		err:   &message.UnknownOutcomeError{Op: "send to topic " + o.out.Topic, Broker: broker, Err: o.user.Err()},
		tried: []string{broker}, attempts: 1, unsafe: true,
	})
}

// answered shares a request's outcome among those who still wait for it, and ends
// the request.
func (l *linger) answered(r *op) {
	g := r.gathering
	l.mu.Lock()
	var rest []*op
	for _, m := range g.members {
		if !m.claimed {
			m.claimed = true
			rest = append(rest, m.o)
			if m.stop != nil {
				m.stop()
			}
		}
	}
	l.mu.Unlock()
	out := outcome{err: r.err, queue: r.queue, tried: r.tried, attempts: r.attempts, unsafe: r.unsafe}
	places := places(r)
	for _, o := range rest {
		out.receipt = places[&o.out]
		l.complete(o, out)
	}
	r.ctx.end(context.Canceled)
}

// places are the receipts of a request's messages, which lie side by side.
func places(r *op) map[*driver.Outgoing]driver.Receipt {
	if r.err != nil {
		return nil
	}
	ids := splitIDs(r.receipt.OffsetMessageID, len(r.batch))
	each := make(map[*driver.Outgoing]driver.Receipt, len(r.batch))
	for i, out := range r.batch {
		one := r.receipt
		one.QueueOffset += int64(i)
		one.OffsetMessageID = ids[i]
		each[out] = one
	}
	return each
}

// complete ends a member with what its request came to.
func (l *linger) complete(o *op, r outcome) {
	o.receipt, o.err, o.queue, o.unsafe = r.receipt, r.err, r.queue, r.unsafe
	o.tried, o.attempts = append(o.tried[:0], r.tried...), r.attempts
	if o.cb == nil {
		o.answered <- struct{}{}
		return
	}
	l.p.flow.finish(o)
}

// flush hands over all that waits, for a drain.
func (l *linger) flush() {
	l.mu.Lock()
	l.draining = true
	l.mu.Unlock()
	for _, g := range l.waiting() {
		l.due(g)
	}
}

// cutOff ends all that waits and what is under way, for a stop.
func (l *linger) cutOff() {
	l.cancel() // attempts fail at once
	l.flush()
}

func (l *linger) waiting() []*gathering {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*gathering
	for _, ln := range l.lines {
		if ln.filling != nil {
			all = append(all, ln.filling)
		}
	}
	return all
}
