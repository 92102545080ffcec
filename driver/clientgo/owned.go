package clientgo

import (
	"context"
	"sync"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/rocketkit/rocketkit/message"
)

// owned is the queues of a subscription. rocketmq-client-go tells nobody that it
// takes a queue or gives one up, except that it asks for the allocation before.
type owned struct {
	mu     sync.Mutex // guards the following
	queues map[message.Queue]lease
}

// lease is a queue's ctx.
type lease struct {
	ctx context.Context
	end context.CancelFunc
}

func newOwned() *owned { return &owned{queues: make(map[message.Queue]lease)} }

// context is a queue's ctx, nil when the queue is not owned.
func (o *owned) context(q message.Queue) context.Context {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queues[q].ctx
}

// share sets which queues of a topic are owned; parent is what new ones' ctxs
// end with. It returns what ends those that are not owned any more.
func (o *owned) share(parent context.Context, topic string, queues []message.Queue) []context.CancelFunc {
	o.mu.Lock()
	defer o.mu.Unlock()
	keep := make(map[message.Queue]bool, len(queues))
	for _, q := range queues {
		keep[q] = true
		if _, ok := o.queues[q]; !ok {
			ctx, end := context.WithCancel(parent)
			o.queues[q] = lease{ctx: ctx, end: end}
		}
	}
	var revoked []context.CancelFunc
	for q, l := range o.queues {
		if q.Topic == topic && !keep[q] {
			revoked = append(revoked, l.end)
			delete(o.queues, q)
		}
	}
	return revoked
}

// allocate is rocketmq-client-go's strategy: the configured one, and the notice
// that queues come and go. Before a queue goes, all offsets are committed:
// rocketmq-client-go would commit that queue's and forget the others'.
func (s *subscription) allocate(group, clientID string, all []*primitive.MessageQueue, members []string) []*primitive.MessageQueue {
	if len(all) == 0 || s.ctx.Err() != nil {
		return nil // a topic that is not there yet, or no longer; or the group is being left
	}
	chosen := s.choose(group, clientID, all, members)
	mine := make([]message.Queue, len(chosen))
	for i, mq := range chosen {
		mine[i] = fromQueue(mq)
	}
	revoked := s.owned.share(s.ctx, all[0].Topic, mine)
	if len(revoked) > 0 {
		s.commit(s.current())
	}
	for _, end := range revoked {
		end()
	}
	return chosen
}

func (s *subscription) choose(group, clientID string, all []*primitive.MessageQueue, members []string) []*primitive.MessageQueue {
	if s.cfg.Allocate == nil {
		return consumer.AllocateByAveragely(group, clientID, all, members)
	}
	queues := make([]message.Queue, len(all))
	theirs := make(map[message.Queue]*primitive.MessageQueue, len(all))
	for i, mq := range all {
		queues[i] = fromQueue(mq)
		theirs[queues[i]] = mq
	}
	var chosen []*primitive.MessageQueue
	for _, q := range s.cfg.Allocate.Allocate(group, clientID, queues, members) {
		if mq := theirs[q]; mq != nil {
			chosen = append(chosen, mq)
		}
	}
	return chosen
}

func fromQueue(mq *primitive.MessageQueue) message.Queue {
	return message.Queue{Topic: mq.Topic, Broker: mq.BrokerName, ID: mq.QueueId}
}
