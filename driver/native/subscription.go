package native

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// RocketMQ's defaults for consumers (DefaultMQPushConsumer).
const (
	defaultPullBatch      = 32
	defaultUnsettled      = 1000
	defaultUnsettledBytes = 100 << 20
	defaultSpan           = 2000
	defaultRetries        = 16
	defaultSuspend        = 15 * time.Second
	defaultCommitInterval = 5 * time.Second
	defaultSuspendQueue   = time.Second
)

// subscription is this client's membership in one consumer group.
type subscription struct {
	c         *client
	cfg       driver.SubscriptionConfig // with the wire's names; never changed after NewSubscription
	group     string                    // as above the seam
	namespace string
	sink      driver.Sink
	filter    map[string]*filter // by topic, the retry topic's too; never changed
	wake      chan struct{}      // capacity 1: share the queues anew
	done      chan struct{}      // closed when the group is left, or was not joined
	left      error              // what went wrong then; written before done is closed
	ctx       context.Context    // ends when the group is to be left
	cancel    context.CancelCauseFunc
	last      context.Context // ends when the brokers are told no more, see leave
	giveUp    context.CancelFunc
	unready   atomic.Int64  // messages that were at work when the group was left
	began     time.Time     // when it was made
	directs   atomic.Int32  // messages at work for an administrator
	local     *localOffsets // of a broadcast group; made by Start
	written   chan struct{} // closed when local is no longer written every CommitInterval

	// queues are those that this member owns, ending those that it gives up. These
	// belong to the loop.
	queues, ending map[message.Queue]*queue
	taken          atomic.Pointer[[]*queue] // for Lag; nil before the first
	trouble        atomic.Pointer[error]    // of the latest round of sharing; nil when it went well
	complaints     seldom
	silent         silent
	differ         differ

	mu      sync.Mutex // guards the following
	started bool
	mode    leaveMode
	notes   []func() // run by the loop
}

// leaveMode says how a queue, or the whole group, is given up.
type leaveMode int

const (
	stay         leaveMode = iota
	leaveRevoked           // as leaveDrained, but for handOverTime at most; for ordered queues
	leaveDrained
	leaveNow
)

// filter is what the group wants of one topic.
type filter struct {
	data    protocol.SubscriptionData // but for its version; never changed
	version atomic.Int64              // data's subVersion: see renew
	shown   string                    // the topic's name above the seam
	// readable: it is an expression, and a broker has said that it can read it.
	readable atomic.Bool
	tags     map[string]struct{} // nil: all that the broker sends
}

// subscription is the filter as the wire has it.
func (f *filter) subscription() protocol.SubscriptionData {
	data := f.data
	data.SubVersion = f.version.Load()
	return data
}

// renew makes the filter newer than it was, and no older than least. A broker keeps the
// newest that a member of the group has told of, and refuses pulls for a newer one
// until a heartbeat has brought that.
func (f *filter) renew(least int64) {
	for {
		old := f.version.Load()
		if old == math.MaxInt64 || f.version.CompareAndSwap(old, max(time.Now().UnixMilli(), old+1, least)) {
			return
		}
	}
}

// match decides on the exact tag; the broker compared hashes only.
func (f *filter) match(tag string) bool {
	if f.tags == nil {
		return true
	}
	_, ok := f.tags[tag]
	return ok
}

// NewSubscription implements driver.Driver.
func (c *client) NewSubscription(cfg driver.SubscriptionConfig, sink driver.Sink) (driver.Subscription, error) {
	if err := message.CheckGroup(cfg.Group); err != nil {
		return nil, err
	}
	if len(cfg.Topics) == 0 {
		return nil, fmt.Errorf("subscribe group %q: no topics", cfg.Group)
	}
	group := cfg.Group
	cfg.Group = c.namespace.wire(group)
	if err := message.CheckGroup(cfg.Group); err != nil {
		return nil, err
	}
	if by, ok := cfg.Allocate.(byConfig); ok {
		cfg.Allocate = byConfig{c.namespace.wireQueues(by.queues)}
	}
	s := &subscription{
		c: c, cfg: subscriptionDefaults(cfg), group: group, namespace: c.namespace.name, sink: sink, began: time.Now(),
		filter: make(map[string]*filter), wake: make(chan struct{}, 1), done: make(chan struct{}),
		queues: make(map[message.Queue]*queue), ending: make(map[message.Queue]*queue),
	}
	if err := s.parseFilters(); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	s.last, s.giveUp = context.WithCancel(c.ctx)
	return s, nil
}

func subscriptionDefaults(cfg driver.SubscriptionConfig) driver.SubscriptionConfig {
	if cfg.Allocate == nil {
		cfg.Allocate = Averagely()
	}
	if cfg.PullBatch <= 0 {
		cfg.PullBatch = defaultPullBatch
	}
	if cfg.MaxUnsettled <= 0 {
		cfg.MaxUnsettled = defaultUnsettled
	}
	if cfg.MaxUnsettledBytes <= 0 {
		cfg.MaxUnsettledBytes = defaultUnsettledBytes
	}
	if cfg.MaxSpan <= 0 {
		cfg.MaxSpan = defaultSpan
	}
	if cfg.Suspend <= 0 {
		cfg.Suspend = defaultSuspendQueue
	}
	switch {
	case cfg.MaxRetries == 0 && cfg.Ordered:
		cfg.MaxRetries = math.MaxInt32 // ConsumeMessageOrderlyService.getMaxReconsumeTimes
	case cfg.MaxRetries == 0:
		cfg.MaxRetries = defaultRetries
	case cfg.MaxRetries < 0:
		cfg.MaxRetries = 0
	}
	if cfg.SuspendTimeout <= 0 {
		cfg.SuspendTimeout = defaultSuspend
	}
	if cfg.CommitInterval <= 0 {
		cfg.CommitInterval = defaultCommitInterval
	}
	return cfg
}

// parseFilters reads the topics' expressions and adds the retry topic, which broadcast
// groups have not.
func (s *subscription) parseFilters() error {
	version := time.Now().UnixMilli()
	var errs []error
	topics := slices.Clone(s.cfg.Topics)
	if s.cfg.Broadcast == nil {
		topics = append(topics, driver.TopicFilter{Topic: message.RetryTopic(s.group)})
	}
	for _, t := range topics {
		shown := t.Topic
		t.Topic = s.c.namespace.wire(shown)
		if s.filter[t.Topic] != nil {
			errs = append(errs, fmt.Errorf("subscribe group %q: topic %q is named twice", s.group, shown))
			continue
		}
		f, err := newFilter(t, version)
		if err != nil {
			errs = append(errs, fmt.Errorf("subscribe group %q: %w", s.group, err))
			continue
		}
		f.shown = shown
		s.filter[t.Topic] = f
	}
	return errors.Join(errs...)
}

func newFilter(t driver.TopicFilter, version int64) (*filter, error) {
	if err := message.CheckTopic(t.Topic); err != nil {
		return nil, err
	}
	switch t.Type {
	case "", driver.ExpressionTag:
		data, err := protocol.BuildTagSubscription(t.Topic, t.Expression)
		if err != nil {
			return nil, err
		}
		f := &filter{data: data}
		f.version.Store(version)
		if !data.MatchesAll() {
			f.tags = make(map[string]struct{}, len(data.TagsSet))
			for _, tag := range data.TagsSet {
				f.tags[tag] = struct{}{}
			}
		}
		return f, nil
	case driver.ExpressionSQL:
		return newExpression(t, version)
	}
	return nil, &UnsupportedError{
		Op: "subscribe to topic " + t.Topic, Why: fmt.Sprintf("there are no filters of type %q", t.Type),
		Remedy: "filter by tags or SQL92",
	}
}

// filters are the subscriptions as a heartbeat carries them.
func (s *subscription) filters() []protocol.SubscriptionData {
	data := make([]protocol.SubscriptionData, 0, len(s.filter))
	for _, f := range s.filter {
		data = append(data, f.subscription())
	}
	return data
}

// show names a delivery as above the seam: its topic as it was subscribed to.
func (s *subscription) show(d *message.Delivery) {
	if s.namespace == "" {
		return
	}
	f := s.filter[d.Topic]
	d.SetNamespace(s.namespace)
	if f != nil {
		d.Topic = f.shown
	}
}

func (s *subscription) takes(topic string) bool { return s.filter[topic] != nil }

func (s *subscription) topics() []string {
	topics := make([]string, 0, len(s.filter))
	for t := range s.filter {
		topics = append(topics, t)
	}
	slices.Sort(topics)
	return topics
}

// kick shares the queues anew soon.
func (s *subscription) kick() { poke(s.wake) }

// Start implements driver.Subscription. It does not wait for the network, except
// that servers which are there are asked whether they do what the subscription needs.
func (s *subscription) Start(ctx context.Context) error {
	s.mu.Lock()
	again := s.started || s.mode != stay
	s.started = true
	s.mu.Unlock()
	if again {
		return fmt.Errorf("start group %q: it was started or stopped before; make a new subscription", s.group)
	}
	if err := s.checkBrokers(ctx); err != nil {
		return s.neverStarted(fmt.Errorf("start group %q: %w", s.group, err))
	}
	if err := s.openLocal(); err != nil {
		return s.neverStarted(fmt.Errorf("start group %q: %w", s.group, err))
	}
	c := s.c
	c.mu.Lock()
	taken := c.subs[s.cfg.Group] != nil
	if !taken && !c.closed {
		c.subs[s.cfg.Group] = s
	}
	c.mu.Unlock()
	if taken {
		return s.neverStarted(fmt.Errorf("start group %q: this client is a member already; merge the handlers into one consumer or open another client", s.group))
	}
	if !c.run(s.loop) {
		return s.neverStarted(fmt.Errorf("start group %q: %w", s.group, message.ErrClosed))
	}
	c.routes.want(s.topics()...)
	return nil
}

// neverStarted is the end of a Start that failed, for which a Stop may wait already.
func (s *subscription) neverStarted(err error) error {
	err = errors.Join(err, s.closeLocal())
	s.mu.Lock()
	s.started, s.mode = false, leaveNow
	s.mu.Unlock()
	close(s.done)
	return err
}

// Drain implements driver.Subscription. Messages that wait here for their next
// attempt, because the broker refused to take them back, are not waited for:
// another member gets them. It can return a second after ctx, since the offsets
// are still committed; what a broker does not confirm by then is delivered again.
func (s *subscription) Drain(ctx context.Context) error {
	return s.leave(ctx, leaveDrained)
}

// Stop implements driver.Subscription. See Drain on its duration.
func (s *subscription) Stop(ctx context.Context) error {
	return s.leave(ctx, leaveNow)
}

// leaveGrace is how long the last offsets may take after the caller's time is over.
const leaveGrace = time.Second

func (s *subscription) leave(ctx context.Context, mode leaveMode) error {
	s.mu.Lock()
	s.mode = max(s.mode, mode)
	started := s.started
	s.mu.Unlock()
	s.cancel(message.ErrClosed)
	if !started {
		s.giveUp()
		return nil
	}
	s.kick()
	select {
	case <-s.done:
		return s.left
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.mode = leaveNow
	s.mu.Unlock()
	s.kick()
	over := time.AfterFunc(leaveGrace, s.giveUp)
	defer over.Stop()
	<-s.done
	if n := s.unready.Load(); n > 0 {
		return errors.Join(fmt.Errorf("leave group %q: %d messages were at work and will be delivered again: %w", s.group, n, ctx.Err()), s.left)
	}
	return s.left
}

func (s *subscription) leaving() leaveMode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode
}

// reset moves queues to offsets that an administrator chose.
func (s *subscription) reset(table map[protocol.MessageQueue]int64) {
	s.post(func() { s.moveQueues(table) })
}

// post runs f on the loop's goroutine, unless that has ended.
func (s *subscription) post(f func()) {
	s.mu.Lock()
	s.notes = append(s.notes, f)
	s.mu.Unlock()
	s.kick()
}
