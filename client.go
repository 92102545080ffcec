package rocketkit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/trace"
)

// Config configures a Client; config/load fills one from a file and the
// environment.
type Config = config.Config

// Client is one connection to one cluster: a driver, and the producers and
// consumers made with it. Any number of clients may be open. It is safe for
// concurrent use.
type Client struct {
	cfg    Config
	driver driver.Driver
	log    *slog.Logger
	tracer *trace.Tracer
	admins admins
	traced messageTrace

	closed chan struct{} // closed when the driver is
	err    error         // final when closed is

	mu      sync.Mutex // guards the following
	closing bool
	members []member // what was made, in order
}

// member is a producer or consumer.
type member interface {
	Runner
	Closed() <-chan struct{}
}

// Open makes a client. It does not wait for the network: servers may start
// later. Without name servers in cfg, NAMESRV_ADDR gives them. Every mistake in
// cfg and opts is reported, joined; a driver that the program does not link is a
// *DriverError.
func Open(ctx context.Context, cfg Config, opts ...Option) (*Client, error) {
	s := newSettings(opts)
	cfg.Driver = s.chosen(cfg.Driver)
	cfg = cfg.WithDefaults()
	if err := errors.Join(s.validate(), cfg.Validate()); err != nil {
		return nil, err
	}
	factory, err := s.factory(cfg.Driver)
	if err != nil {
		return nil, err
	}
	dc, err := s.driverConfig(cfg)
	if err != nil {
		return nil, err
	}
	d, err := factory(ctx, dc)
	if err != nil {
		return nil, fmt.Errorf("open with driver %s: %w", cfg.Driver, err)
	}
	traced, err := s.openMessageTrace(ctx, cfg, d, dc)
	if err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	c := &Client{cfg: cfg, driver: d, log: s.logger, tracer: s.tracer(cfg, d), traced: traced, closed: make(chan struct{}), admins: admins{cfg: dc, driver: d}}
	return c, nil
}

// Namespace is what the configuration says, "" for none.
func (c *Client) Namespace() string { return c.cfg.Namespace }

// NewProducer makes a producer of a group, "" for the configured one. It can
// send at once. Options win over the configuration. It ends with the client, or
// earlier with its own Drain, Stop or Close.
func (c *Client) NewProducer(group string, opts ...producer.Option) (*producer.Producer, error) {
	if group == "" {
		group = c.cfg.Producer.Group
	}
	return adopt(c, func() (*producer.Producer, error) {
		return producer.New(c.driver, group, append(c.producerOptions(), opts...)...)
	})
}

// NewConsumer makes a consumer of the handlers in mux; Start, or Run, lets it
// receive. Every mistake in the registrations is reported, joined. What is
// configured for the group wins over mux's options, and opts over both. It ends
// with the client, or earlier with its own Drain or Stop.
func (c *Client) NewConsumer(mux *consumer.Mux, opts ...consumer.GroupOption) (*consumer.Consumer, error) {
	if mux == nil {
		return nil, errors.New("new consumer: the mux is nil; make one with consumer.NewMux")
	}
	return adopt(c, func() (*consumer.Consumer, error) {
		return consumer.New(c.driver, mux, append(c.consumerOptions(mux.Group()), opts...)...)
	})
}

// adopt makes a member of the client.
func adopt[M member](c *Client, newMember func() (M, error)) (M, error) {
	var none M
	if err := c.open(); err != nil {
		return none, err
	}
	m, err := newMember()
	if err != nil {
		return none, err
	}
	c.mu.Lock()
	if c.closing { // meanwhile
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return none, errors.Join(fmt.Errorf("client: %w", message.ErrClosed), m.Drain(ctx))
	}
	c.members = append(slices.DeleteFunc(c.members, isClosed), m)
	c.mu.Unlock()
	return m, nil
}

func isClosed(m member) bool {
	select {
	case <-m.Closed():
		return true
	default:
		return false
	}
}

// Start does nothing: a client is open from Open on. With it a client is a
// Runner, and Run closes it after what it is given behind it.
func (c *Client) Start(context.Context) error { return nil }

// Drain drains the client's producers and consumers that have not ended, the
// latest first, and closes its connections. When ctx ends first, what is left is
// cut off, all at once and in about two seconds, and the error says so.
func (c *Client) Drain(ctx context.Context) error {
	c.mu.Lock()
	first := !c.closing
	c.closing = true
	members := slices.DeleteFunc(slices.Clone(c.members), isClosed)
	c.mu.Unlock()
	if !first {
		select {
		case <-c.closed:
			return c.err
		case <-ctx.Done():
			return fmt.Errorf("client is still closing: %w", ctx.Err())
		}
	}
	defer close(c.closed)
	errs := drainInTurn(ctx, members)
	if deadline, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(deadline) < driverGrace {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), driverGrace)
		defer cancel()
		ctx = grace
	}
	if err := c.traced.close(ctx); err != nil {
		errs = append(errs, err)
	}
	if err := c.admins.close(ctx); err != nil {
		errs = append(errs, err)
	}
	if err := c.driver.Close(ctx); err != nil {
		errs = append(errs, fmt.Errorf("close driver %s: %w", c.cfg.Driver, err))
	}
	c.err = errors.Join(errs...)
	return c.err
}

// driverGrace is the least that a driver gets to close, however long the members
// have taken.
const driverGrace = time.Second

// drainInTurn drains members, the latest first. When ctx ends those that are left
// are cut off at once, not each after the other's last moment.
func drainInTurn(ctx context.Context, members []member) []error {
	errs := make([]error, len(members))
	var wg sync.WaitGroup
	for i, m := range slices.Backward(members) {
		over := make(chan struct{})
		wg.Go(func() {
			defer close(over)
			errs[i] = m.Drain(ctx)
		})
		select {
		case <-over:
		case <-ctx.Done():
		}
	}
	wg.Wait()
	slices.Reverse(errs)
	return errs
}

// Close is Drain within DrainTimeout.
func (c *Client) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), DrainTimeout)
	defer cancel()
	return c.Drain(ctx)
}

// producerOptions are what the configuration says of producers.
func (c *Client) producerOptions() []producer.Option {
	p := c.cfg.Producer
	opts := []producer.Option{producer.Logger(c.log), producer.Tracer(c.tracer), producer.MessageTrace(c.traced.tracer)}
	add := func(set bool, o producer.Option) {
		if set {
			opts = append(opts, o)
		}
	}
	add(p.SendTimeout > 0, producer.SendTimeout(p.SendTimeout))
	if p.Retries != nil {
		opts = append(opts, producer.Retries(*p.Retries))
	}
	add(p.RetryUnknownOutcome, producer.RetryUnknownOutcome())
	add(p.MaxMessageSize > 0, producer.MaxMessageSize(int(p.MaxMessageSize)))
	add(p.Compression == "none", producer.NoCompression())
	add(p.Compression != "none" && (p.Compression != "" || p.CompressOver > 0), producer.Compress(compression(p)))
	add(p.MaxInFlight > 0, producer.MaxInFlight(p.MaxInFlight))
	add(p.MaxInFlightBytes > 0, producer.MaxInFlightBytes(int64(p.MaxInFlightBytes)))
	add(p.FailFast, producer.FailFast())
	add(p.AvoidSlow, producer.AvoidSlow())
	add(p.Linger > 0, producer.Linger(p.Linger))
	add(p.BatchBytes > 0, producer.BatchBytes(int(p.BatchBytes)))
	add(p.RateLimit > 0, producer.RateLimit(p.RateLimit))
	add(p.RequireDurable, producer.RequireDurable())
	if p.RetryAsync != nil {
		opts = append(opts, producer.RetryAsync(*p.RetryAsync))
	}
	if b := p.Breaker; b.Enabled != nil && !*b.Enabled {
		return append(opts, producer.NoBreaker())
	}
	return append(opts, producer.Breaker(producer.BreakerSettings{Failures: p.Breaker.Failures, OpenFor: p.Breaker.OpenFor}))
}

// compression is what the configuration, which has been validated, says of it.
func compression(p config.Producer) driver.Compression {
	c := driver.Compression{Over: 4 << 10}
	if p.CompressOver > 0 {
		c.Over = int(p.CompressOver)
	}
	for k := range driver.Zstd + 1 {
		if k.String() == p.Compression {
			c.Kind = k
		}
	}
	return c
}

// consumerOptions are what the configuration says of a consumer group.
func (c *Client) consumerOptions(group string) []consumer.GroupOption {
	opts := []consumer.GroupOption{consumer.Logger(c.log), consumer.Tracer(c.tracer), consumer.MessageTrace(c.traced.tracer)}
	cc, _ := c.cfg.ConsumerOf(group)
	add := func(set bool, o consumer.GroupOption) {
		if set {
			opts = append(opts, o)
		}
	}
	add(cc.From == "last", consumer.From(consumer.Last))
	add(cc.From == "first", consumer.From(consumer.First))
	if t, err := time.Parse(time.RFC3339, cc.From); err == nil {
		opts = append(opts, consumer.FromTime(t))
	}
	add(cc.Concurrency > 0, consumer.Concurrency(cc.Concurrency))
	add(cc.PullBatch > 0, consumer.PullBatch(cc.PullBatch))
	add(cc.Model == "broadcasting", consumer.Broadcast())
	add(cc.Instance != "", consumer.Instance(cc.Instance))
	add(cc.OffsetDir != "", consumer.OffsetDir(cc.OffsetDir))
	add(cc.Order == "queue", consumer.Ordered())
	add(cc.Order == "sharding_key", consumer.OrderedBy((*message.Delivery).ShardingKey))
	add(cc.Suspend > 0, consumer.Suspend(cc.Suspend))
	if cc.MaxRetries != nil {
		opts = append(opts, consumer.MaxRetries(*cc.MaxRetries))
	}
	add(cc.ConsumeTimeout > 0, consumer.Timeout(cc.ConsumeTimeout))
	add(cc.ShutdownTimeout > 0, consumer.ShutdownTimeout(cc.ShutdownTimeout))
	for _, h := range cc.Handlers {
		add(h.Enabled != nil && !*h.Enabled, consumer.Disable(h.Name))
		add(h.Concurrency > 0, consumer.ForHandler(h.Name, consumer.Concurrency(h.Concurrency)))
	}
	return opts
}
