package native

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// Pauses between two rounds of sharing the queues. 20 s is RocketMQ's
// (RebalanceService); a round that failed is repeated sooner.
const (
	shareInterval = 20 * time.Second
	shareAgain    = 500 * time.Millisecond
	shareAgainMax = 5 * time.Second
)

// handOver is how long a member waits before it asks where a queue goes on that
// may just have been another's: all members learn of a change at the same time,
// and the one that gives the queue up commits first.
const handOver = 200 * time.Millisecond

// loop shares the queues among the group's members: when they change (code 40),
// when a route changes, and every 20 s. It owns s.queues and s.ending and ends
// when the group has been left.
func (s *subscription) loop() {
	defer close(s.done)
	defer func() { s.left = s.closeLocal() }()
	defer s.giveUp()
	s.c.greetAll(s.last) // brokers that are connected learn of the group now
	pause := shareAgain
	timer := time.NewTimer(0)
	defer timer.Stop()
	woken := true
	for s.ctx.Err() == nil {
		if s.share(s.ctx) {
			pause = shareAgain
			timer.Reset(shareInterval)
		} else {
			timer.Reset(pause)
			pause = min(2*pause, shareAgainMax)
		}
		s.compare(woken)
		select {
		case <-s.ctx.Done():
		case <-s.wake:
			woken = true
		case <-timer.C:
			woken = false
		}
		s.runNotes()
	}
	s.end()
}

// share makes one round over all topics. It reports whether everything is as it
// should be; a topic without a route is, since the routes' loop looks for it.
func (s *subscription) share(ctx context.Context) bool {
	s.reap()
	var errs causes
	for _, topic := range s.topics() {
		r := s.c.routes.state(topic).snap.Load()
		if r == nil {
			continue
		}
		if err := s.shareTopic(ctx, r); err != nil {
			errs = append(errs, fmt.Errorf("topic %s: %w", s.c.namespace.shown(topic), err))
			if ctx.Err() == nil {
				s.complaints.warn(s.c.log, "could not share the queues of a topic; trying again", "group", s.group, "topic", s.c.namespace.shown(topic), "error", err)
			}
		}
	}
	s.trouble.Store(nil)
	if len(errs) > 0 {
		err := error(errs)
		s.trouble.Store(&err)
	}
	return len(errs) == 0
}

func (s *subscription) shareTopic(ctx context.Context, r *route) error {
	ids, mine := []string(nil), r.subscribe
	if s.cfg.Broadcast == nil {
		var err error
		if ids, err = s.members(ctx, r); err != nil {
			return err
		}
		slices.Sort(ids)
		s.differ.present(ids)
		mine = s.cfg.Allocate.Allocate(s.cfg.Group, s.c.id, r.subscribe, ids)
	}
	assigned := make(map[message.Queue]bool, len(mine))
	for _, mq := range mine {
		assigned[mq] = true
	}
	given := 0
	for mq, q := range s.queues {
		if mq.Topic == r.topic && !assigned[mq] {
			delete(s.queues, mq)
			s.ending[mq] = q
			q.leave(s.revoked())
			given++
		}
	}
	take := make([]message.Queue, 0, len(mine))
	for _, mq := range mine {
		// The loop is woken when an ordered queue's last term has ended.
		if s.queues[mq] == nil && (!s.cfg.Ordered || s.ending[mq] == nil) {
			take = append(take, mq)
		}
	}
	if given+len(take) == 0 {
		return nil
	}
	// As Apache's consumers do (RebalancePushImpl.messageQueueChanged), so that the filter
	// of a member that has left does not stay. Brokers hear of it before the new queues
	// are pulled.
	s.filter[r.topic].renew(0)
	s.c.beats.kick()
	for _, mq := range take {
		q := newQueue(s, mq, s.ending[mq])
		if len(ids) > 1 && !s.cfg.Ordered {
			q.handOver = handOver // ordered queues wait for their lock
		}
		if !s.c.run(q.run) {
			return message.ErrClosed
		}
		s.queues[mq] = q
	}
	s.own()
	s.c.log.Info("queues shared anew", "group", s.group, "topic", s.c.namespace.shown(r.topic), "members", len(ids), "queues", len(r.subscribe), "mine", len(mine), "given up", given, "taken on", len(take))
	return nil
}

// revoked is how this member leaves a queue that becomes another's.
func (s *subscription) revoked() leaveMode {
	if s.cfg.Ordered {
		return leaveRevoked
	}
	return leaveNow
}

// members asks the topic's brokers, in random order, who is in the group. All
// of them know all members, since all members greet all brokers.
func (s *subscription) members(ctx context.Context, r *route) ([]string, error) {
	names := make([]string, 0, len(r.brokers))
	for name := range r.brokers {
		names = append(names, name)
	}
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var failed causes
	for _, name := range names {
		addr, _ := r.brokers[name].reader(protocol.MasterID)
		if addr == "" {
			continue
		}
		ids, err := s.membersAt(ctx, s.c.brokers.get(addr), name)
		if err == nil {
			return ids, nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(failed) == 0 {
		return nil, fmt.Errorf("%w: no broker of topic %s has an address", message.ErrUnreachable, r.topic)
	}
	return nil, failed
}

func (s *subscription) membersAt(ctx context.Context, b *broker, name string) ([]string, error) {
	h := protocol.ConsumerListRequest{ConsumerGroup: s.cfg.Group, BrokerName: name}
	resp, err := b.call(ctx, name, "list the members of group "+s.cfg.Group, protocol.GetConsumerList, &h)
	if err != nil {
		// Apache answers SYSTEM_ERROR when it knows of no member: not even us.
		if answer.IsCode(err, protocol.SystemError) {
			if gerr := s.c.greet(s.last, b); gerr != nil {
				return nil, gerr
			}
			err = fmt.Errorf("%w; if this goes on, the broker does not know the group: create it, or set autoCreateSubscriptionGroup=true", err)
		}
		return nil, err
	}
	var list protocol.ConsumerList
	if err := protocol.DecodeBody(resp.Body, &list); err != nil {
		return nil, fmt.Errorf("broker %s at %s: %w", name, b.addr, err)
	}
	if !slices.Contains(list.ConsumerIDs, s.c.id) {
		// Sharing without us would give up every queue. What we own we keep until
		// the broker knows us again.
		if err := s.c.greet(s.last, b); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("broker %s at %s does not list this client among %d members of group %s yet", name, b.addr, len(list.ConsumerIDs), s.cfg.Group)
	}
	return list.ConsumerIDs, nil
}

// reap forgets the queues that have ended.
func (s *subscription) reap() {
	for mq, q := range s.ending {
		select {
		case <-q.done:
			delete(s.ending, mq)
		default:
		}
	}
}

// runNotes does what others have left for the loop.
func (s *subscription) runNotes() {
	s.mu.Lock()
	notes := s.notes
	s.notes = nil
	s.mu.Unlock()
	for _, note := range notes {
		note()
	}
}

// moveQueues hands an administrator's offsets to the queues that they are for.
func (s *subscription) moveQueues(table map[protocol.MessageQueue]int64) {
	for mq, offset := range table {
		q := s.queues[message.Queue{Topic: mq.Topic, Broker: mq.BrokerName, ID: int(mq.QueueID)}]
		if q != nil {
			q.post(func() { q.moveTo(offset, "an administrator reset the group") })
		}
	}
}

// end gives up every queue, waits for them, and leaves the group.
func (s *subscription) end() {
	told := stay
	for {
		mode := s.leaving()
		if mode == stay || s.c.ctx.Err() != nil {
			mode = leaveNow // the client is being closed under the subscription
		}
		if mode > told {
			told = mode
			for _, q := range s.queues {
				q.leave(mode)
			}
			for _, q := range s.ending {
				q.leave(mode)
			}
		}
		if s.waitQueues(mode) {
			break
		}
	}
	c := s.c
	c.mu.Lock()
	if c.subs[s.cfg.Group] == s {
		delete(c.subs, s.cfg.Group)
	}
	c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	c.unregister(s.last, &protocol.UnregisterRequest{ClientID: c.id, ConsumerGroup: s.cfg.Group})
}

// waitQueues waits for the queues to end; false: the mode may have changed.
func (s *subscription) waitQueues(mode leaveMode) bool {
	for _, queues := range []map[message.Queue]*queue{s.queues, s.ending} {
		for mq, q := range queues {
			if mode == leaveNow {
				<-q.done
				continue
			}
			select {
			case <-q.done:
				delete(queues, mq)
			case <-s.wake:
				return false
			case <-s.c.ctx.Done():
				return false
			}
		}
	}
	return true
}
