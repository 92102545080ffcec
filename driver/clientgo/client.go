package clientgo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// Name is what Driver.Name returns and a configuration selects.
const Name = "rocketmq-client-go"

// Intervals that rocketmq-client-go does not let anyone choose
// (internal/client.go, consumer/consumer.go, consumer/push_consumer.go).
const (
	requestTimeout    = 3 * time.Second
	heartbeatInterval = 30 * time.Second
	routeInterval     = 30 * time.Second
	suspendTimeout    = 20 * time.Second
	commitInterval    = 5 * time.Second
)

// Factory makes a driver over rocketmq-client-go. It does not touch the network:
// the name servers may start later. What the configuration asks for and
// rocketmq-client-go cannot do is a message.ErrUnsupported.
func Factory(_ context.Context, cfg driver.Config) (driver.Driver, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := validate(cfg); err != nil {
		return nil, err
	}
	instance := cfg.InstanceName
	if instance == "" {
		instance = strconv.Itoa(os.Getpid()) + "#" + strconv.FormatUint(rand.Uint64(), 36)
	}
	c := &client{
		cfg: cfg, log: cfg.Logger, instance: instance, names: resolver(cfg.NameServers), ids: newIDs(),
		open: make(map[closer]struct{}),
	}
	topics, err := admin.NewAdmin(admin.WithResolver(c.names), admin.WithCredentials(c.credentials()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	c.topics = topics
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c, nil
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
		if strings.Contains(a, "://") {
			errs = append(errs, unsupported("name servers by endpoint "+a, "rocketmq-client-go keeps what such an endpoint answers in a file that all clients of the machine share", "configure host:port addresses or use the native driver"))
		}
	}
	if err := message.CheckNamespace(cfg.Namespace); err != nil {
		errs = append(errs, err)
	}
	refuse := func(wrong bool, what, why, remedy string) {
		if wrong {
			errs = append(errs, unsupported(what, why, remedy))
		}
	}
	refuse(cfg.TLS != nil, "TLS", "it has none at v2.1.2, and never verifies a server in later versions", "use the native driver")
	refuse(cfg.VIPChannel, "the VIP channel", "its option does nothing: a variable of the environment, com.rocketmq.sendMessageWithVIPChannel, decides for the whole process as it starts", "use the native driver")
	refuse(cfg.Dial != nil, "a Dial function of your own", "it dials by itself", "leave Dial nil or use the native driver")
	fixed := func(what string, got, is time.Duration) {
		refuse(got != 0 && got != is, fmt.Sprintf("%s %s", what, got), fmt.Sprintf("its own is always %s", is),
			fmt.Sprintf("leave %s 0 or use the native driver", what))
	}
	fixed("RequestTimeout", cfg.RequestTimeout, requestTimeout)
	fixed("HeartbeatInterval", cfg.HeartbeatInterval, heartbeatInterval)
	fixed("RouteInterval", cfg.RouteInterval, routeInterval)
	return errors.Join(errs...)
}

// resolver gives rocketmq-client-go the name servers. It refuses host names,
// but not behind "http://", which it takes off before it dials.
func resolver(nameServers []string) primitive.NsResolver {
	addrs := make([]string, len(nameServers))
	for i, a := range nameServers {
		addrs[i] = "http://" + a
	}
	return primitive.NewPassthroughResolver(addrs)
}

// client is one driver.Driver. Every sender and subscription has a client of
// rocketmq-client-go to itself: those are kept in a table that the whole process
// shares, by instance name, and one that is found there is used again with the
// credentials and the group of whoever came first.
type client struct {
	cfg      driver.Config
	log      *slog.Logger
	instance string
	names    primitive.NsResolver
	ids      *ids
	topics   admin.Admin // to ask whether a topic exists
	serial   atomic.Uint64

	ctx    context.Context // ends when Close begins; its cause is message.ErrClosed
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // every goroutine of the driver's own, see run

	mu     sync.Mutex // guards the following
	closed bool
	open   map[closer]struct{} // senders and subscriptions that have not ended
}

// closer is a sender or a subscription.
type closer interface {
	shut(ctx context.Context) error
}

// Name implements driver.Driver.
func (c *client) Name() string { return Name }

// Capabilities implements driver.Driver. See the package's documentation for
// what a Capabilities cannot say.
func (c *client) Capabilities() driver.Capabilities {
	return driver.Capabilities{Batch: true, Compression: [...]bool{driver.Zlib: true, driver.Zstd: false}}
}

// wire is what a topic or group is called on the wire, and shown above the seam.
// rocketmq-client-go's own namespaces are not used: it puts one before names that have it
// already, and before RocketMQ's own topics, and takes off all before the last "%".
func (c *client) wire(name string) string  { return message.WithNamespace(c.cfg.Namespace, name) }
func (c *client) shown(name string) string { return message.WithoutNamespace(c.cfg.Namespace, name) }

func (c *client) wireQueue(q message.Queue) message.Queue {
	q.Topic = c.wire(q.Topic)
	return q
}

// nextInstance is a name that no other client of the process has.
func (c *client) nextInstance() string {
	return c.instance + "#" + strconv.FormatUint(c.serial.Add(1), 10)
}

func (c *client) credentials() primitive.Credentials {
	return primitive.Credentials{
		AccessKey: c.cfg.Credentials.AccessKey, SecretKey: c.cfg.Credentials.SecretKey, SecurityToken: c.cfg.Credentials.SecurityToken,
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
	c.wg.Go(f)
	return true
}

// enter keeps a new sender or subscription for Close; false when it is too late.
func (c *client) enter(m closer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.open[m] = struct{}{}
	return true
}

func (c *client) leave(m closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, m)
}

// Close implements driver.Driver. It also ends senders and subscriptions that
// their owners left open. What rocketmq-client-go itself leaves running is
// LeakedFunctions.
func (c *client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	left := make([]closer, 0, len(c.open))
	for m := range c.open {
		left = append(left, m)
	}
	c.mu.Unlock()
	c.cancel(message.ErrClosed)
	var errs []error
	for _, m := range left {
		errs = append(errs, m.shut(ctx))
	}
	if err := c.topics.Close(); err != nil {
		errs = append(errs, fmt.Errorf("close %s: %w", Name, err))
	}
	ended := make(chan struct{})
	go func() {
		c.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("close %s: goroutines are still at work: %w", Name, ctx.Err()))
	}
	return errors.Join(errs...)
}

// routeError says why a topic has no route. rocketmq-client-go has one error for
// every reason, so it is found out whether a name server can be reached at all.
func (c *client) routeError(ctx context.Context, topic string) error {
	var why []error
	for _, addr := range c.cfg.NameServers {
		conn, err := (&net.Dialer{Timeout: requestTimeout}).DialContext(ctx, "tcp", addr)
		if err == nil {
			if err := conn.Close(); err != nil {
				c.log.DebugContext(ctx, "close a connection to a name server", "addr", addr, "error", err)
			}
			return &message.RouteError{Topic: c.shown(topic), NameServers: c.cfg.NameServers, Err: message.ErrNoRoute}
		}
		why = append(why, err)
	}
	return &message.RouteError{Topic: c.shown(topic), NameServers: c.cfg.NameServers, Err: fmt.Errorf("%w: %w", message.ErrNoNameServer, joined(why))}
}

// joined is errors.Join on one line.
type joined []error

func (j joined) Error() string {
	parts := make([]string, len(j))
	for i, err := range j {
		parts[i] = err.Error()
	}
	return strings.Join(parts, ", ")
}

func (j joined) Unwrap() []error { return j }
