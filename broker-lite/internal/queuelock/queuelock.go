package queuelock

import (
	"log/slog"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Expiry is how long a lock lasts (rocketmq.broker.rebalance.lockMaxLiveTime).
const Expiry = 60 * time.Second

// maxLocks and maxNames bound the table, in locks and in bytes of a lock's names;
// beyond that no more queues are locked.
const (
	maxLocks = 1 << 17
	maxNames = 2 << 10
)

// sweepGap keeps searches for ended locks apart, which are made when there are
// minSweep locks at least.
const (
	sweepGap = time.Second
	minSweep = 1 << 10
)

// Table is all locks. New makes one.
type Table struct {
	logger *slog.Logger

	mu     sync.Mutex // guards the following
	groups map[string]map[protocol.MessageQueue]lock
	count  int // locks of all groups, ended ones too
	sweep  int // the count at which ended ones are dropped
	swept  time.Time
}

type lock struct {
	client string
	taken  time.Time
}

// ended is exclusive, as Apache's.
func (l lock) ended(now time.Time) bool { return now.Sub(l.taken) > Expiry }

// New makes a table. A nil logger discards.
func New(logger *slog.Logger) *Table {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Table{logger: logger, groups: map[string]map[protocol.MessageQueue]lock{}, sweep: minSweep}
}

// Lock takes queues for a client, or takes them again, and returns those that it has
// now: all but the ones that another client of the group has.
func (t *Table) Lock(group, client string, queues []protocol.MessageQueue) (locked []protocol.MessageQueue) {
	now := time.Now()
	outcomes := make([]outcome, len(queues))
	t.mu.Lock()
	for i, q := range queues {
		outcomes[i] = t.take(group, client, q, now)
	}
	t.mu.Unlock()
	for i, q := range queues {
		o := outcomes[i]
		switch {
		case o.owner != "":
			t.logger.Debug("a queue is locked by another member", "group", group, "topic", q.Topic, "queue", q.QueueID, "client", client, "owner", o.owner)
		case o.full:
			t.logger.Warn("too many queues are locked; another one is not", "group", group, "topic", q.Topic, "queue", q.QueueID, "client", client, "limit", maxLocks)
		case o.anew:
			t.logger.Info("queue locked", "group", group, "topic", q.Topic, "queue", q.QueueID, "client", client)
		}
		if o.taken {
			locked = append(locked, q)
		}
	}
	return locked
}

// outcome is what becomes of an attempt to lock a queue.
type outcome struct {
	taken bool
	anew  bool   // the client did not have it before
	owner string // who has it
	full  bool   // there are too many locks
}

// take takes a queue if it can be had. mu is held.
func (t *Table) take(group, client string, q protocol.MessageQueue, now time.Time) outcome {
	before, known := t.groups[group][q]
	switch {
	case len(group)+len(client)+len(q.Topic)+len(q.BrokerName) > maxNames:
		return outcome{}
	case known && before.client != client && !before.ended(now):
		return outcome{owner: before.client}
	case !known && !t.hasRoom(now):
		return outcome{full: true}
	case !known:
		t.count++
		if t.groups[group] == nil {
			t.groups[group] = map[protocol.MessageQueue]lock{}
		}
	}
	t.groups[group][q] = lock{client, now}
	return outcome{taken: true, anew: !known || before.client != client}
}

// Unlock gives queues back that the client has.
func (t *Table) Unlock(group, client string, queues []protocol.MessageQueue) {
	for _, q := range t.drop(group, client, queues) {
		t.logger.Info("queue unlocked", "group", group, "topic", q.Topic, "queue", q.QueueID, "client", client)
	}
}

func (t *Table) drop(group, client string, queues []protocol.MessageQueue) (dropped []protocol.MessageQueue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	locks := t.groups[group]
	for _, q := range queues {
		if l, ok := locks[q]; ok && l.client == client {
			delete(locks, q)
			t.count--
			dropped = append(dropped, q)
		}
	}
	if len(locks) == 0 {
		delete(t.groups, group)
	}
	return dropped
}

// Locked reports whether the group has a lock that has not ended: it consumes in
// order.
func (t *Table) Locked(group string) bool {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.groups[group] {
		if !l.ended(now) {
			return true
		}
	}
	return false
}

// hasRoom reports whether there may be one more lock. It drops those that have ended
// when their number has doubled since it last did. mu is held.
func (t *Table) hasRoom(now time.Time) bool {
	if t.count < t.sweep || now.Sub(t.swept) < sweepGap {
		return t.count < maxLocks
	}
	t.swept = now
	for group, locks := range t.groups {
		for q, l := range locks {
			if l.ended(now) {
				delete(locks, q)
				t.count--
			}
		}
		if len(locks) == 0 {
			delete(t.groups, group)
		}
	}
	t.sweep = min(max(2*t.count, minSweep), maxLocks)
	return t.count < maxLocks
}
