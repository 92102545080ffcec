package native

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// RocketMQ's own times of a queue's lock (ProcessQueue): it is asked for again every
// 20 s and trusted for 30 s from when it was asked for. The broker gives it to others
// after 60 s.
const (
	lockInterval = 20 * time.Second
	lockTrust    = 30 * time.Second
	// lockPause is the longest pause before a lock that another member has is asked
	// for again.
	lockPause = time.Second
)

// lock is this member's lock of an ordered queue at its broker, the master. Owned by
// the queue's goroutine.
type lock struct {
	held  bool      // by the broker's last word, or perhaps
	until time.Time // trusted until then
	at    time.Time // when to ask again
	busy  bool      // asking
	lost  bool      // begin again
	term  int       // answers to requests of earlier terms do not count
	pause backoff
}

// locks says that the queue's messages are handled under a lock.
func (q *queue) locks() bool { return q.ord != nil && q.s.cfg.Broadcast == nil }

// mine reports whether messages may be handled: the queue needs no lock, or has one.
func (q *queue) mine(now time.Time) bool {
	return !q.locks() || q.ord.lock.held && now.Before(q.ord.lock.until)
}

// acquire locks the queue, however long that takes. It is false when the queue is
// given up before.
func (q *queue) acquire() bool {
	l := &q.ord.lock
	*l = lock{held: l.held, term: l.term + 1}
	var pause backoff
	for q.life.Err() == nil {
		asked := time.Now()
		// Not by q.life: a request that the broker serves after the queue was unlocked
		// would lock it once more.
		ok, err := q.askLock(q.s.last)
		if ok {
			l.held, l.until, l.at = true, asked.Add(lockTrust), asked.Add(lockInterval)
			return q.life.Err() == nil
		}
		l.held = err != nil // an answer that was lost may have been yes
		if err != nil && q.life.Err() == nil {
			q.complaints.warn(q.s.c.log, "could not lock a queue; trying again", "group", q.s.group, "queue", q.shown, "error", err)
		}
		select {
		case <-q.life.Done():
		case <-time.After(min(pause.next(), lockPause)):
		}
	}
	return false
}

const lockOp = "lock a queue"

// lockBody is the body of codes 41 and 42 for this queue.
func (q *queue) lockBody() ([]byte, error) {
	return protocol.EncodeBody(&protocol.LockBatchRequest{ClientID: q.s.c.id, ConsumerGroup: q.s.cfg.Group, Queues: []protocol.MessageQueue{wireQueue(q.mq)}})
}

func wireQueue(q message.Queue) protocol.MessageQueue {
	return protocol.MessageQueue{Topic: q.Topic, BrokerName: q.Broker, QueueID: int32(q.ID)}
}

// askLock asks the broker for the lock and waits for the answer.
func (q *queue) askLock(ctx context.Context) (bool, error) {
	resp, err := q.lockCall(ctx, lockOp, protocol.LockBatchMQ)
	if err != nil {
		return false, err
	}
	return q.inLocked(resp.Body)
}

// inLocked reads the answer to code 41.
func (q *queue) inLocked(body []byte) (bool, error) {
	var locked protocol.LockBatchResponse
	if err := protocol.DecodeBody(body, &locked); err != nil {
		return false, fmt.Errorf("%s: %w", lockOp, err)
	}
	return slices.Contains(locked.Locked, wireQueue(q.mq)), nil
}

// lockCall makes a request about this queue's lock and waits for the answer.
func (q *queue) lockCall(ctx context.Context, op string, code protocol.Code) (*protocol.Command, error) {
	body, err := q.lockBody()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	b, err := q.s.c.master(q.mq)
	if err != nil {
		q.s.c.routes.refresh(q.mq.Topic)
		return nil, err
	}
	resp, err := b.ask(remoting.WithTimeout(ctx, q.s.c.cfg.RequestTimeout), q.mq.Broker, op, code, nil, body)
	if err != nil {
		return nil, err
	}
	if resp.Code != protocol.Success {
		return nil, answer.Refusal(op, q.mq.Broker, b.addr, resp)
	}
	return resp, nil
}

// lockDue asks for the lock again when it is time, and gives the queue's work up
// when the lock can no longer be trusted.
func (q *queue) lockDue(now time.Time) time.Time {
	if !q.locks() {
		return now.Add(time.Hour)
	}
	l := &q.ord.lock
	switch {
	case l.lost:
		return now
	case !now.Before(l.until):
		q.loseLock("the broker has not confirmed it for " + lockTrust.String())
		return now
	case l.busy:
		return l.until
	case now.Before(l.at):
		return l.at
	}
	if err := q.renewLock(now); err != nil {
		q.lockAnswered(l.term, now, false, err)
		return l.at
	}
	return l.until
}

// renewLock asks for the lock again and does not wait for the answer.
func (q *queue) renewLock(now time.Time) error {
	b, err := q.s.c.master(q.mq)
	if err != nil {
		return err
	}
	body, err := q.lockBody()
	if err != nil {
		return err
	}
	l := &q.ord.lock
	l.busy = true
	term := l.term
	b.start(remoting.WithTimeout(context.Background(), q.s.c.cfg.RequestTimeout), q.mq.Broker, lockOp, protocol.LockBatchMQ, nil,
		func(resp *protocol.Command, err error) {
			ok := false
			if err == nil {
				ok, err = q.inLocked(resp.Body)
			}
			q.post(func() { q.lockAnswered(term, now, ok, err) })
		}, body)
	return nil
}

// lockAnswered takes the broker's answer to a renewal that was asked for then.
func (q *queue) lockAnswered(term int, asked time.Time, ok bool, err error) {
	l := &q.ord.lock
	if term != l.term || l.lost {
		return
	}
	l.busy = false
	switch {
	case err != nil:
		l.at = time.Now().Add(min(l.pause.next(), lockPause))
		q.complaints.warn(q.s.c.log, "could not confirm the lock of a queue; trying again", "group", q.s.group, "queue", q.shown, "trusted until", l.until, "error", err)
	case !ok:
		l.held = false
		q.loseLock("the broker says that another member has it")
	default:
		l.pause.reset()
		l.held, l.until, l.at = true, asked.Add(lockTrust), asked.Add(lockInterval)
	}
}

// loseLock gives up what is at work: another member may have the queue.
func (q *queue) loseLock(why string) {
	q.s.c.log.Warn("the lock of a queue is lost; what is at work does not count", "group", q.s.group, "queue", q.shown, "at work", q.atWork(), "why", why)
	q.forgetWork()
	q.ord.lock.lost = true
	q.begun.Store(false)
	q.committedNow(errors.New("the lock of the queue was lost"))
}

// unlock gives the lock back.
func (q *queue) unlock() {
	if !q.locks() || !q.ord.lock.held || q.s.c.ctx.Err() != nil {
		return
	}
	q.ord.lock.held = false
	if !q.handlersDone() {
		q.s.c.log.Warn("a queue stays locked for a minute, since its handlers have not returned", "group", q.s.group, "queue", q.shown, "handlers", len(q.ord.out)+len(q.ord.stale))
		return
	}
	if _, err := q.lockCall(q.s.last, "unlock a queue", protocol.UnlockBatchMQ); err != nil {
		q.s.c.log.Warn("could not unlock a queue; other members get it a minute later", "group", q.s.group, "queue", q.shown, "error", err)
	}
}
