package clientgo

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/rocketkit/rocketkit/message"
)

// routes is rocketmq-client-go's queue selector for one producer: the manual one
// (a message goes to its own Queue), which also notes what it may choose from.
// The producer has no other way to say which queues a topic has.
type routes struct {
	shown  func(topic string) string // above the seam
	topics sync.Map                  // topic on the wire -> *snapshot, the latest seen

	mu      sync.Mutex // guards the following
	lookups map[string]*lookup
}

// snapshot is one list of queues. It is immutable.
type snapshot struct {
	from   []*primitive.MessageQueue // rocketmq-client-go's own list, to recognise it
	queues []message.Queue           // the same, sorted
}

// lookup is one question to the name servers that any number wait for.
type lookup struct {
	done chan struct{}
}

func newRoutes(shown func(string) string) *routes {
	return &routes{shown: shown, lookups: make(map[string]*lookup)}
}

// Select implements producer.QueueSelector.
func (r *routes) Select(m *primitive.Message, mqs []*primitive.MessageQueue, _ string) *primitive.MessageQueue {
	r.saw(m.Topic, mqs)
	return m.Queue
}

// saw notes a topic's queues. rocketmq-client-go makes a new list for each route
// and does not change it.
func (r *routes) saw(topic string, mqs []*primitive.MessageQueue) {
	if len(mqs) == 0 {
		return
	}
	if s := r.get(topic); s != nil && len(s.from) == len(mqs) && &s.from[0] == &mqs[0] {
		return
	}
	shown := r.shown(topic)
	s := &snapshot{from: mqs, queues: make([]message.Queue, len(mqs))}
	for i, mq := range mqs {
		s.queues[i] = message.Queue{Topic: shown, Broker: mq.BrokerName, ID: mq.QueueId}
	}
	slices.SortFunc(s.queues, func(a, b message.Queue) int {
		if c := strings.Compare(a.Broker, b.Broker); c != 0 {
			return c
		}
		return a.ID - b.ID
	})
	r.topics.Store(topic, s)
}

// get is the latest snapshot of a topic, nil when there is none.
func (r *routes) get(topic string) *snapshot {
	v, ok := r.topics.Load(topic)
	if !ok {
		return nil
	}
	return v.(*snapshot)
}

// Queues implements driver.Sender.
func (s *sender) Queues(ctx context.Context, topic string) ([]message.Queue, error) {
	topic = s.c.wire(topic)
	if len(topic) > message.MaxTopicLength {
		return nil, message.CheckTopic(topic)
	}
	if s.routes.get(topic) == nil {
		if err := s.lookUp(ctx, topic); err != nil {
			return nil, err
		}
	} else if err := s.probe(topic); err != nil {
		return nil, err
	}
	if known := s.routes.get(topic); known != nil {
		return known.queues, nil
	}
	return nil, s.c.routeError(ctx, topic)
}

// lookUp asks the name servers for a topic that was not seen before.
// rocketmq-client-go does so without regard to a ctx, for 6 s at each of them.
func (s *sender) lookUp(ctx context.Context, topic string) error {
	r := s.routes
	r.mu.Lock()
	l := r.lookups[topic]
	if l == nil {
		l = &lookup{done: make(chan struct{})}
		r.lookups[topic] = l
		if !s.begin() {
			delete(r.lookups, topic)
			r.mu.Unlock()
			return s.closedError()
		}
		go func() {
			defer s.end()
			s.ask(topic)
			r.mu.Lock()
			delete(r.lookups, topic)
			r.mu.Unlock()
			close(l.done)
		}()
	}
	r.mu.Unlock()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return &message.RouteError{Topic: s.c.shown(topic), NameServers: s.c.cfg.NameServers, Err: ctx.Err()}
	}
}

// probe lets the selector see the producer's present route of a topic that it
// knows, which takes no network.
func (s *sender) probe(topic string) error {
	if !s.begin() {
		return s.closedError()
	}
	defer s.end()
	s.ask(topic)
	return nil
}

// ask begins to send a message that has no queue: the producer finds the route,
// shows it to the selector, gets no queue and gives up before it connects to a
// broker. Its error says nothing more.
func (s *sender) ask(topic string) {
	if _, err := s.producer.SendSync(context.Background(), &primitive.Message{Topic: topic}); err == nil {
		s.c.log.Error("a question for a route was sent as a message", "topic", topic) // cannot be: it has no queue
	}
}
