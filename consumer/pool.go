package consumer

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// task is one message that waits for a worker, or to be fetched and answered.
type task struct {
	queue   context.Context // ends when the message's queue is revoked
	settler driver.Settler
	d       *message.Delivery
}

// pool is the workers of one handler and the messages that wait for them, in
// order of arrival. What waits is bounded by the driver: it delivers no more
// than MaxUnsettled messages of a queue before they are settled. Every handler
// has a pool of its own, so one that is slow holds up only itself.
//
// Workers start when there is work and nobody idle, up to the handler's
// concurrency, and end with the pool.
type pool struct {
	handler *handler

	mu     sync.Mutex // guards the following
	work   *sync.Cond // on mu: a task came or the pool closed
	lanes  *lanes     // of a batch handler, instead of the ring; nil for others
	ring   []task     // its length is 0 or a power of two
	head   int
	n      int
	turns  int  // messages that a worker has taken, and that wait for their turn
	idle   int  // workers that wait
	waking bool // one is on its way to the queue and will wake the next
	// terms are the queues that messages have come of; each function forgets one, which
	// would give its messages back when it is revoked.
	terms  map[<-chan struct{}]func() bool
	giving int // that do so now
	slots  []*slot
	live   int  // workers that have not ended
	most   int  // workers that there may be
	held   bool // by Pause: nobody takes anything
	killed bool // by the kill switch, likewise
	// unpausable: it is going to be closed.
	unpausable bool
	closed     bool
	ended      chan struct{} // closed when closed, live == 0 and giving == 0
}

// slot is one worker, as the watchdog sees it.
type slot struct{ call atomic.Pointer[call] } // nil when it is idle

func newPool(h *handler) *pool {
	p := &pool{handler: h, most: h.concurrency, ended: make(chan struct{}), terms: make(map[<-chan struct{}]func() bool)}
	p.work = sync.NewCond(&p.mu)
	if h.batches != nil {
		p.lanes = &lanes{size: h.batchSize, wait: h.batchWait}
	}
	return p
}

// push queues messages; false when the pool has been closed.
func (p *pool) push(queue context.Context, s driver.Settler, ds []*message.Delivery) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.attend(queue)
	for p.lanes == nil && p.n+len(ds) > len(p.ring) {
		p.grow()
	}
	for _, d := range ds {
		t := task{queue: queue, settler: s, d: d}
		if p.lanes != nil {
			p.lineUp(t)
		} else {
			p.ring[(p.head+p.n)&(len(p.ring)-1)] = t
		}
		p.n++
	}
	p.wake()
	return true
}

func (p *pool) grow() {
	next := make([]task, max(64, 2*len(p.ring)))
	for i := range p.n {
		next[i] = p.ring[(p.head+i)&(len(p.ring)-1)]
	}
	p.ring, p.head = next, 0
}

// wake gets one more worker to the queue. That worker wakes the next when there
// is more to do, so that a few quick messages do not rouse everybody. mu is held.
func (p *pool) wake() {
	switch {
	case p.waking || p.paused() || !p.ready():
	case p.idle > 0:
		p.waking = true
		p.work.Signal()
	case p.live < p.most:
		p.waking = true
		p.start()
	}
}

// start starts a worker. mu is held.
func (p *pool) start() {
	s := new(slot)
	p.slots = append(p.slots, s)
	p.live++
	go p.run(s)
}

// run is a worker. It ends when the pool is closed and empty, or when a handler
// ends its goroutine (runtime.Goexit, which testing.T.FailNow calls).
func (p *pool) run(s *slot) {
	defer p.exit(s)
	if p.lanes != nil {
		p.runBatches(s)
		return
	}
	var t task
	for fresh := true; p.take(&t, fresh); fresh = false {
		p.awaitTurn(t.queue, 1)
		p.handler.process(&t, s)
	}
}

// runBatches is run for a batch handler.
func (p *pool) runBatches(s *slot) {
	var room []task
	for fresh := true; ; fresh = false {
		if room = p.takeBatch(room[:0], fresh); len(room) == 0 {
			return
		}
		p.awaitTurn(room[0].queue, len(room))
		p.handler.processBatch(room, s)
		clear(room) // an idle worker keeps no message alive
	}
}

// take waits for the next message; false when the pool is closed and empty.
// fresh says that the worker was started to be here.
func (p *pool) take(t *task, fresh bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	*t = task{} // an idle worker keeps no message alive
	if !p.await(fresh) {
		return false
	}
	*t, p.ring[p.head] = p.ring[p.head], task{}
	p.head = (p.head + 1) & (len(p.ring) - 1)
	p.n--
	p.wake()
	return true
}

// await waits until there is something to take; false when the worker is to end: the
// pool is closed and empty, or has more workers than it may. mu is held.
func (p *pool) await(fresh bool) bool {
	if fresh {
		p.waking = false
	}
	for p.live <= p.most && (p.paused() || !p.ready()) {
		if p.closed && p.n == 0 {
			return false
		}
		p.idle++
		p.work.Wait()
		p.idle--
		p.waking = false
	}
	return p.live <= p.most
}

// exit takes a worker off the list, and starts another one when it ended out of
// turn.
func (p *pool) exit(s *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.slots {
		if p.slots[i] == s {
			p.slots = append(p.slots[:i], p.slots[i+1:]...)
			break
		}
	}
	p.live--
	p.wake()
	p.checkEnded()
}

// checkEnded closes ended when the time has come. mu is held.
func (p *pool) checkEnded() {
	if p.closed && p.live == 0 && p.giving == 0 {
		close(p.ended)
	}
}

// close ends the workers when everything that waits has been handled. The
// queues' contexts decide what that means: a message of a revoked queue is only
// given back, by the workers from now on. It is called once.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, forget := range p.terms {
		forget()
	}
	p.terms = nil
	if p.lanes != nil && p.lanes.timer != nil {
		p.lanes.timer.Stop()
	}
	p.wake() // for a batch that nobody was there for yet
	p.work.Broadcast()
	p.checkEnded()
}

// running appends the calls that are with a handler now.
func (p *pool) running(calls []*call) []*call {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.slots {
		if c := s.call.Load(); c != nil {
			calls = append(calls, c)
		}
	}
	return calls
}
