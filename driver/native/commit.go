package native

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

var _ driver.Committer = (*subscription)(nil)

// Commit implements driver.Committer. A queue that is given up meanwhile commits on
// its way out.
func (s *subscription) Commit(ctx context.Context) error {
	queues, err := s.owned(ctx)
	if err != nil {
		return fmt.Errorf("commit the offsets of group %q: %w", s.group, err)
	}
	answers := make([]chan error, len(queues))
	for i, q := range queues {
		answers[i] = make(chan error, 1)
		if !q.begun.Load() {
			answers[i] <- nil
			continue
		}
		q.post(func() { q.urgent = append(q.urgent, answers[i]) })
	}
	var errs []error
	for i, q := range queues {
		var err error
		select {
		case err = <-answers[i]:
		case <-q.done:
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("commit the offset of group %q in queue %v: %w", s.group, q.mq, err))
		}
	}
	if s.local != nil {
		errs = append(errs, s.local.write())
	}
	return errors.Join(errs...)
}

// owned are the queues of this member.
func (s *subscription) owned(ctx context.Context) ([]*queue, error) {
	s.mu.Lock()
	started, mode := s.started, s.mode
	s.mu.Unlock()
	switch {
	case !started && mode == stay:
		return nil, errors.New("it was not started; call Start first")
	case !started: // nor will it be: nobody would answer
		return nil, message.ErrClosed
	}
	found := make(chan []*queue, 1)
	s.post(func() { found <- slices.Collect(maps.Values(s.queues)) })
	select {
	case queues := <-found:
		return queues, nil
	case <-s.done:
		return nil, message.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// committedNow answers those who wait for a commit.
func (q *queue) committedNow(err error) {
	for _, answer := range q.urgent {
		answer <- err
	}
	q.urgent = nil
}

// low is the offset to commit: nothing unfinished lies before it.
func (q *queue) low() int64 { return q.win.low(q.next) }

// commitDue commits the offset when it is time and it has moved.
func (q *queue) commitDue(now time.Time) time.Time {
	if q.committing || !q.mine(now) {
		return now.Add(q.s.cfg.CommitInterval)
	}
	if q.low() == q.committed {
		q.committedNow(nil)
		return now.Add(q.s.cfg.CommitInterval)
	}
	if q.s.local != nil { // whose file is written every CommitInterval
		q.committed = q.low()
		q.s.local.set(wireQueue(q.mq), q.committed)
		q.committedNow(nil)
		return now.Add(q.s.cfg.CommitInterval)
	}
	if now.Before(q.commitAt) && len(q.urgent) == 0 {
		return q.commitAt
	}
	q.commitAt = now.Add(q.s.cfg.CommitInterval)
	offset := q.low()
	b, err := q.s.c.offsets(q.mq)
	if err != nil {
		q.commitFailed(offset, err)
		return q.commitAt
	}
	q.committing = true
	h := commitHeader(q.s.cfg.Group, q.mq, offset)
	b.start(remoting.WithTimeout(context.Background(), q.s.c.cfg.RequestTimeout), q.mq.Broker, commitOp, protocol.UpdateConsumerOffset, h,
		func(_ *protocol.Command, err error) {
			q.post(func() {
				q.committing = false
				if err != nil {
					q.commitFailed(offset, err)
					return
				}
				q.committed = offset // who waits for more is answered after the next
			})
		})
	return q.commitAt
}

const commitOp = "commit an offset"

func commitHeader(group string, q message.Queue, offset int64) *protocol.ConsumerOffsetRequest {
	return &protocol.ConsumerOffsetRequest{
		Code: protocol.UpdateConsumerOffset, ConsumerGroup: group, Topic: q.Topic, QueueID: int32(q.ID), CommitOffset: offset, BrokerName: q.Broker,
	}
}

func (q *queue) commitFailed(offset int64, err error) {
	q.committedNow(err)
	q.warn(&q.complaints, "could not commit an offset; trying again", offset, err)
}

// finish commits for the last time: what was settled before the queue was given
// up, and nothing after it.
func (q *queue) finish() {
	q.quiesce()
	if q.s.leaving() != stay { // and not only this queue is given up
		q.s.unready.Add(int64(q.atWork()))
	}
	offset := q.low()
	if offset == q.committed || !q.mine(time.Now()) {
		return
	}
	if q.s.local != nil {
		q.s.local.set(wireQueue(q.mq), offset)
		return
	}
	if err := q.s.c.CommitOffset(q.s.last, q.s.cfg.Group, q.mq, offset); err != nil && q.s.c.ctx.Err() == nil {
		q.s.c.log.Warn("could not commit the last offset of a queue; its last messages will be delivered again", "group", q.s.group, "queue", q.shown, "offset", offset, "error", err)
	}
}

// quiesce waits until no request is on its way that carries an older offset: a
// broker may serve it after the last commit. A pull that is parked has been
// served already.
func (q *queue) quiesce() {
	var m mail
	began := time.Now()
	for {
		wait := time.Duration(0)
		if q.committing || q.ord != nil && q.ord.lock.busy {
			wait = q.s.c.cfg.RequestTimeout - time.Since(began)
		} else if q.pull.busy && q.pull.carried {
			wait = parkedAfter - time.Since(q.pull.sent)
		}
		if wait <= 0 {
			return
		}
		select {
		case <-q.box.wake:
		case <-time.After(wait):
		case <-q.s.last.Done():
			return
		}
		q.read(&m)
		for _, note := range m.notes {
			note()
		}
		clear(m.notes)
	}
}
