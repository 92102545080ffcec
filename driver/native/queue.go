package native

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// queue is one queue that this member owns, and the driver.Settler of its
// messages. Its goroutine (run) owns everything but the mailbox.
type queue struct {
	s     *subscription
	mq    message.Queue
	shown message.Queue // mq as above the seam
	prev  *queue        // the same queue's last term here; it must end first
	f     *filter
	box   mailbox
	done  chan struct{} // closed when the goroutine ends
	// begun: it knows where it is, so that it has something to commit.
	begun atomic.Bool
	// handOver is how long to wait for another member to commit first.
	handOver time.Duration

	// life ends when the queue is to be given up: no more pulls. Anybody may end it.
	life    context.Context
	endLife context.CancelFunc
	// work is the ctx of the handlers; it ends when nothing that they settle counts
	// any more.
	work    context.Context
	endWork context.CancelFunc

	progress progress

	win  window
	next int64 // the offset to pull
	pull puller
	// records is room to decode an answer in.
	records []protocol.Record

	committed  int64 // the broker's last word; -1 before
	committing bool
	commitAt   time.Time
	urgent     []chan error // who waits for a commit, see subscription.Commit
	complaints seldom
	waiting    int       // slots in slotWaiting
	consumed   time.Time // when messages were settled last
	ord        *order    // nil unless messages are delivered in order
	left       time.Time // when it was first seen that the queue is to be given up
}

// mailbox is how other goroutines reach the queue's.
type mailbox struct {
	wake chan struct{} // capacity 1: there is mail

	mu      sync.Mutex // guards the following
	settled []settlement
	notes   []func() // run on the queue's goroutine
	leave   leaveMode
	closed  bool
}

type settlement struct {
	d *message.Delivery
	v driver.Verdict
}

func newQueue(s *subscription, mq message.Queue, prev *queue) *queue {
	q := &queue{
		s: s, mq: mq, shown: mq, prev: prev, f: s.filter[mq.Topic],
		box: mailbox{wake: make(chan struct{}, 1)}, done: make(chan struct{}),
		committed: -1,
	}
	q.shown.Topic = s.c.namespace.shown(mq.Topic)
	q.life, q.endLife = context.WithCancel(s.c.ctx)
	q.work, q.endWork = context.WithCancel(s.c.ctx)
	q.pull.init(q)
	if s.cfg.Ordered {
		q.ord = newOrder()
	}
	return q
}

// Settle implements driver.Settler. What is settled after the queue was given
// up, or twice, does not count.
func (q *queue) Settle(d *message.Delivery, v driver.Verdict) {
	q.box.mu.Lock()
	first := len(q.box.settled) == 0
	if !q.box.closed {
		q.box.settled = append(q.box.settled, settlement{d, v})
	}
	q.box.mu.Unlock()
	if first {
		poke(q.box.wake)
	}
}

// post runs f on the queue's goroutine, unless the queue has ended.
func (q *queue) post(f func()) {
	q.box.mu.Lock()
	if !q.box.closed {
		q.box.notes = append(q.box.notes, f)
	}
	q.box.mu.Unlock()
	poke(q.box.wake)
}

// leave asks the queue's goroutine to end: at once, or when everything that was
// delivered is settled.
func (q *queue) leave(mode leaveMode) {
	q.box.mu.Lock()
	q.box.leave = max(q.box.leave, mode)
	q.box.mu.Unlock()
	q.endLife()
	poke(q.box.wake)
}

// run is the queue's goroutine.
func (q *queue) run() {
	if q.ord != nil {
		defer q.s.kick() // the next term may begin
	}
	defer close(q.done)
	defer q.closeBox()
	defer func() { q.endWork() }() // of the last term: see moveTo
	defer q.endLife()
	for q.begin() && q.serve() {
	}
	q.unlock()
}

// serve delivers messages until the queue is given up. It is true when its lock was
// lost, so that the queue has to begin again.
func (q *queue) serve() (again bool) {
	var abandoned <-chan struct{}
	if q.ord != nil {
		abandoned = q.s.last.Done()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var mail mail
	for {
		q.read(&mail)
		if len(mail.settled) > 0 {
			q.consumed = time.Now()
		}
		for _, st := range mail.settled {
			q.settle(st)
		}
		clear(mail.settled) // lets go of the deliveries
		for _, note := range mail.notes {
			note()
		}
		clear(mail.notes)
		if q.mayEnd(mail.leave) {
			q.endWork()
			q.finish()
			return false
		}
		next := q.duties()
		q.progress.low.Store(q.low())
		if q.ord != nil && q.ord.lock.lost {
			return true
		}
		timer.Reset(time.Until(next))
		select {
		case <-q.box.wake:
		case <-timer.C:
		case <-abandoned:
			q.s.unready.Add(int64(q.atWork()))
			return false
		case <-q.s.c.ctx.Done():
			return false
		}
	}
}

// mail is what the mailbox held. Its slices are swapped with the mailbox's, so
// that neither is allocated anew.
type mail struct {
	settled []settlement
	notes   []func()
	leave   leaveMode
}

func (q *queue) read(m *mail) {
	b := &q.box
	b.mu.Lock()
	b.settled, m.settled = m.settled[:0], b.settled
	b.notes, m.notes = m.notes[:0], b.notes
	m.leave = b.leave
	b.mu.Unlock()
}

func (q *queue) closeBox() {
	q.box.mu.Lock()
	q.box.closed = true
	q.box.settled, q.box.notes = nil, nil
	q.box.mu.Unlock()
}

// duties does what is due and returns when the next is.
func (q *queue) duties() time.Time {
	now := time.Now()
	next := now.Add(time.Hour)
	if q.life.Err() == nil {
		next = earlier(next, q.pullDue(now))
		next = earlier(next, q.redeliverDue(now))
	}
	next = earlier(next, q.lockDue(now))
	if over := q.left.Add(handOverTime); !q.left.IsZero() && now.Before(over) {
		next = earlier(next, over)
	}
	return earlier(next, q.commitDue(now))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// mayEnd reports whether the queue can be given up now.
func (q *queue) mayEnd(mode leaveMode) bool {
	if mode != stay && q.left.IsZero() {
		q.left = time.Now()
	}
	switch {
	case mode == stay:
		return false
	case mode == leaveNow, mode == leaveRevoked && time.Since(q.left) >= handOverTime:
		q.endWork()
		return q.handlersDone()
	}
	return q.atWork() == 0 && q.handlersDone()
}

// begin finds the offset to start from, however long that takes. It returns
// false when the queue is given up before.
func (q *queue) begin() bool {
	if q.prev != nil {
		select {
		case <-q.prev.done:
		case <-q.life.Done():
			return false
		}
		q.prev = nil
	}
	select {
	case <-time.After(q.handOver):
	case <-q.life.Done():
		return false
	}
	if q.locks() && !q.acquire() {
		return false
	}
	if q.work.Err() != nil { // it begins again
		q.work, q.endWork = context.WithCancel(q.s.c.ctx)
	}
	var pause backoff
	for q.life.Err() == nil {
		offset, err := q.startOffset()
		if err == nil {
			q.next, q.committed = offset, -1
			q.begun.Store(true)
			q.commitAt = time.Now().Add(q.s.cfg.CommitInterval)
			q.s.c.log.Debug("queue taken on", "group", q.s.group, "queue", q.shown, "offset", offset)
			return true
		}
		if q.life.Err() == nil {
			q.complaints.warn(q.s.c.log, "could not find where to begin; trying again", "group", q.s.group, "queue", q.shown, "error", err)
		}
		select {
		case <-q.life.Done():
		case <-time.After(pause.next()):
		}
	}
	return false
}

// startOffset is where the group goes on, or begins (RebalancePushImpl.
// computePullFromWhere): at the offset that the broker has for it; without one
// at the first message, or after the last one for FromLast, but never beyond a
// retried message.
func (q *queue) startOffset() (int64, error) {
	offset, known, err := q.storedOffset()
	switch {
	case err != nil || known:
		return offset, err
	case q.mq.Topic == message.RetryTopic(q.s.cfg.Group):
		return 0, nil
	case !q.s.cfg.FromTime.IsZero():
		return q.s.c.OffsetAt(q.life, q.mq, q.s.cfg.FromTime)
	case q.s.cfg.From == driver.FromFirst:
		return 0, nil // when that is gone already, the first pull says where the queue begins
	}
	end, err := q.s.c.endOffset(q.life, q.mq)
	if err != nil {
		return 0, err
	}
	// An empty queue has no offset for the group, but a young one begins at 0. A
	// message that came between the two questions would be passed over: ask again.
	if offset, known, err = q.storedOffset(); err != nil || known {
		return offset, err
	}
	return end, nil
}

// storedOffset is where the group is, by the broker or, of a broadcast group, by its
// file; known is false when it has nothing.
func (q *queue) storedOffset() (offset int64, known bool, err error) {
	if q.s.local != nil {
		offset, known = q.s.local.get(wireQueue(q.mq))
		return offset, known, nil
	}
	var zero protocol.OptBool
	if !q.s.cfg.FromTime.IsZero() {
		zero = protocol.SomeBool(false)
	}
	return q.s.c.groupOffset(q.life, q.s.cfg.Group, q.mq, zero)
}

// moveTo goes on at another offset. What is at work is forgotten: its ctx ends,
// and settling it has no effect.
func (q *queue) moveTo(offset int64, why string) {
	if q.life.Err() != nil {
		return
	}
	q.s.c.log.Warn("queue continues at another offset", "group", q.s.group, "queue", q.shown, "from", q.next, "to", offset, "at work", q.win.live, "why", why)
	q.forgetWork()
	q.work, q.endWork = context.WithCancel(q.s.c.ctx)
	q.next, q.commitAt = offset, time.Now()
}

// backoff are growing pauses between attempts that fail: 100 ms to 3 s, which is
// RocketMQ's pause after a failed pull.
type backoff struct{ last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, 100*time.Millisecond), 3*time.Second)
	return b.last
}

func (b *backoff) reset() { b.last = 0 }

// warn logs what failed with the queue. When its broker did not answer, all its queues
// fail alike: the first to say so speaks for them.
func (q *queue) warn(own *seldom, msg string, offset int64, err error) {
	refused := (*message.BrokerError)(nil)
	if now := time.Now(); !errors.As(err, &refused) {
		if own = new(seldom); !q.s.silent.first(q.mq.Broker, msg, now) {
			own.last = now
		}
	}
	own.warn(q.s.c.log, msg, "group", q.s.group, "queue", q.shown, "offset", offset, "error", err)
}

// silent is when the log was last told what fails because a broker does not answer.
type silent struct {
	mu   sync.Mutex // guards the following
	told map[[2]string]time.Time
}

// first reports that it was not told within a minute.
func (s *silent) first(broker, msg string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := [2]string{broker, msg}
	if last, ok := s.told[key]; ok && now.Sub(last) < time.Minute {
		return false
	}
	if s.told == nil {
		s.told = make(map[[2]string]time.Time)
	}
	s.told[key] = now
	return true
}

// seldom logs what happens again and again: a warning a minute, the others for
// debugging.
type seldom struct{ last time.Time }

func (w *seldom) warn(log *slog.Logger, msg string, args ...any) {
	level := slog.LevelDebug
	if now := time.Now(); now.Sub(w.last) >= time.Minute {
		level, w.last = slog.LevelWarn, now
	}
	log.Log(context.Background(), level, msg, args...)
}
