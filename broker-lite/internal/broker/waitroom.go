package broker

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// waitroom keeps requests that wait, without a goroutine each. One leaves it once:
// taken, late, or dropped with its connection. Its owner lists them by what they wait
// for.
type waitroom[W waiter] struct {
	goOn   func([]W) // with the taken and the late, elsewhere; must not block
	unlist func(W)   // takes one out of the owner's lists; mu is held
	alarm  *alarm.Alarm
	count  atomic.Int64 // so that arrivals are cheap without

	mu        sync.Mutex // guards the following and the owner's lists
	conns     map[*remoting.Conn]*waiting[W]
	deadlines deadlines[W]
}

// waiting are the requests of one connection.
type waiting[W waiter] struct {
	all   map[W]struct{}
	bytes int
}

// maxWaiting bounds what the requests of one connection may hold while they wait, in
// bytes: some 65,000 pulls.
const maxWaiting = 32 << 20

// waiter is a request that waits; it embeds its place.
type waiter interface {
	comparable
	placed() *place
}

// place is where a request waits. The room's mu guards all that changes.
type place struct {
	conn     *remoting.Conn
	deadline time.Time
	holds    int  // about how many bytes
	gone     bool // left the room
	at       int  // in deadlines
	in       int  // in its owner's list
}

func (p *place) placed() *place { return p }

// open makes the room ready; close ends it.
func (r *waitroom[W]) open(unlist func(W), goOn func([]W)) {
	r.unlist, r.goOn, r.conns = unlist, goOn, map[*remoting.Conn]*waiting[W]{}
	r.alarm = alarm.Start(0, r.expire)
}

// close stops the timer. The requests go with their connections.
func (r *waitroom[W]) close() { r.alarm.Stop() }

// hasRoom reports whether one more may wait. mu is held.
func (r *waitroom[W]) hasRoom(p *place) bool {
	of := r.conns[p.conn]
	return of == nil || of.bytes+p.holds <= maxWaiting
}

// add puts one in that its owner has listed. mu is held; the caller sets the alarm
// when it is not any more.
func (r *waitroom[W]) add(w W) {
	p := w.placed()
	of := r.conns[p.conn]
	if of == nil {
		of = &waiting[W]{all: map[W]struct{}{}}
		r.conns[p.conn] = of
	}
	of.all[w] = struct{}{}
	of.bytes += p.holds
	heap.Push(&r.deadlines, w)
	r.count.Add(1)
}

// remove takes one out that is in. mu is held.
func (r *waitroom[W]) remove(w W) {
	p := w.placed()
	p.gone = true
	r.unlist(w)
	of := r.conns[p.conn]
	delete(of.all, w)
	of.bytes -= p.holds
	if len(of.all) == 0 {
		delete(r.conns, p.conn)
	}
	heap.Remove(&r.deadlines, p.at)
	r.count.Add(-1)
}

// take takes one out; false: it has left already.
func (r *waitroom[W]) take(w W) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.placed().gone {
		return false
	}
	r.remove(w)
	return true
}

// resume has requests go on that have left the room.
func (r *waitroom[W]) resume(list ...W) {
	if len(list) > 0 {
		r.goOn(list)
	}
}

// drop forgets the requests of a connection that has closed.
func (r *waitroom[W]) drop(c *remoting.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if of := r.conns[c]; of != nil {
		for w := range of.all {
			r.remove(w)
		}
	}
}

// expire answers the requests whose time is up and returns when the next one's is.
func (r *waitroom[W]) expire(now time.Time) (next time.Time) {
	var due []W
	r.mu.Lock()
	for len(r.deadlines) > 0 {
		w := r.deadlines[0]
		if at := w.placed().deadline; at.After(now) {
			next = at
			break
		}
		r.remove(w)
		due = append(due, w)
	}
	r.mu.Unlock()
	r.resume(due...)
	return next
}

// listed appends one to an owner's list.
func listed[W waiter](list []W, w W) []W {
	w.placed().in = len(list)
	return append(list, w)
}

// unlisted takes one out of an owner's list, whose order it changes.
func unlisted[W waiter](list []W, w W) []W {
	i, last := w.placed().in, len(list)-1
	list[i] = list[last]
	list[i].placed().in = i
	clear(list[last:])
	return list[:last]
}

// deadlines is a container/heap by deadline.
type deadlines[W waiter] []W

func (h deadlines[W]) Len() int { return len(h) }

func (h deadlines[W]) Less(i, j int) bool {
	return h[i].placed().deadline.Before(h[j].placed().deadline)
}

func (h deadlines[W]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].placed().at, h[j].placed().at = i, j
}

// Push implements heap.Interface.
func (h *deadlines[W]) Push(x any) {
	w := x.(W)
	w.placed().at = len(*h)
	*h = append(*h, w)
}

// Pop implements heap.Interface.
func (h *deadlines[W]) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	clear((*h)[last:])
	*h = (*h)[:last]
	return w
}
