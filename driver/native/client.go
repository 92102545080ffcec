package native

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// Name is what Driver.Name returns and a configuration selects.
const Name = "native"

// RocketMQ's own intervals (ClientConfig, BrokerController).
const (
	defaultRequestTimeout = 3 * time.Second
	defaultInterval       = 30 * time.Second
)

// Factory makes a client that speaks the wire protocol itself. It does not
// touch the network: the name servers may start later.
func Factory(_ context.Context, cfg driver.Config) (driver.Driver, error) {
	cfg = withDefaults(cfg)
	if err := validate(cfg); err != nil {
		return nil, err
	}
	levels, err := protocol.ParseDelayLevels(protocol.DefaultDelayLevels)
	if err != nil {
		return nil, err
	}
	addr := localAddr()
	c := &client{
		levels: levels,
		cfg:    cfg, log: cfg.Logger,
		id:      addr.String() + "@" + cfg.InstanceName,
		ids:     protocol.NewIDGenerator(addr, os.Getpid()),
		senders: make(map[string][]*sender), subs: make(map[string]*subscription),
	}
	c.namespace.init(cfg.Namespace)
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.net = remoting.NewClient(remoting.ClientOptions{
		Options: remoting.Options{Logger: cfg.Logger, Handler: c.serve, OnClose: c.connectionLost, Signer: signer(cfg.Credentials)},
		Dial:    cfg.Dial, TLS: cfg.TLS,
	})
	c.asks = workers{c: c, limit: 2, waiting: maxAsked}
	c.names = newNameServers(c, cfg.NameServers)
	c.brokers = newBrokers(c)
	c.routes = newRoutes(c)
	c.beats = newHeartbeats(c)
	if len(c.names.dir.endpoints) > 0 {
		c.run(c.names.dir.loop)
	}
	c.run(c.routes.loop)
	c.run(c.beats.loop)
	return c, nil
}

// withDefaults fills in what cfg leaves out.
func withDefaults(cfg driver.Config) driver.Config {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.RequestTimeout <= 0 {
		cfg.RequestTimeout = defaultRequestTimeout
	}
	if cfg.HeartbeatInterval <= 0 {
		cfg.HeartbeatInterval = defaultInterval
	}
	if cfg.RouteInterval <= 0 {
		cfg.RouteInterval = defaultInterval
	}
	if cfg.InstanceName == "" {
		cfg.InstanceName = strconv.Itoa(os.Getpid()) + "#" + strconv.FormatUint(rand.Uint64(), 36)
	}
	return cfg
}

func validate(cfg driver.Config) error {
	var errs []error
	if len(cfg.NameServers) == 0 {
		errs = append(errs, errors.New("no name servers are configured; give at least one \"host:port\""))
	}
	for _, a := range cfg.NameServers {
		if a == "" {
			errs = append(errs, errors.New("a name server's address is empty"))
		}
	}
	if err := message.CheckNamespace(cfg.Namespace); err != nil {
		errs = append(errs, err)
	}
	if c := cfg.Credentials; c != (driver.Credentials{}) && (c.AccessKey == "" || c.SecretKey == "") {
		errs = append(errs, errors.New("credentials have no access key or no secret key; give both, or none for servers without ACL"))
	}
	return errors.Join(errs...)
}

// signer signs every request, to name servers too, as Java's client does; nil without
// credentials.
func signer(c driver.Credentials) *protocol.Signer {
	if c == (driver.Credentials{}) {
		return nil
	}
	return protocol.NewSigner(c.AccessKey, c.SecretKey, c.SecurityToken)
}

// client is one driver.Driver. Nothing of it is shared with another.
type client struct {
	cfg driver.Config
	log *slog.Logger
	id  string // as brokers know it; unique unless Config.InstanceName was not
	ids *protocol.IDGenerator
	// namespace has the two names of each topic and group.
	namespace namespace
	// levels are the defaults of messageDelayLevel; clients are not told of others.
	levels protocol.DelayLevels

	ctx    context.Context // ends when Close begins; its cause is message.ErrClosed
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // every goroutine of the client, see run

	net     *remoting.Client
	names   *nameServers
	routes  *routes
	brokers *brokers
	beats   *heartbeats
	asks    workers // of administrators' questions
	replies replies

	mu      sync.Mutex // guards the following
	closed  bool
	senders map[string][]*sender     // by producer group
	subs    map[string]*subscription // by consumer group
}

// Name implements driver.Driver.
func (c *client) Name() string { return Name }

// Capabilities implements driver.Driver.
func (c *client) Capabilities() driver.Capabilities {
	return driver.Capabilities{Batch: true, Transactions: true, TimerMessages: true, ExactRetryDelay: true, Ordered: true, Broadcast: true, Compression: [...]bool{driver.Zlib: true, driver.LZ4: true, driver.Zstd: true}}
}

// Close implements driver.Driver. It may be called again; later calls wait too.
func (c *client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel(message.ErrClosed)
	err := c.net.Close(ctx)
	ended := make(chan struct{})
	go func() {
		c.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return err
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("close client %s: goroutines are still at work: %w", c.id, ctx.Err()))
	}
}

// run starts a goroutine that Close waits for. It is a no-op on a closed client
// and then returns false.
func (c *client) run(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		f()
	}()
	return true
}

// groups are the names that a heartbeat registers, copied.
func (c *client) groups() (producers []string, consumers []*subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for g := range c.senders {
		producers = append(producers, g)
	}
	for _, s := range c.subs {
		consumers = append(consumers, s)
	}
	return producers, consumers
}

func (c *client) subscription(group string) *subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.subs[group]
}

// checker is a sender of the group that can answer about transactions.
func (c *client) checker(group string) *sender {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.senders[group] {
		if s.cfg.Check != nil {
			return s
		}
	}
	return nil
}

// routeChanged is told when a topic's snapshot was replaced by a different one.
func (c *client) routeChanged(topic string) {
	c.beats.kick()
	_, subs := c.groups()
	for _, s := range subs {
		if s.takes(topic) {
			s.kick()
		}
	}
}

// bounded is ctx with the driver's own time limit for one request.
func (c *client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.cfg.RequestTimeout)
}
