package native

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/compression"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// sender is a driver.Transactor for one producer group.
type sender struct {
	c      *client
	cfg    driver.SenderConfig // with the wire's name of the group
	group  string              // as above the seam
	ops    sync.Pool           // of *sendOp
	packer *compression.Packer // nil: bodies travel as they are
	checks workers
	next   atomic.Uint32   // SendTx: the queue in turn
	ctx    context.Context // ends with the sender; for the user's Check
	cancel context.CancelCauseFunc

	closed   atomic.Bool
	underWay atomic.Int64  // sends without an outcome
	idle     chan struct{} // capacity 1: the last of them is over, and closed is set
}

// Limits on a broker's questions about half messages.
const (
	maxChecks        = 16   // at work at once
	maxChecksWaiting = 2000 // more are dropped; the broker asks again
)

// NewSender implements driver.Driver. Several senders may share a group.
func (c *client) NewSender(cfg driver.SenderConfig) (driver.Sender, error) {
	if err := message.CheckGroup(cfg.Group); err != nil {
		return nil, err
	}
	group := cfg.Group
	cfg.Group = c.namespace.wire(group)
	if err := message.CheckGroup(cfg.Group); err != nil {
		return nil, err
	}
	s := &sender{c: c, cfg: cfg, group: group, idle: make(chan struct{}, 1)}
	s.checks = workers{c: c, limit: maxChecks, waiting: maxChecksWaiting}
	if z := cfg.Compression; z != nil {
		var err error
		if s.packer, err = compression.NewPacker(packed(z.Kind), z.Level); err != nil {
			return nil, fmt.Errorf("new sender of group %q: %w", group, err)
		}
	}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, fmt.Errorf("new sender of group %q: %w", group, message.ErrClosed)
	}
	c.senders[cfg.Group] = append(c.senders[cfg.Group], s)
	c.mu.Unlock()
	c.routes.want(c.namespace.wireAll(cfg.CheckTopics)...)
	c.beats.kick()
	return s, nil
}

// NewID implements driver.Sender.
func (s *sender) NewID() string { return s.c.ids.Next() }

// Queues implements driver.Sender.
func (s *sender) Queues(ctx context.Context, topic string) ([]message.Queue, error) {
	if s.closed.Load() {
		return nil, message.ErrClosed
	}
	wire := s.c.namespace.wire(topic)
	if len(wire) > message.MaxTopicLength {
		return nil, message.CheckTopic(wire)
	}
	r, err := s.c.routes.forSending(ctx, wire)
	if err != nil {
		return nil, err
	}
	if len(r.publish) == 0 {
		return nil, fmt.Errorf("%w: topic %s has no queue that can be written to: its brokers are without a master or its perm forbids writing", message.ErrUnreachable, topic)
	}
	return r.publish, nil
}

// SendTo implements driver.Sender. It waits for nothing but room on the
// connection; when the broker is not connected, a goroutine goes on.
func (s *sender) SendTo(ctx context.Context, q message.Queue, m *driver.Outgoing, done func(driver.Receipt, error)) {
	op := s.op(ctx, q, done)
	if err := op.single(m); err != nil {
		op.fail(err)
		return
	}
	op.start()
}

// SendBatchTo implements driver.Sender.
func (s *sender) SendBatchTo(ctx context.Context, q message.Queue, ms []*driver.Outgoing, done func(driver.Receipt, error)) {
	op := s.op(ctx, q, done)
	if err := op.batch(ms); err != nil {
		op.fail(err)
		return
	}
	op.start()
}

// SendOneway implements driver.Sender. It waits for the connection.
func (s *sender) SendOneway(ctx context.Context, q message.Queue, m *driver.Outgoing) error {
	op := s.op(ctx, q, nil)
	defer op.release()
	if err := op.single(m); err != nil {
		return err
	}
	b, err := op.target()
	if err != nil {
		return err
	}
	driver.NoteReached(ctx, b.addr)
	conn, err := b.connect(ctx)
	if err != nil {
		return sendError(op.name(), q.Broker, b.addr, err)
	}
	if err := op.supported(b); err != nil {
		return err
	}
	if err := conn.Oneway(ctx, &op.cmd, &op.header, op.body[:]...); err != nil {
		return sendError(op.name(), q.Broker, b.addr, err)
	}
	return nil
}

// Close implements driver.Sender: it waits for the sends under way, which end at
// their own ctx at the latest, and brokers forget the group unless another sender
// of this client shares it.
func (s *sender) Close(ctx context.Context) error {
	if s.closed.Swap(true) {
		return nil
	}
	s.cancel(message.ErrClosed)
	err := s.waitIdle(ctx)
	c := s.c
	c.mu.Lock()
	rest := slices.DeleteFunc(slices.Clone(c.senders[s.cfg.Group]), func(o *sender) bool { return o == s })
	if len(rest) > 0 {
		c.senders[s.cfg.Group] = rest
	} else {
		delete(c.senders, s.cfg.Group)
	}
	c.mu.Unlock()
	if len(rest) == 0 && c.ctx.Err() == nil {
		c.unregister(ctx, &protocol.UnregisterRequest{ClientID: c.id, ProducerGroup: s.cfg.Group})
	}
	return err
}

func (s *sender) waitIdle(ctx context.Context) error {
	for s.underWay.Load() > 0 {
		select {
		case <-s.idle:
		case <-ctx.Done():
			return fmt.Errorf("close sender of group %q: %d sends have no outcome yet: %w", s.group, s.underWay.Load(), ctx.Err())
		}
	}
	return nil
}

// op takes a fresh sendOp from the pool.
func (s *sender) op(ctx context.Context, q message.Queue, done func(driver.Receipt, error)) *sendOp {
	op, ok := s.ops.Get().(*sendOp)
	if !ok {
		op = new(sendOp)
	}
	op.s, op.ctx, op.q, op.done = s, ctx, q, done
	op.holds.Store(1)
	s.underWay.Add(1)
	return op
}

// sendOp is one send under way, and everything that it needs: nothing else is
// allocated for a message.
type sendOp struct {
	s    *sender
	ctx  context.Context
	q    message.Queue
	done func(driver.Receipt, error)
	b    *broker

	cmd    protocol.Command
	header protocol.SendRequest
	props  []byte
	entry  []byte    // a batch's body, or a packed one
	body   [1][]byte // what is sent: the message's own body, or entry
	timer  bool      // needs a broker with timer messages
	topic  string
	// guessed: the topic had no route of its own, and the broker makes it.
	guessed bool

	holds atomic.Int32 // who still uses it: the one who starts it, the answer
}

// single prepares one message.
func (o *sendOp) single(m *driver.Outgoing) error {
	if err := o.s.checkSize(m.Topic, len(m.Body)); err != nil {
		return err
	}
	o.props = o.s.c.appendProperties(o.props[:0], m)
	if err := checkProperties(m.Topic, o.props); err != nil {
		return err
	}
	code := protocol.SendMessageV2
	if isReply(m) {
		code = protocol.SendReplyV2
	}
	o.prepare(code, m.Topic, m.Flag)
	o.body[0] = m.Body
	if z := o.s.cfg.Compression; z != nil && len(m.Body) > z.Over {
		var err error
		if o.entry, o.header.SysFlag, err = o.s.packer.Pack(o.entry[:0], m.Body); err != nil {
			return fmt.Errorf("topic %q: %w", m.Topic, err)
		}
		if o.header.SysFlag != 0 {
			o.body[0] = o.entry
		}
	}
	o.timer = needsTimer(m.Delay)
	return nil
}

// packed is how sysFlag says a kind.
func packed(k driver.CompressionKind) int32 {
	switch k {
	case driver.LZ4:
		return protocol.SysLZ4
	case driver.Zstd:
		return protocol.SysZstd
	}
	return protocol.SysZlib
}

// batch prepares messages of one topic as one request.
func (o *sendOp) batch(ms []*driver.Outgoing) error {
	if len(ms) == 0 {
		return fmt.Errorf("%w: the batch is empty", message.ErrInvalidMessage)
	}
	topic := ms[0].Topic
	o.entry = o.entry[:0]
	for _, m := range ms {
		switch {
		case m.Topic != topic:
			return fmt.Errorf("%w: a batch holds topics %s and %s; send them apart", message.ErrInvalidMessage, topic, m.Topic)
		case !m.Delay.IsZero():
			return fmt.Errorf("%w: a batch cannot be delayed: RocketMQ refuses it; send its messages one by one", message.ErrInvalidMessage)
		}
		o.props = o.s.c.appendProperties(o.props[:0], m)
		if err := checkProperties(topic, o.props); err != nil {
			return err
		}
		entry := protocol.BatchEntry{Flag: m.Flag, Body: m.Body, Properties: o.props}
		var err error
		if o.entry, err = protocol.AppendBatchEntry(o.entry, &entry); err != nil {
			return fmt.Errorf("%w: topic %q: %w", message.ErrBodyTooLarge, topic, err)
		}
	}
	if err := o.s.checkSize(topic, len(o.entry)); err != nil {
		return err
	}
	o.props = o.props[:0]
	o.prepare(protocol.SendBatchMessage, topic, 0)
	o.header.Batch = true
	o.body[0] = o.entry
	return nil
}

func (o *sendOp) prepare(code protocol.Code, topic string, flag int32) {
	o.cmd = protocol.ClientRequest(code)
	o.topic = topic
	wire := o.s.c.namespace.wire(topic)
	o.header = protocol.SendRequest{
		Code: code, ProducerGroup: o.s.cfg.Group, Topic: wire,
		DefaultTopic: protocol.DefaultTopic, DefaultTopicQueueNums: autoQueues,
		QueueID: int32(o.q.ID), BornTimestamp: time.Now().UnixMilli(), Flag: flag,
		Properties: o.props, BrokerName: o.q.Broker,
	}
}

// start sends it. done is called by now or later.
func (o *sendOp) start() {
	b, err := o.target()
	if err != nil {
		o.fail(err)
		return
	}
	if conn := b.ready(); conn != nil && b.queueing.Load() == 0 {
		o.startOn(conn)
		return
	}
	before, started := b.lineUp()
	if !o.s.c.run(func() { o.connectAndStart(b, before, started) }) {
		b.stepOut(before, started)
		o.fail(message.ErrClosed)
	}
}

// connectAndStart starts it once there is a connection and those before it have
// started: what one goroutine sends keeps its order.
func (o *sendOp) connectAndStart(b *broker, before <-chan struct{}, started chan struct{}) {
	defer b.stepOut(before, started)
	conn, err := b.connect(o.ctx)
	if err == nil {
		select {
		case <-before:
		case <-o.ctx.Done():
			err = o.ctx.Err()
		}
	}
	if err != nil {
		o.fail(sendError(o.name(), o.q.Broker, b.addr, err))
		return
	}
	o.startOn(conn)
}

func (o *sendOp) startOn(conn *remoting.Conn) {
	if err := o.supported(o.b); err != nil {
		o.fail(err)
		return
	}
	o.holds.Add(1)
	conn.Start(driver.WithoutTimer(o.ctx), &o.cmd, &o.header, o, o.body[:]...)
	o.release()
}

// target finds the broker, whose address is known from the route.
func (o *sendOp) target() (*broker, error) {
	if o.s.closed.Load() {
		return nil, fmt.Errorf("%s: %w", o.name(), message.ErrClosed)
	}
	wire := o.s.c.namespace.wire(o.q.Topic)
	r := o.s.c.routes.known(wire)
	b, err := o.s.c.masterBy(r, o.q)
	if err != nil {
		o.s.c.routes.refresh(wire)
		return nil, fmt.Errorf("%s: %w", o.name(), err)
	}
	if b.vip != "" {
		b = o.s.c.brokers.get(b.vip)
	}
	o.b, o.guessed = b, r.auto
	return b, nil
}

func (o *sendOp) name() string { return "send to topic " + o.topic }

// Complete implements remoting.Completion.
func (o *sendOp) Complete(resp *protocol.Command, err error) {
	var r driver.Receipt
	if err != nil {
		err = o.lost(err)
	} else {
		o.b.sawVersion(resp)
		r, err = o.receipt(resp)
		if err == nil && o.guessed {
			o.s.c.routes.made(o.header.Topic)
		}
	}
	done := o.done
	o.release()
	done(r, err)
}

// fail ends an op that was not started.
func (o *sendOp) fail(err error) {
	done := o.done
	o.release()
	done(driver.Receipt{}, err)
}

// release gives the op back when neither the one who started it nor the answer
// needs it any more.
func (o *sendOp) release() {
	if o.holds.Add(-1) > 0 {
		return
	}
	const keep = 64 << 10 // larger buffers are for the garbage collector
	s := o.s
	if cap(o.entry) > keep {
		o.entry = nil
	}
	o.s, o.ctx, o.done, o.b, o.q = nil, nil, nil, nil, message.Queue{}
	o.body[0], o.topic, o.timer, o.guessed = nil, "", false, false
	o.header = protocol.SendRequest{}
	s.ops.Put(o)
	if s.underWay.Add(-1) == 0 && s.closed.Load() {
		poke(s.idle)
	}
}
