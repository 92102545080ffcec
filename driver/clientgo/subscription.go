package clientgo

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/hooks"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// subscription is a driver.Subscription: one push consumer of rocketmq-client-go,
// which lives from Start until Drain or Stop.
type subscription struct {
	c     *client
	cfg   driver.SubscriptionConfig // with defaults and the wire's names; never changed after NewSubscription
	group string                    // as above the seam
	shown map[string]string         // the topics above the seam, by the wire's names
	sink  driver.Sink
	retry string // the group's retry topic
	owned *owned

	ctx      context.Context // parent of the queues'; ends when nothing more counts
	cancel   context.CancelCauseFunc
	starting context.Context // ends when the group is to be left
	stopped  context.CancelFunc
	begun    chan struct{} // closed when begin is through, or will not run
	hurry    chan struct{} // closed when there is no time to drain
	release  chan struct{} // closed when rocketmq-client-go has dropped its queues
	left     chan struct{} // closed when the group is left; the following are final then
	leftErr  error
	leftover int64        // messages that were not settled
	working  atomic.Int64 // callbacks that have not returned

	mu       sync.Mutex // guards the following
	started  bool
	leaving  bool
	hurried  bool
	consumer *member // nil before begin has made it
	startErr error
}

// member is one membership in the group.
type member struct {
	pushConsumer
	cached func() int // how many messages rocketmq-client-go holds
}

// pushConsumer is what is used of rocketmq-client-go's. Some of it is not in
// its interface PushConsumer, but exported by the type behind.
type pushConsumer interface {
	Start() error
	Shutdown() error
	Subscribe(topic string, selector consumer.MessageSelector, f func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error)) error
	Unsubscribe(topic string) error
	Suspend()
	Rebalance()
	PersistConsumerOffset() error
	UpdateTopicSubscribeInfo(topic string, mqs []*primitive.MessageQueue)
}

// NewSubscription implements driver.Driver.
func (c *client) NewSubscription(cfg driver.SubscriptionConfig, sink driver.Sink) (driver.Subscription, error) {
	cfg, err := c.checkSubscription(cfg)
	if err != nil {
		return nil, err
	}
	group, shown := cfg.Group, make(map[string]string)
	cfg.Group, cfg.Topics = c.wire(group), slices.Clone(cfg.Topics)
	for i := range cfg.Topics {
		t := &cfg.Topics[i]
		wire := c.wire(t.Topic)
		shown[wire], t.Topic = t.Topic, wire
	}
	s := &subscription{
		c: c, cfg: cfg, group: group, shown: shown, sink: sink, retry: message.RetryTopic(cfg.Group), owned: newOwned(),
		begun: make(chan struct{}), hurry: make(chan struct{}), release: make(chan struct{}), left: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.starting, s.stopped = context.WithCancel(c.ctx)
	if !c.enter(s) {
		return nil, fmt.Errorf("new subscription of group %q: %w", group, message.ErrClosed)
	}
	return s, nil
}

// Start implements driver.Subscription.
func (s *subscription) Start(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.leaving:
		return fmt.Errorf("start consumer group %q: %w: a subscription starts once; make a new one", s.group, message.ErrClosed)
	case s.started:
		return nil
	case !s.c.run(s.begin):
		return fmt.Errorf("start consumer group %q: %w", s.group, message.ErrClosed)
	}
	s.started = true
	return nil
}

// topicPoll is how often it is asked whether a topic exists by now.
const topicPoll = time.Second

// begin makes the push consumer as soon as one of the topics exists. It could
// be made before, but looks for new topics only every 30 s, and for their queues
// every 20 s; so it is told of those that come later.
func (s *subscription) begin() {
	defer close(s.begun)
	missing, ok := s.awaitTopic()
	if !ok {
		return
	}
	missing = append(missing, s.retry) // which the brokers make when they are greeted
	pc, err := s.newConsumer(missing)
	if err == nil {
		s.mu.Lock()
		s.consumer = pc
		s.mu.Unlock()
		err = pc.Start()
	}
	if err != nil {
		s.c.log.Error("consumer group not started", "group", s.cfg.Group, "error", err)
		s.mu.Lock()
		s.startErr = fmt.Errorf("%s: start consumer group %q: %w", Name, s.group, err)
		s.mu.Unlock()
		return
	}
	s.follow(pc, missing)
}

// awaitTopic waits until one of the topics exists and returns those that do not;
// false when the group is to be left.
func (s *subscription) awaitTopic() (missing []string, ok bool) {
	ticker := time.NewTicker(topicPoll)
	defer ticker.Stop()
	for first := true; ; first = false {
		missing = missing[:0]
		var why error
		for _, t := range s.cfg.Topics {
			if err := s.ask(t.Topic); err != nil {
				missing, why = append(missing, t.Topic), err
			}
		}
		if len(missing) < len(s.cfg.Topics) {
			return missing, true
		}
		if first {
			s.c.log.Warn("no topic of the group exists yet; asking again", "group", s.cfg.Group, "topics", missing, "every", topicPoll, "error", why)
		}
		select {
		case <-ticker.C:
		case <-s.starting.Done():
			return nil, false
		}
	}
}

// follow asks for the topics that the push consumer started without, until all
// exist or the group is to be left, and has it take its share of each.
func (s *subscription) follow(pc *member, missing []string) {
	ticker := time.NewTicker(topicPoll)
	defer ticker.Stop()
	for len(missing) > 0 {
		select {
		case <-ticker.C:
		case <-s.starting.Done():
			return
		}
		known := len(missing)
		missing = slices.DeleteFunc(missing, func(topic string) bool { return s.ask(topic) == nil })
		if len(missing) < known && s.starting.Err() == nil {
			pc.Rebalance() // learns the topic's queues
			pc.Rebalance() // shares them out
		}
	}
}

// ask asks the name servers whether a topic exists; nil when it does.
// rocketmq-client-go asks without regard to a ctx.
func (s *subscription) ask(topic string) error {
	answer := make(chan error, 1)
	asked := s.c.run(func() {
		_, err := s.c.topics.FetchPublishMessageQueues(s.starting, topic)
		answer <- err
	})
	if !asked {
		return message.ErrClosed
	}
	select {
	case err := <-answer:
		return err
	case <-s.starting.Done():
		return s.starting.Err()
	}
}

// newConsumer makes the push consumer. It never starts with a topic missing that
// it does not believe to be there, without queues: it would give up for good.
func (s *subscription) newConsumer(missing []string) (*member, error) {
	pc, err := consumer.NewPushConsumer(s.options()...)
	if err != nil {
		return nil, fmt.Errorf("%s: consumer group %q: %w", Name, s.group, err)
	}
	filters := slices.Concat(s.cfg.Topics, []driver.TopicFilter{{Topic: s.retry, Expression: "*"}})
	for _, f := range filters {
		if err := pc.Subscribe(f.Topic, consumer.MessageSelector{Type: consumer.TAG, Expression: f.Expression}, s.consume); err != nil {
			return nil, fmt.Errorf("%s: subscribe group %q to %q: %w", Name, s.group, f.Topic, err)
		}
	}
	for _, topic := range missing {
		pc.UpdateTopicSubscribeInfo(topic, nil)
	}
	cached := func() (n int) {
		for _, q := range pc.GetConsumerRunningInfo(false).MQTable {
			n += q.CachedMsgCount
		}
		return n
	}
	return &member{pushConsumer: pc, cached: cached}, nil
}

// consumeTimeout is how long rocketmq-client-go waits before it gives back a
// message that its callback has not finished, which consume prevents. A
// goroutine sleeps that long from the start, also over an end.
const consumeTimeout = time.Minute

// maxCallbacks is rocketmq-client-go's limit on callbacks of a topic that run at
// once. Each message at work blocks one, so that what limits them is MaxUnsettled.
const maxCallbacks = 100_000

func (s *subscription) options() []consumer.Option {
	from := consumer.ConsumeFromLastOffset
	if s.cfg.From == driver.FromFirst {
		from = consumer.ConsumeFromFirstOffset
	}
	at := time.Now()
	if !s.cfg.FromTime.IsZero() {
		from, at = consumer.ConsumeFromTimestamp, s.cfg.FromTime
	}
	return []consumer.Option{
		consumer.WithGroupName(s.cfg.Group), consumer.WithInstance(s.c.nextInstance()), consumer.WithNsResolver(s.c.names),
		consumer.WithCredentials(s.c.credentials()), consumer.WithConsumerModel(consumer.Clustering), consumer.WithConsumerOrder(false),
		consumer.WithConsumeFromWhere(from), consumer.WithConsumeTimestamp(at.Format("20060102150405")), consumer.WithStrategy(s.allocate),
		consumer.WithPullBatchSize(int32(s.cfg.PullBatch)),
		consumer.WithPullThresholdForQueue(int64(s.cfg.MaxUnsettled)),
		consumer.WithPullThresholdSizeForQueue(int(s.cfg.MaxUnsettledBytes >> 20)),
		consumer.WithConsumeConcurrentlyMaxSpan(int(s.cfg.MaxSpan)),
		consumer.WithConsumeMessageBatchMaxSize(1), consumer.WithConsumeGoroutineNums(maxCallbacks),
		consumer.WithConsumeTimeout(consumeTimeout),
		// The broker is never to dead-letter by itself: settle decides.
		consumer.WithMaxReconsumeTimes(math.MaxInt32),
		consumer.WithFilterMessageHook([]hooks.FilterMessageHook{s.keepOrigin}),
	}
}

// current is the push consumer, nil before there is one.
func (s *subscription) current() *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.consumer
}
