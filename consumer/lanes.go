package consumer

import (
	"cmp"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// lanes are the messages that wait for a batch handler, by queue: a batch is of one
// queue, so that one ctx ends when it is revoked. Guarded by the mu of their pool.
type lanes struct {
	size int           // of a batch, at most
	wait time.Duration // for a batch to fill
	list []*batchLane  // those that have messages; the first's turn is next
	// timer wakes a worker when the next batch has waited; nil before it was needed.
	timer *time.Timer
}

// batchLane is what waits of one queue, in order of arrival.
type batchLane struct {
	key   laneKey
	tasks []task
	came  []time.Time // of each task, where batches wait to fill
}

// laneKey tells the terms of a queue apart: a message is not in a batch with one that
// was delivered before the queue went and came back.
type laneKey struct {
	queue message.Queue
	term  <-chan struct{}
}

// lineUp puts a message at the end of its lane. mu is held.
func (p *pool) lineUp(t task) {
	ls := p.lanes
	key := laneKey{t.d.Queue, t.queue.Done()}
	var l *batchLane
	for _, have := range ls.list {
		if have.key == key {
			l = have
			break
		}
	}
	if l == nil {
		l = &batchLane{key: key}
		ls.list = append(ls.list, l)
	}
	l.tasks = append(l.tasks, t)
	if ls.wait > 0 {
		l.came = append(l.came, time.Now())
	}
}

// next is the lane whose batch is to be taken, the first by turn, or -1 and when there
// will be one. flush says that nothing waits any more.
func (ls *lanes) next(flush bool) (lane int, due time.Time) {
	var now time.Time
	if ls.wait > 0 {
		now = time.Now()
	}
	for i, l := range ls.list {
		if flush || ls.wait <= 0 || len(l.tasks) >= ls.size || l.tasks[0].queue.Err() != nil {
			return i, due
		}
		full := l.came[0].Add(ls.wait)
		if !now.Before(full) {
			return i, due
		}
		if due.IsZero() || full.Before(due) {
			due = full
		}
	}
	return -1, due
}

// take moves a lane's batch into room. What it leaves has to wait for the others' turn.
func (ls *lanes) take(lane int, room []task) []task {
	l := ls.list[lane]
	n := min(ls.size, len(l.tasks))
	room = append(room, l.tasks[:n]...)
	// A driver may deliver the messages of a queue one by one, each from its goroutine.
	slices.SortStableFunc(room, func(a, b task) int { return cmp.Compare(a.d.QueueOffset, b.d.QueueOffset) })
	clear(l.tasks[:n])
	l.tasks = l.tasks[n:]
	if ls.wait > 0 {
		l.came = l.came[n:]
	}
	ls.list = append(ls.list[:lane], ls.list[lane+1:]...)
	if len(l.tasks) > 0 {
		ls.list = append(ls.list, l)
	}
	return room
}

// ready reports whether there is something to take; when a batch has to wait to fill, it
// sets the timer for it. mu is held.
func (p *pool) ready() bool {
	if p.lanes == nil || p.n == 0 {
		return p.n > 0
	}
	lane, due := p.lanes.next(p.flushing())
	if lane >= 0 {
		return true
	}
	if in := time.Until(due); p.lanes.timer == nil {
		p.lanes.timer = time.AfterFunc(in, p.stir)
	} else {
		p.lanes.timer.Reset(in)
	}
	return false
}

// stir gets a worker to what may be ready by now.
func (p *pool) stir() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake()
}

// flushing reports that no batch waits to fill, because the pool is going to be closed.
// mu is held.
func (p *pool) flushing() bool { return p.closed || p.unpausable }

// takeBatch waits for the next batch and returns it in room; nothing when the pool is
// closed and empty. fresh says that the worker was started to be here.
func (p *pool) takeBatch(room []task, fresh bool) []task {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.await(fresh) {
		return nil
	}
	lane, _ := p.lanes.next(p.flushing()) // there is one: what is ready stays so
	room = p.lanes.take(lane, room)
	p.n -= len(room)
	p.wake()
	return room
}
