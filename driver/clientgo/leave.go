package clientgo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// Drain implements driver.Subscription. It can return a second after ctx, since
// the offsets are still committed.
func (s *subscription) Drain(ctx context.Context) error { return s.end(ctx, false) }

// Stop implements driver.Subscription. See Drain on its duration.
func (s *subscription) Stop(ctx context.Context) error { return s.end(ctx, true) }

func (s *subscription) shut(ctx context.Context) error { return s.Stop(ctx) }

// leaveGrace is how long leaving the group may go on when the caller's time is
// over.
const leaveGrace = time.Second

// end leaves the group, or waits for what another call began.
func (s *subscription) end(ctx context.Context, now bool) error {
	if now {
		s.hasten()
	}
	s.mu.Lock()
	if !s.leaving {
		s.leaving = true
		if !s.started {
			close(s.begun)
		}
		s.stopped()
		s.c.wg.Go(s.leave) // Close, too, comes here before it waits
	}
	s.mu.Unlock()
	select {
	case <-s.left:
		return s.outcome(now, nil)
	case <-ctx.Done():
	}
	s.hasten()
	grace := time.NewTimer(leaveGrace)
	defer grace.Stop()
	select {
	case <-s.left:
		return s.outcome(now, ctx.Err())
	case <-grace.C:
		return fmt.Errorf("leave group %q: rocketmq-client-go is still at it: %w", s.group, ctx.Err())
	}
}

// hasten ends the wait for what is not settled.
func (s *subscription) hasten() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hurried {
		s.hurried = true
		close(s.hurry)
	}
}

// outcome is what Drain, or Stop, says when the group is left. cut is why a
// drain was cut short.
func (s *subscription) outcome(stop bool, cut error) error {
	if stop || s.leftover == 0 {
		return s.leftErr
	}
	if cut == nil {
		cut = errors.New("Stop was called")
	}
	return errors.Join(s.leftErr, fmt.Errorf("leave group %q: %d messages were at work and will be delivered again: %w", s.group, s.leftover, cut))
}

// leave ends the push consumer. Its own Shutdown closes channels that its pulls
// put messages into, which can end the process, and forgets what was
// acknowledged since the last commit; so its queues are taken away first.
func (s *subscription) leave() {
	defer close(s.left)
	defer s.c.leave(s)
	<-s.begun
	s.mu.Lock()
	pc, err := s.consumer, s.startErr
	s.mu.Unlock()
	s.leftErr = err
	if pc == nil || err != nil { // one that did not start has nothing to shut down
		s.cancel(message.ErrClosed)
		close(s.release)
		return
	}
	pc.Suspend() // no further pulls
	s.drain(pc)
	s.leftover = s.working.Load()
	s.cancel(message.ErrClosed) // from here on nothing counts
	s.commit(pc)
	// Taking no share drops the queues and greets every broker, whose answers say
	// that they have read the commits: a connection that is closed while an answer
	// is on its way here takes with it what was written last.
	pc.Rebalance()
	for _, f := range s.cfg.Topics {
		s.forget(pc, f.Topic)
	}
	s.forget(pc, s.retry)
	pc.Rebalance() // drops those that the brokers' silence kept
	close(s.release)
	s.awaitCallbacks()
	if err := pc.Shutdown(); err != nil {
		s.leftErr = fmt.Errorf("leave group %q: %w", s.group, err)
	}
}

// drainPoll is how often a drain looks whether everything is settled.
const drainPoll = 10 * time.Millisecond

// drain waits until every message is settled and rocketmq-client-go has done what
// the verdicts say: what it has not yet given back or removed is in its caches.
func (s *subscription) drain(pc *member) {
	ticker := time.NewTicker(drainPoll)
	defer ticker.Stop()
	for s.working.Load() > 0 || pc.cached() > 0 {
		select {
		case <-ticker.C:
		case <-s.hurry:
			return
		}
	}
}

// awaitCallbacks waits until the callbacks that were released have returned;
// their sink's handlers may still run.
func (s *subscription) awaitCallbacks() {
	ticker := time.NewTicker(drainPoll)
	defer ticker.Stop()
	for s.working.Load() > 0 {
		<-ticker.C
	}
}

// commit tells the brokers how far the group is. rocketmq-client-go does so every
// 5 s by itself; but when it gives up one queue it forgets how far the others are.
func (s *subscription) commit(pc *member) {
	if err := pc.PersistConsumerOffset(); err != nil {
		s.c.log.Warn("offsets not committed", "group", s.cfg.Group, "error", err)
	}
}

func (s *subscription) forget(pc *member, topic string) {
	if err := pc.Unsubscribe(topic); err != nil {
		s.c.log.Warn("topic not unsubscribed", "group", s.cfg.Group, "topic", topic, "error", err)
	}
}
