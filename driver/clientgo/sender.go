package clientgo

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// autoQueues is how many queues a topic gets that its first message creates
// (DefaultMQProducer.defaultTopicQueueNums).
const autoQueues = 4

// sender is a driver.Sender: one producer of rocketmq-client-go, which retries
// nothing and chooses no queue.
type sender struct {
	c        *client
	cfg      driver.SenderConfig
	producer rocketmq.Producer
	routes   *routes

	mu       sync.Mutex // guards the following
	closed   bool
	underWay int           // calls of the producer that have not ended
	idle     chan struct{} // closed when closed and underWay == 0
}

// NewSender implements driver.Driver.
func (c *client) NewSender(cfg driver.SenderConfig) (driver.Sender, error) {
	if err := message.CheckGroup(cfg.Group); err != nil {
		return nil, err
	}
	if err := message.CheckGroup(c.wire(cfg.Group)); err != nil {
		return nil, err
	}
	if cfg.Check != nil {
		return nil, unsupported("a producer of transactions (group "+cfg.Group+")", "its transactional producer has a listener for each process, and loses half messages over a restart", "use the native driver")
	}
	over, level := math.MaxInt, 0
	if z := cfg.Compression; z != nil {
		over, level = z.Over+1, z.Level // it packs from its threshold on
	}
	s := &sender{c: c, cfg: cfg, routes: newRoutes(c.shown), idle: make(chan struct{})}
	p, err := rocketmq.NewProducer(
		producer.WithGroupName(c.wire(cfg.Group)), producer.WithInstanceName(c.nextInstance()), producer.WithNsResolver(c.names),
		producer.WithCredentials(c.credentials()), producer.WithRetry(0), producer.WithQueueSelector(s.routes),
		producer.WithDefaultTopicQueueNums(autoQueues),
		producer.WithCompressMsgBodyOverHowmuch(over), producer.WithCompressLevel(level),
	)
	if err != nil {
		return nil, fmt.Errorf("%s: producer %q: %w", Name, cfg.Group, err)
	}
	s.producer = p
	if !c.enter(s) {
		return nil, fmt.Errorf("new sender of group %q: %w", cfg.Group, message.ErrClosed)
	}
	if err := p.Start(); err != nil {
		c.leave(s)
		return nil, fmt.Errorf("%s: start producer %q: %w", Name, cfg.Group, err)
	}
	return s, nil
}

// NewID implements driver.Sender.
func (s *sender) NewID() string { return s.c.ids.next() }

// SendTo implements driver.Sender. It returns at once: rocketmq-client-go blocks
// in a goroutine of its own. An attempt takes 3 s at most, whatever ctx says.
func (s *sender) SendTo(ctx context.Context, q message.Queue, m *driver.Outgoing, done func(driver.Receipt, error)) {
	out, err := s.single(q, m)
	if err != nil {
		done(driver.Receipt{}, err)
		return
	}
	s.start(ctx, &attempt{s: s, op: "send to topic " + m.Topic, q: q, done: done}, out)
}

// SendBatchTo implements driver.Sender.
func (s *sender) SendBatchTo(ctx context.Context, q message.Queue, ms []*driver.Outgoing, done func(driver.Receipt, error)) {
	out, err := s.batch(q, ms)
	if err != nil {
		done(driver.Receipt{}, err)
		return
	}
	s.start(ctx, &attempt{s: s, op: "send a batch to topic " + ms[0].Topic, q: q, done: done}, out...)
}

// SendOneway implements driver.Sender.
func (s *sender) SendOneway(ctx context.Context, q message.Queue, m *driver.Outgoing) error {
	out, err := s.single(q, m)
	if err != nil {
		return err
	}
	op := "send oneway to topic " + m.Topic
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: nothing was sent: %w", op, err)
	}
	if !s.begin() {
		return fmt.Errorf("%s: %w", op, s.closedError())
	}
	sent := make(chan error, 1)
	go func() {
		defer s.end()
		sent <- s.producer.SendOneWay(context.Background(), out)
	}()
	select {
	case err := <-sent:
		if err != nil {
			return sendError(op, s.c.wireQueue(q), err)
		}
		return nil
	case <-ctx.Done():
		return &message.UnknownOutcomeError{Op: op, Broker: q.Broker, Err: ctx.Err()}
	}
}

// single prepares one message. Each attempt gets a fresh one: rocketmq-client-go
// changes what it is given.
func (s *sender) single(q message.Queue, m *driver.Outgoing) (*primitive.Message, error) {
	if err := s.checkSize(m.Topic, len(m.Body)); err != nil {
		return nil, err
	}
	if m.Delay.Level == 0 && !m.Delay.IsZero() {
		return nil, unsupported("a delay by time (topic "+m.Topic+")", "it does not tell a broker before 5.0 from a later one, and the former would deliver at once", "use a delay level or the native driver")
	}
	out := s.outgoing(q, m)
	return out, checkProperties(m.Topic, out)
}

// batch prepares messages of one topic for one request.
func (s *sender) batch(q message.Queue, ms []*driver.Outgoing) ([]*primitive.Message, error) {
	if len(ms) == 0 {
		return nil, fmt.Errorf("%w: the batch is empty", message.ErrInvalidMessage)
	}
	const perMessage = 22 // the fixed part of a batch's entry
	topic, size := ms[0].Topic, 0
	outs := make([]*primitive.Message, len(ms))
	for i, m := range ms {
		switch {
		case m.Topic != topic:
			return nil, fmt.Errorf("%w: a batch holds topics %s and %s; send them apart", message.ErrInvalidMessage, topic, m.Topic)
		case !m.Delay.IsZero():
			return nil, fmt.Errorf("%w: a batch cannot be delayed: RocketMQ refuses it; send its messages one by one", message.ErrInvalidMessage)
		}
		outs[i] = s.outgoing(q, m)
		if err := checkProperties(topic, outs[i]); err != nil {
			return nil, err
		}
		size += perMessage + len(m.Body) + len(outs[i].MarshallProperties())
	}
	return outs, s.checkSize(topic, size)
}

// outgoing is m in rocketmq-client-go's words.
func (s *sender) outgoing(q message.Queue, m *driver.Outgoing) *primitive.Message {
	out := &primitive.Message{
		Topic: s.c.wire(m.Topic), Body: m.Body, Flag: m.Flag,
		Queue: &primitive.MessageQueue{Topic: s.c.wire(q.Topic), BrokerName: q.Broker, QueueId: q.ID},
	}
	for k, v := range m.Properties {
		out.WithProperty(k, v)
	}
	for _, p := range m.Extra {
		out.WithProperty(p.Name, p.Value)
	}
	if ns := s.c.cfg.Namespace; ns != "" {
		out.WithProperty(propInstance, ns)
	}
	out.WithProperty(primitive.PropertyUniqueClientMessageIdKeyIndex, m.ID)
	out.WithTag(m.Tag)
	out.WithProperty(primitive.PropertyKeys, strings.Join(m.Keys, primitive.PropertyKeySeparator))
	out.WithProperty(propShardingKey, m.ShardingKey) // WithShardingKey uses a name that nobody reads
	if m.Delay.Level > 0 {
		out.WithDelayTimeLevel(m.Delay.Level)
	}
	return out
}

func (s *sender) checkSize(topic string, n int) error {
	if limit := s.cfg.MaxMessageSize; limit > 0 && n > limit {
		return fmt.Errorf("%w: topic %q: %d bytes, at most %d", message.ErrBodyTooLarge, topic, n, limit)
	}
	return nil
}

func checkProperties(topic string, m *primitive.Message) error {
	if n := len(m.MarshallProperties()); n > message.MaxPropertiesLength {
		return fmt.Errorf("%w: topic %q: keys, tag and properties take %d bytes, at most %d travel; move what is large into the body",
			message.ErrInvalidMessage, topic, n, message.MaxPropertiesLength)
	}
	return nil
}

// begin notes a call of the producer; false when the sender is closed.
func (s *sender) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.underWay++
	return true
}

func (s *sender) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.underWay--
	if s.closed && s.underWay == 0 {
		close(s.idle)
	}
}

func (s *sender) closedError() error {
	return fmt.Errorf("producer %q: %w", s.cfg.Group, message.ErrClosed)
}

// Close implements driver.Sender: it waits for what is under way, which
// rocketmq-client-go ends within 3 s. The broker forgets the group when it sees
// the connection close; rocketmq-client-go does not unregister it.
func (s *sender) Close(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	if first && s.underWay == 0 {
		close(s.idle)
	}
	s.mu.Unlock()
	var err error
	select {
	case <-s.idle:
	case <-ctx.Done():
		s.mu.Lock()
		n := s.underWay
		s.mu.Unlock()
		err = fmt.Errorf("close sender of group %q: %d sends have no outcome yet: %w", s.cfg.Group, n, ctx.Err())
	}
	if first {
		s.c.leave(s)
		if e := s.producer.Shutdown(); e != nil && err == nil {
			err = fmt.Errorf("close sender of group %q: %w", s.cfg.Group, e)
		}
	}
	return err
}

func (s *sender) shut(ctx context.Context) error { return s.Close(ctx) }
