package producer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// idleWorker is how long a callback worker waits for work before it ends.
const idleWorker = 5 * time.Second

type flowState int

const (
	flowOpen    flowState = iota
	flowClosing           // nothing new begins; what began goes on
	flowStopped           // nothing new gets a place either
)

// flow bounds what is in flight and runs the callbacks.
//
// A send is pending from its call to its end (an asynchronous one ends after
// its callback) and holds a place from acquire until release. An asynchronous
// send keeps its place until a worker takes it up, so callbacks that are slow
// hold senders back, and releases it before its callback runs. Workers are few,
// except that every sender that waits for a place entitles the pool to one more:
// when all workers wait for places inside callbacks, there is always another one
// to empty the queue, and so places become free.
type flow struct {
	limit      int
	limitBytes int64
	maxWorkers int
	call       func(*op)     // runs a callback; does not panic
	stopping   chan struct{} // closed by stop

	mu       sync.Mutex // guards the following
	state    flowState
	pending  int
	places   int   // taken
	bytes    int64 // of bodies that hold a place
	waiters  waiterList
	active   opList // hold a place, and can be cancelled
	done     opList // wait for a worker
	idle     []*worker
	workers  int
	finished chan struct{} // made by close, closed when nothing is pending and no worker is left
}

type waiter struct {
	bytes      int64
	ready      chan struct{} // closed when decided
	granted    bool
	refused    bool // the producer stopped
	prev, next *waiter
}

type worker struct{ wake chan struct{} } // one token: there is work, or the flow closes

// begin counts one send in, or says that the producer is closed.
func (f *flow) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state != flowOpen {
		return false
	}
	f.pending++
	return true
}

// join counts in what helps sends that have begun.
func (f *flow) join() {
	f.mu.Lock()
	f.pending++
	f.mu.Unlock()
}

// acquire takes a place for o, waiting for one until ctx ends. o's time-out
// counts from then. With failFast it does not wait.
func (f *flow) acquire(ctx context.Context, o *op, timeout time.Duration, failFast bool) error {
	o.ctx = newSendContext(ctx, timeout)
	f.mu.Lock()
	if f.state == flowStopped {
		f.mu.Unlock()
		return message.ErrClosed
	}
	if f.waiters.first == nil && f.fits(o.size) {
		f.take(o.size)
		f.place(o)
		f.mu.Unlock()
		return nil
	}
	if failFast {
		places, bytes := f.places, f.bytes
		f.mu.Unlock()
		return fmt.Errorf("%w: %d of at most %d, %d of at most %d bytes; send less at once or raise MaxInFlight", message.ErrOverloaded, places, f.limit, bytes, f.limitBytes)
	}
	w := &waiter{bytes: o.size, ready: make(chan struct{})}
	f.waiters.add(w)
	f.employ()
	f.mu.Unlock()

	var ended error
	select {
	case <-w.ready:
	case <-ctx.Done():
		ended = ctx.Err()
	}
	o.ctx.restart(timeout)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case w.granted && f.state == flowStopped:
		f.untake(o.size)
		return message.ErrClosed
	case w.granted: // perhaps at the moment when ctx ended: the send will see that
		f.place(o)
		return nil
	case w.refused:
		return message.ErrClosed
	}
	f.waiters.remove(w)
	f.grant() // those behind it may be smaller
	return fmt.Errorf("%w: no place became free: %w", message.ErrOverloaded, ended)
}

// place notes that o holds the place that was taken for it. mu is held.
func (f *flow) place(o *op) {
	o.placed = true
	f.active.add(o)
}

func (f *flow) fits(size int64) bool {
	return f.places < f.limit && (f.bytes+size <= f.limitBytes || f.places == 0)
}

func (f *flow) take(size int64) {
	f.places++
	f.bytes += size
}

// untake gives a place back and passes it on. mu is held.
func (f *flow) untake(size int64) {
	f.places--
	f.bytes -= size
	f.grant()
}

// grant gives free places to those who wait, first come first served. mu is held.
func (f *flow) grant() {
	for w := f.waiters.first; w != nil && f.fits(w.bytes); w = f.waiters.first {
		f.waiters.remove(w)
		f.take(w.bytes)
		w.granted = true
		close(w.ready)
	}
}

// leave counts one send out.
func (f *flow) leave() {
	f.mu.Lock()
	f.pending--
	f.checkFinished()
	f.mu.Unlock()
}

// vacate gives o's place back, if it has one.
func (f *flow) vacate(o *op) {
	f.mu.Lock()
	f.unplace(o)
	f.mu.Unlock()
}

// vacateAndLeave is both, for sends of one request.
func (f *flow) vacateAndLeave(o *op) {
	f.mu.Lock()
	f.unplace(o)
	f.pending--
	f.checkFinished()
	f.mu.Unlock()
}

// unplace gives o's place back, if it has one. mu is held.
func (f *flow) unplace(o *op) {
	if o.placed {
		o.placed = false
		f.active.remove(o)
		f.untake(o.size)
	}
}

// finish hands o to a worker, which releases its place, if it holds one, and
// runs its callback. It never blocks.
func (f *flow) finish(o *op) {
	f.mu.Lock()
	f.active.remove(o)
	f.done.add(o)
	f.employ()
	f.mu.Unlock()
}

// refuse is finish for a send that was never begun: the producer is closed.
func (f *flow) refuse(o *op) {
	f.mu.Lock()
	f.pending++
	f.done.add(o)
	f.employ()
	f.mu.Unlock()
}

// employ sees to it that someone takes up what is done: whenever there is such
// work, a worker is waking up, or as many as are allowed are busy. mu is held.
func (f *flow) employ() {
	if f.done.first == nil {
		return
	}
	if n := len(f.idle); n > 0 {
		w := f.idle[n-1]
		f.idle = f.idle[:n-1]
		w.wake <- struct{}{} // has room: an idle worker has taken its last token
		return
	}
	if f.workers < f.maxWorkers+f.waiters.n {
		f.workers++
		go f.work(&worker{wake: make(chan struct{}, 1)})
	}
}

// work runs callbacks until there are none for a while.
func (f *flow) work(w *worker) {
	calling := 0
	defer func() { // also when a callback ends its goroutine (runtime.Goexit)
		f.mu.Lock()
		f.pending -= calling
		f.workers--
		f.employ()
		f.checkFinished()
		f.mu.Unlock()
	}()
	timer := time.NewTimer(idleWorker)
	defer timer.Stop()
	for {
		f.mu.Lock()
		f.pending -= calling
		calling = 0
		o := f.done.first
		if o == nil {
			if f.state != flowOpen || f.workers > f.maxWorkers+f.waiters.n {
				f.mu.Unlock()
				return
			}
			f.idle = append(f.idle, w)
			f.mu.Unlock()
			timer.Reset(idleWorker)
			if !f.rest(w, timer) {
				return
			}
			continue
		}
		f.done.remove(o)
		f.unplace(o)
		calling = 1
		f.mu.Unlock()
		f.call(o)
	}
}

// rest waits for work; false means that there was none for idleWorker.
func (f *flow) rest(w *worker, timer *time.Timer) bool {
	select {
	case <-w.wake:
		return true
	case <-timer.C:
	}
	f.mu.Lock()
	for i, other := range f.idle {
		if other == w {
			f.idle = append(f.idle[:i], f.idle[i+1:]...)
			f.mu.Unlock()
			return false
		}
	}
	f.mu.Unlock()
	<-w.wake // it was called in the meantime
	return true
}

// close lets nothing new begin. The channel closes when all that began has
// ended.
func (f *flow) close() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == flowOpen {
		f.state = flowClosing
		f.finished = make(chan struct{})
		for _, w := range f.idle {
			w.wake <- struct{}{}
		}
		f.idle = nil
		f.checkFinished()
	}
	return f.finished
}

// stop is close, and cancels what holds or waits for a place.
func (f *flow) stop() <-chan struct{} {
	finished := f.close()
	f.mu.Lock()
	if f.state != flowStopped {
		close(f.stopping)
	}
	f.state = flowStopped
	for w := f.waiters.first; w != nil; w = f.waiters.first {
		f.waiters.remove(w)
		w.refused = true
		close(w.ready)
	}
	var ctxs []*sendContext
	for o := f.active.first; o != nil; o = o.next {
		ctxs = append(ctxs, o.ctx)
	}
	f.mu.Unlock()
	for _, c := range ctxs {
		c.end(errStopped)
	}
	return finished
}

// left counts what has not ended.
func (f *flow) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pending
}

// checkFinished closes finished when the time has come. mu is held.
func (f *flow) checkFinished() {
	if f.finished == nil || f.pending > 0 || f.workers > 0 {
		return
	}
	select {
	case <-f.finished: // a callback of a send that was refused after the end
	default:
		close(f.finished)
	}
}
