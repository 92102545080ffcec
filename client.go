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
	cfg    Config // as it was opened with
	driver driver.Driver
	log    *slog.Logger
	level  *slog.LevelVar // of log
	chosen func(driver string) string
	tracer *trace.Tracer
	admins admins
	traced messageTrace

	closed chan struct{} // closed when the driver is
	err    error         // final when closed is

	reloading sync.Mutex // one Reload at a time; held while members are adjusted

	mu      sync.Mutex // guards the following
	closing bool
	now     *Config  // as it was reloaded; what it points to is not changed
	members []made   // in order
	readers []reader // in order; some are gone
}

// member is a producer or consumer.
type member interface {
	Runner
	Closed() <-chan struct{}
}

// made is a member and how it takes another configuration; nil: not at all.
type made struct {
	member
	adjust func(from, to *Config) error
}

// Open makes a client. It does not wait for the network: servers may start
// later. Without name servers in cfg, NAMESRV_ADDR gives them. Every mistake in
// cfg and opts is reported, joined; a driver that the program does not link is a
// *DriverError.
func Open(ctx context.Context, cfg Config, opts ...Option) (*Client, error) {
	s := newSettings(opts)
	level := s.levels()
	cfg.Driver = s.chosen(cfg.Driver)
	cfg = cfg.WithDefaults()
	if err := errors.Join(s.validate(), cfg.Validate()); err != nil {
		return nil, err
	}
	setLevel(level, cfg.LogLevel)
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
	c := &Client{cfg: cfg, now: &cfg, driver: d, log: s.logger, level: level, chosen: s.chosen, tracer: s.tracer(cfg, d), traced: traced, closed: make(chan struct{}), admins: admins{cfg: dc, driver: d}}
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
	return adopt(c, func(cfg *Config) (*producer.Producer, error) {
		return producer.New(c.driver, group, append(c.producerOptions(cfg), opts...)...)
	}, func(p *producer.Producer, _, to *Config) error {
		return p.Adjust(append(c.producerOptions(to), opts...)...)
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
	group := mux.Group()
	return adopt(c, func(cfg *Config) (*consumer.Consumer, error) {
		made, err := consumer.New(c.driver, mux, append(c.consumerOptions(cfg, group), opts...)...)
		if err != nil {
			return nil, err
		}
		if err := pauseAsSaid(made, nil, pausedHandlers(cfg, group)); err != nil {
			return nil, errors.Join(err, made.Stop(context.Background()))
		}
		return made, nil
	}, func(made *consumer.Consumer, from, to *Config) error {
		if err := made.Adjust(append(c.consumerOptions(to, group), opts...)...); err != nil {
			return err
		}
		return pauseAsSaid(made, pausedHandlers(from, group), pausedHandlers(to, group))
	})
}

// adopt makes a member of the client by the configuration as it is now. adjust, unless
// it is nil, is told of each that is reloaded.
func adopt[M member](c *Client, newMember func(*Config) (M, error), adjust func(m M, from, to *Config) error) (M, error) {
	var none M
	for {
		cfg, err := c.open()
		if err != nil {
			return none, err
		}
		m, err := newMember(cfg)
		if err != nil {
			return none, err
		}
		one := made{member: m}
		if adjust != nil {
			one.adjust = func(from, to *Config) error { return adjust(m, from, to) }
		}
		if c.keep(one, cfg) {
			return m, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err = m.Drain(ctx)
		cancel()
		if err != nil {
			return none, err
		}
	}
}

// keep adds a member, unless the client has been closed meanwhile or reloaded.
func (c *Client) keep(m made, cfg *Config) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.now != cfg {
		return false
	}
	c.members = append(slices.DeleteFunc(c.members, isClosed), m)
	return true
}

func isClosed(m made) bool {
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

// Close is Drain within DrainTimeout.
func (c *Client) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), DrainTimeout)
	defer cancel()
	return c.Drain(ctx)
}
