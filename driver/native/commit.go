package native

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

var _ driver.Committer = (*subscription)(nil)

// Commit implements driver.Committer. A queue that is given up meanwhile commits on
// its way out.
func (s *subscription) Commit(ctx context.Context) error {
	queues, err := s.owned(ctx)
	if err != nil {
		return fmt.Errorf("commit the offsets of group %q: %w", s.cfg.Group, err)
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
			errs = append(errs, fmt.Errorf("commit the offset of group %q in queue %v: %w", s.cfg.Group, q.mq, err))
		}
	}
	return errors.Join(errs...)
}

// owned are the queues of this member.
func (s *subscription) owned(ctx context.Context) ([]*queue, error) {
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
