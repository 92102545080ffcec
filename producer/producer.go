package producer

import (
	"context"
	"fmt"
	"sync"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/pacing"
	"github.com/rocketkit/rocketkit/message"
)

// Callback takes the outcome of SendAsync. ctx is the one that SendAsync got,
// which may have ended.
type Callback func(ctx context.Context, r message.SendResult, err error)

// Producer sends messages for one producer group. It is safe for concurrent
// use. It never changes a message.
type Producer struct {
	*core
	sends sends
	alone bool // messages share no request
}

// core is a producer without the options of its sends.
type core struct {
	group     string
	cfg       settings
	sender    driver.Sender
	caps      driver.Capabilities
	flow      flow
	brokers   *brokers
	positions *table[position]
	ops       sync.Pool // of *op
	linger    *linger   // nil: every message has a request of its own
	pacer     pacing.Pacer
	adjusting sync.Mutex

	closing closing
	unwatch func() // ends what the metrics know of it
}

// New makes a producer of a group over a driver. Every mistake in the options
// is reported, joined. The application ends it with Drain, Stop or Close before
// it closes the driver.
func New(d driver.Driver, group string, opts ...Option) (*Producer, error) {
	caps := d.Capabilities()
	cfg, err := newSettings(group, caps, opts)
	if err != nil {
		return nil, err
	}
	sc := driver.SenderConfig{Group: group, MaxMessageSize: cfg.maxMessageSize, Compression: cfg.packing(caps)}
	for _, c := range cfg.checkers { // one, or none
		sc.Check, sc.CheckTopics = tracedCheck(group, cfg.messages, guardedCheck(group, cfg.logger, c)), c.Topics()
	}
	sender, err := d.NewSender(sc)
	if err != nil {
		return nil, fmt.Errorf("producer %q: %w", group, err)
	}
	p := &Producer{sends: cfg.sends, core: &core{
		group: group, cfg: cfg, sender: sender, caps: caps,
		brokers:   newBrokers(cfg.logger.With("group", group), cfg.faultAvoidance, cfg.breaker),
		positions: newTable(newPosition),
	}}
	if cfg.avoidSlow {
		p.brokers.slow = true
		if prober, ok := sender.(driver.Prober); ok {
			p.brokers.probe = p.prober(prober)
		}
	}
	p.flow = flow{
		stopping: make(chan struct{}),
		limit:    cfg.maxInFlight, limitBytes: cfg.maxInFlightBytes,
		maxWorkers: cfg.callbackWorkers, call: p.callBack,
	}
	if cfg.limited {
		p.pacer.Set(cfg.rateLimit)
	}
	if cfg.linger > 0 {
		p.linger = newLinger(p)
	}
	p.closing.done = make(chan struct{})
	p.unwatch = p.watch()
	return p, nil
}

// newSettings applies and checks options.
func newSettings(group string, caps driver.Capabilities, opts []Option) (settings, error) {
	cfg := defaults()
	for _, o := range opts {
		if o == nil {
			cfg.nils++
			continue
		}
		o.applyProducer(&cfg)
	}
	cfg.complete()
	return cfg, cfg.validate(group, caps)
}

// prober asks a broker in a goroutine of its own, which a drain waits for: for a second at
// most. It is called by sends that have begun.
func (p *Producer) prober(d driver.Prober) func(message.Queue, func(error)) {
	return func(q message.Queue, then func(error)) {
		ctx, cancel := context.WithTimeout(context.Background(), mostPatience)
		p.flow.join()
		go func() {
			defer p.flow.leave()
			defer cancel()
			then(d.Probe(ctx, q))
		}()
		p.flow.join()
		go func() { // a stop does not wait for the answer
			defer p.flow.leave()
			select {
			case <-p.flow.stopping:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
}

// Group is the producer group's name.
func (p *Producer) Group() string { return p.group }

// Send sends one message and waits until it is stored or has failed for good.
// See the package's documentation for what the error says.
func (p *Producer) Send(ctx context.Context, m *message.Message) (message.SendResult, error) {
	return p.sync(ctx, single, m, nil)
}

// SendOneway hands one message to the connection and asks for no answer: nil
// says that it is on its way, not that it will arrive.
func (p *Producer) SendOneway(ctx context.Context, m *message.Message) error {
	_, err := p.sync(ctx, oneway, m, nil)
	return err
}

// SendAsync sends one message and calls cb with the outcome.
//
// cb is called exactly once, whatever happens, on a goroutine of the producer's
// own, never the caller's or a connection's. The message no longer counts as in
// flight then, so cb may send, whatever the limit. A panic in cb is logged.
// Callbacks come in no particular order. With a nil cb a failure is logged.
//
// SendAsync itself waits for a place in flight, until ctx ends, and for the
// topic's route when it is not known yet. Messages that one goroutine sends to one
// queue go out in order as long as none of them needs a second attempt. Apache's
// broker, which serves a connection with several threads, may still store them in
// another; broker-lite does not. Who needs the order there waits for each.
// The message must not be changed before the callback.
func (p *Producer) SendAsync(ctx context.Context, m *message.Message, cb Callback) {
	p.sendAsync(ctx, m, nil, cb)
}

// sendAsync is SendAsync; a message that has failed already is not sent.
func (p *Producer) sendAsync(ctx context.Context, m *message.Message, failed error, cb Callback) {
	if cb == nil {
		cb = p.logFailure
	}
	o := p.newOp()
	o.kind, o.cb, o.caller, o.out.Message = single, cb, ctx, m
	if !p.flow.begin() {
		o.err = p.closedError()
		p.flow.refuse(o)
		return
	}
	if failed == nil {
		failed = p.open(ctx, o)
	}
	if failed != nil {
		o.err = failed
		p.flow.finish(o)
		return
	}
	if p.linger.takes(o) {
		p.linger.add(o)
	} else {
		o.attempt()
	}
}

func (p *Producer) logFailure(_ context.Context, _ message.SendResult, err error) {
	if err != nil {
		p.cfg.logger.Error("asynchronous send failed", "group", p.group, "error", err)
	}
}

// callBack runs on a worker.
func (p *Producer) callBack(o *op) {
	topic := ""
	if o.out.Message != nil {
		topic = o.out.Topic
	}
	r, err := o.conclude()
	cb, ctx := o.cb, o.caller
	p.recycle(o)
	p.guard("callback of SendAsync", topic, func() { cb(ctx, r, err) })
}

// sync sends one message and waits; with prepares it, unless it is nil.
func (p *Producer) sync(ctx context.Context, k kind, m *message.Message, with func(*op)) (message.SendResult, error) {
	if !p.flow.begin() {
		return message.SendResult{}, p.closedError()
	}
	o := p.newOp()
	o.kind, o.out.Message = k, m
	if with != nil {
		with(o)
	}
	if o.err = p.open(ctx, o); o.err == nil {
		if p.linger.takes(o) {
			p.linger.add(o)
			<-o.answered
		} else {
			o.run()
		}
	}
	r, err := o.conclude()
	p.flow.vacateAndLeave(o)
	p.recycle(o)
	return r, err
}

// open does what comes before the first attempt: checks, tracing, interceptors,
// a place in flight.
func (p *Producer) open(ctx context.Context, o *op) error {
	m := o.out.Message
	if err := p.check(m); err != nil {
		return err
	}
	if byTime(m.Delay) && !p.caps.TimerMessages {
		o.byLevel()
		m = o.out.Message
	}
	o.size = int64(len(m.Body))
	o.out.ID = p.sender.NewID()
	o.user, o.span = p.cfg.tracer.StartSend(ctx, m, (*properties)(&o.out))
	if len(p.cfg.interceptors) > 0 {
		var err error
		if o.user, o.passed, err = p.before(o.user, &o.out); err != nil {
			return err
		}
	}
	return p.admit(o.user, o)
}

// admit takes a place in flight for o, once the rate allows it.
func (p *Producer) admit(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return &SendError{Group: p.group, Topic: o.lead().Topic, Err: err, safe: true}
	}
	if err := p.pace(ctx, max(1, len(o.batch))); err != nil {
		return fmt.Errorf("producer %s, topic %s: %w", p.group, o.lead().Topic, err)
	}
	if err := p.flow.acquire(ctx, o, p.sends.sendTimeout, p.sends.failFast); err != nil {
		o.ctx = nil // the send has not begun
		return fmt.Errorf("producer %s, topic %s: %w", p.group, o.lead().Topic, err)
	}
	return nil
}

// check refuses a message before anything is done with it.
func (p *Producer) check(m *message.Message) error {
	if m == nil {
		return fmt.Errorf("%w: it is nil", message.ErrInvalidMessage)
	}
	if err := m.Validate(p.cfg.maxMessageSize); err != nil {
		return err
	}
	if byTime(m.Delay) && m.Delay.OrLevel == 0 && !p.caps.TimerMessages {
		return fmt.Errorf("topic %q: a delay by time is %w by this driver; use a delay level, or delay.OrLevel for one where there is no other way", m.Topic, message.ErrUnsupported)
	}
	return nil
}

func byTime(d message.Delay) bool { return d.After != 0 || !d.At.IsZero() }

func (p *Producer) closedError() error {
	return fmt.Errorf("producer %s: %w", p.group, message.ErrClosed)
}
