package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// Consumer receives messages of one group and runs its handlers. Make it with
// New, or with the client's NewConsumer. It is used once: after Drain or Stop it
// does not start again. Its methods may be called concurrently.
type Consumer struct {
	group           string
	log             *slog.Logger
	shutdownTimeout time.Duration
	subs            []driver.Subscription // the group's own, then that of its dead letters
	pools           []*pool
	byEntry         []*pool // by the plan's entries; nil for dead letters that nobody takes
	drv             driver.Driver
	mux             *Mux // as it was
	given           *Mux // to New; it should not have changed since
	adjusting       sync.Mutex
	skipped         atomic.Int64 // see Skipped
	tracer          *trace.Tracer
	unwatch         []func() // end what the metrics know of it

	hurried  context.Context // ends when Stop is called: a drain under way is cut short
	hurry    context.CancelFunc
	begun    chan struct{} // closed when Start is through; startErr is final then
	startErr error
	closed   chan struct{} // closed when Drain or Stop is through; endErr is final then
	endErr   error
	calm     chan struct{} // ends the watchdog
	watchdog sync.WaitGroup

	mu    sync.Mutex // guards the following
	state state
}

// state of a Consumer; it only goes up.
type state int

const (
	idle state = iota
	started
	ending
)

// enter moves to a state unless it was reached before, and returns the one
// before.
func (c *Consumer) enter(s state) state {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.state
	c.state = max(before, s)
	return before
}

// New makes a consumer of what mux holds. Its error is a *RegistrationError with
// every mistake that was made on the way here, or what the driver refuses. opts
// win over those of NewMux. Nothing is received before Start; a consumer that is
// never started is ended by Stop.
func New(drv driver.Driver, mux *Mux, opts ...GroupOption) (*Consumer, error) {
	p := newPlan(mux, opts)
	p.validate(drv.Capabilities(), drv.Name())
	if err := p.err(); err != nil {
		return nil, err
	}
	c := &Consumer{
		group:           p.group,
		log:             p.logger(),
		shutdownTimeout: p.opts.shutdownTimeout.or(defaultShutdownTimeout),
		byEntry:         make([]*pool, len(p.entries)),
		drv:             drv,
		mux:             mux.clone(),
		given:           mux,
		begun:           make(chan struct{}),
		closed:          make(chan struct{}),
		calm:            make(chan struct{}),
		tracer:          p.opts.tracer,
	}
	c.hurried, c.hurry = context.WithCancel(context.Background())
	if err := c.subscribe(drv, p); err != nil {
		return nil, err
	}
	return c, nil
}

// subscribe makes the pools and the driver's subscriptions.
func (c *Consumer) subscribe(drv driver.Driver, p *plan) error {
	main := &sink{topics: make(map[string]*route), tracer: c.tracer, log: c.log.With(slog.String("group", p.group))}
	order, byTopic := p.topics()
	for _, topic := range order {
		main.topics[topic] = c.route(p, byTopic[topic])
	}
	if cfg := p.subscription(); len(cfg.Topics) > 0 {
		if err := c.newSubscription(drv, cfg, main); err != nil {
			return err
		}
	}
	for _, e := range p.dead() {
		if e.disabled {
			continue
		}
		cfg := p.common(dlqGroup(p.group), First)
		cfg.Topics = []driver.TopicFilter{{Topic: e.topic, Type: driver.ExpressionTag, Expression: "*"}}
		cfg.MaxRetries = math.MaxInt32
		if err := c.newSubscription(drv, cfg, &sink{only: c.pool(p, e)}); err != nil {
			return err
		}
	}
	return nil
}

func (c *Consumer) newSubscription(drv driver.Driver, cfg driver.SubscriptionConfig, s *sink) error {
	cfg.OnSendBack = sendBacks(c.tracer)
	sub, err := drv.NewSubscription(cfg, s)
	if err != nil {
		err = fmt.Errorf("consumer group %q: %w", cfg.Group, err)
		if stopErr := c.Stop(context.Background()); stopErr != nil {
			err = fmt.Errorf("%w; and ending what was begun: %w", err, stopErr)
		}
		return err
	}
	c.subs = append(c.subs, sub)
	c.watch(cfg.Group, sub)
	return nil
}

// route makes the pools of a topic's handlers.
func (c *Consumer) route(p *plan, entries []*entry) *route {
	r := &route{byTag: make(map[string]*pool)}
	for _, e := range entries {
		pool := c.pool(p, e)
		if len(e.tags) == 0 {
			r.all = pool
		}
		for _, tag := range e.tags {
			r.byTag[tag] = pool
		}
	}
	return r
}

func (c *Consumer) pool(p *plan, e *entry) *pool {
	g := &p.opts.common
	group := p.group
	if e.dlq {
		group = dlqGroup(group)
	}
	var skipped *atomic.Int64
	if p.opts.broadcast {
		skipped = &c.skipped
	}
	h := &handler{
		name:        e.name,
		group:       group,
		concurrency: p.concurrency(e),
		timeout:     e.timeout.or(g.timeout.or(defaultTimeout)),
		policy:      e.policyOr(g),
		strict:      p.opts.strictRetryDelay,
		disabled:    e.disabled,
		dlq:         e.dlq,
		suspend:     p.suspension(e),
		skipped:     skipped,
		broadcast:   p.opts.broadcast,
		dedup:       e.dedup.over(g.dedup).value,
		tracer:      p.opts.tracer,
		messages:    p.opts.messages,
		log:         c.log.With(slog.String("group", group), slog.String("handler", e.name)),
	}
	if e.newBatch != nil {
		h.batches = e.newBatch(group, e.name, e.codecOr(g))
		h.batchSize, h.batchWait = p.batchSize(e), e.batchWait.value
	} else {
		h.runner = e.newTyped(group, e.name, e.codecOr(g), p.middleware)
	}
	pool := newPool(h)
	e.pace(pool)
	c.pools = append(c.pools, pool)
	c.byEntry[slices.Index(p.entries, e)] = pool
	return pool
}

// Group is the consumer group's name.
func (c *Consumer) Group() string { return c.group }

// Closed is closed when Drain or Stop is over.
func (c *Consumer) Closed() <-chan struct{} { return c.closed }

// late says what the mux was given after New, which has taken what it had then.
func (c *Consumer) late() error {
	var mistakes []error
	for _, r := range c.given.registrations[len(c.mux.registrations):] {
		what := "a handler of topic " + strconv.Quote(r.topic)
		if r.dlq {
			what = "a handler of dead letters"
		}
		mistakes = append(mistakes, fmt.Errorf("%s was registered when the consumer had been made, so that it would get nothing; register it before", what))
	}
	if len(c.given.middleware) > len(c.mux.middleware) {
		mistakes = append(mistakes, errors.New("middleware was given to Mux.Use when the consumer had been made, so that it would see nothing; give it before"))
	}
	if mistakes = append(mistakes, c.given.mistakes...); len(mistakes) == 0 {
		return nil
	}
	return &RegistrationError{Where: fmt.Sprintf("start consumer group %q", c.group), Mistakes: mistakes}
}

// Start begins to receive. It does not wait for servers or topics: both may come
// later. ctx bounds the start only. A second Start does nothing more; one after
// Drain or Stop is message.ErrClosed, and one whose mux has got handlers or middleware
// since New a *RegistrationError. After an error, Stop ends what was begun.
func (c *Consumer) Start(ctx context.Context) error {
	switch c.enter(started) {
	case started:
		select {
		case <-c.begun:
			return c.startErr
		case <-ctx.Done():
			return fmt.Errorf("start consumer group %q: %w", c.group, ctx.Err())
		}
	case ending:
		return fmt.Errorf("start consumer group %q: %w: a consumer starts once; make a new one", c.group, message.ErrClosed)
	case idle:
	}
	defer close(c.begun)
	c.watchdog.Go(func() { watch(c.pools, c.calm) })
	if c.startErr = c.late(); c.startErr != nil {
		return c.startErr
	}
	for _, sub := range c.subs {
		if err := sub.Start(ctx); err != nil {
			c.startErr = fmt.Errorf("start consumer group %q: %w", c.group, err)
			break
		}
	}
	return c.startErr
}

// Drain stops receiving, lets the handlers finish everything that was received,
// commits it and leaves the group. When ctx ends or the ShutdownTimeout is over,
// it goes on like Stop, and its error says what was left; such messages are
// delivered again, to this group's other members or later. A handler must not
// call it.
func (c *Consumer) Drain(ctx context.Context) error {
	return c.end(ctx, c.hurried, driver.Subscription.Drain)
}

// Stop discards what was received: the ctx of running handlers ends and what they
// return does not count. It waits for them until ctx ends or the ShutdownTimeout
// is over; a handler that ignores its ctx and still runs then is named by the
// error, which is ErrUnfinished. Stop also cuts short a Drain that is under way.
func (c *Consumer) Stop(ctx context.Context) error {
	c.hurry()
	return c.end(ctx, context.Background(), driver.Subscription.Stop)
}

// stopGrace is how long handlers get to notice that their ctx has ended, also
// when the caller's time is over.
const stopGrace = time.Second

// end shuts down, or waits for the shutdown that is under way.
func (c *Consumer) end(ctx, hurried context.Context, how func(driver.Subscription, context.Context) error) error {
	before := c.enter(ending)
	if before == ending {
		select {
		case <-c.closed:
			return c.endErr
		case <-ctx.Done():
			return fmt.Errorf("consumer group %q is still ending: %w", c.group, ctx.Err())
		}
	}
	limit, cancel := context.WithTimeout(ctx, c.shutdownTimeout)
	defer cancel()
	inTime, cut := context.WithCancel(limit)
	defer cut()
	defer context.AfterFunc(hurried, cut)()
	if before == started {
		select {
		case <-c.begun:
		case <-inTime.Done():
		}
	}
	for _, p := range c.pools {
		p.unpause()
	}
	c.endErr = errors.Join(c.leave(inTime, how), c.await(limit))
	for _, p := range c.pools {
		if k := p.handler.killSwitch; k != nil {
			k.stop()
		}
	}
	close(c.calm)
	c.watchdog.Wait()
	for _, stop := range c.unwatch {
		stop()
	}
	c.hurry()
	close(c.closed)
	return c.endErr
}

// leave ends the subscriptions, all at once.
func (c *Consumer) leave(ctx context.Context, how func(driver.Subscription, context.Context) error) error {
	errs := make([]error, len(c.subs))
	var wg sync.WaitGroup
	for i, sub := range c.subs {
		wg.Go(func() {
			if err := how(sub, ctx); err != nil {
				errs[i] = fmt.Errorf("end consumer group %q: %w", c.group, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// await ends the pools and waits for their workers.
func (c *Consumer) await(limit context.Context) error {
	for _, p := range c.pools {
		p.close()
	}
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	timeUp := limit.Done()
	for i := 0; i < len(c.pools); {
		var tooLate <-chan time.Time
		if timeUp == nil {
			tooLate = grace.C
		}
		select {
		case <-c.pools[i].ended:
			i++
		case <-timeUp:
			timeUp = nil
		case <-tooLate:
			return c.unfinished()
		}
	}
	return nil
}

// unfinished names the handlers that still run.
func (c *Consumer) unfinished() error {
	var names []string
	for _, p := range c.pools {
		for _, call := range p.running(nil) {
			names = append(names, fmt.Sprintf("%q with %s for %s", p.handler.name, call.what(), time.Since(call.start).Round(time.Millisecond)))
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("consumer group %q: %w: its workers have not ended yet", c.group, ErrUnfinished)
	}
	slices.Sort(names)
	return fmt.Errorf("consumer group %q: %w: %s; a handler must return when its ctx ends", c.group, ErrUnfinished, strings.Join(names, ", "))
}
