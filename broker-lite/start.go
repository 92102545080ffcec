package brokerlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/broker"
	"github.com/rocketkit/rocketkit/broker-lite/internal/clock"
	"github.com/rocketkit/rocketkit/broker-lite/internal/config"
	"github.com/rocketkit/rocketkit/broker-lite/internal/namesrv"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// Broker is a running server. Start makes one.
type Broker struct {
	plan   *plan
	logger *slog.Logger
	dial   remoting.DialFunc
	fs     vfs.FS
	tmp    string // removed by Close
	faults *faults

	names      *namesrv.NameServer
	nameServer *server
	nameAddr   string            // host:port, for clients
	dialInside remoting.DialFunc // reaches the name server past TLS; nil where plain connections do
	client     *remoting.Client
	broker     *broker.Broker
	server     *server
	addr       string // host:port that clients dial

	http  *httpServer  // nil without an address
	phase atomic.Int32 // a phase; names and broker may be read by others from running on

	close    sync.Once
	closeErr error
}

// server is a remoting.Server with its accept loops.
type server struct {
	*remoting.Server
	l      net.Listener
	vip    net.Listener // nil without a VIP channel
	inside net.Listener // see listenInside; nil without
	served chan error   // of capacity 1: what the accept loops returned
}

// serve begins to accept.
func (s *server) serve() {
	vip, inside := make(chan error, 1), make(chan error, 1)
	loop := func(l net.Listener, serve func(net.Listener) error, served chan<- error) {
		if l == nil {
			served <- nil
			return
		}
		served <- serve(l)
	}
	go loop(s.vip, s.Serve, vip)
	go loop(s.inside, s.ServePlain, inside)
	go func() { s.served <- errors.Join(s.Serve(s.l), <-vip, <-inside) }()
}

// Start starts a server, and returns when clients can use it: the broker has
// recovered its store and is registered. Name servers elsewhere that cannot be
// reached are not waited for. ctx bounds the start. The server runs until
// Close, whatever becomes of ctx.
func Start(ctx context.Context, opts ...Option) (*Broker, error) {
	p, err := validate(opts)
	if err := errors.Join(err, p.secure()); err != nil {
		return nil, fmt.Errorf("broker-lite: %w", err)
	}
	b := &Broker{plan: p, logger: p.logger, faults: newFaults(p.logger)}
	p.warn()
	b.dial = new(net.Dialer).DialContext
	if p.network != nil {
		b.dial = p.network.Dial
	}
	err = b.startHTTP()
	if err == nil {
		err = b.start(ctx)
	}
	if err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return nil, fmt.Errorf("broker-lite: %w", errors.Join(err, b.Close(closing)))
	}
	b.at(running)
	return b, nil
}

// registerPatience is how long a broker's start waits for name servers elsewhere.
const registerPatience = 3 * time.Second

// closeTimeout bounds the clean-up after a start that has failed.
const closeTimeout = 5 * time.Second

func (b *Broker) start(ctx context.Context) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.fs, err = b.files(&b.plan.config); err != nil {
		return err
	}
	if b.plan.role != RoleBroker {
		if err := b.startNameServer(); err != nil {
			return err
		}
	}
	if b.plan.role == RoleNameServer {
		return nil
	}
	return b.startBroker(ctx)
}

func (b *Broker) listen(addr string) (net.Listener, error) {
	if b.plan.network != nil {
		return b.plan.network.Listen(addr)
	}
	return net.Listen("tcp", addr)
}

func (b *Broker) startNameServer() error {
	c := b.plan.config
	c.ListenPort = b.plan.nameServer
	l, err := b.listen(c.ListenAddr())
	if err != nil {
		return listenError("name server", c.ListenAddr(), "--namesrv-port, or brokerlite.NameServerPort", err)
	}
	b.nameAddr = dialable(l, c.BindAddress)
	dir := filepath.Join(c.StorePath, "namesrv")
	b.names, err = namesrv.New(namesrv.Options{
		Logger: b.logger, FS: b.fs, Dir: dir,
		Config: map[string]string{
			"bindAddress": c.BindAddress, "listenPort": strconv.Itoa(portOf(l)),
			"kvConfigPath": filepath.Join(dir, "kvConfig.json"), "configStorePath": filepath.Join(dir, "namesrv.properties"),
		},
	})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	inside, err := b.listenInside()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	b.nameServer = &server{l: l, inside: inside, served: make(chan error, 1), Server: remoting.NewServer(b.limited(remoting.ServerOptions{
		Options: remoting.Options{Logger: b.logger, Handler: b.faults.handler(true, b.names.Handle, b.names.Handle), OnClose: b.names.ConnClosed, IdleTimeout: idleTimeout},
		TLS:     b.plan.tls, RequireTLS: b.plan.tlsOnly(),
	}))}
	b.nameServer.serve()
	return nil
}

// idleTimeout closes connections that say nothing, as Apache's servers do.
const idleTimeout = 120 * time.Second

// dialable is a listener's address as this machine reaches it.
func dialable(l net.Listener, bind string) string {
	host := bind
	if ip := net.ParseIP(bind); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(portOf(l)))
}

func portOf(l net.Listener) int {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}

func (b *Broker) startBroker(ctx context.Context) error {
	c := &b.plan.config
	host, err := b.advertise(c)
	if err != nil {
		return err
	}
	l, err := b.listen(c.ListenAddr())
	if err != nil {
		return listenError("broker", c.ListenAddr(), "--broker-port, listenPort in broker.conf, or brokerlite.BrokerPort", err)
	}
	b.server = &server{l: l, served: make(chan error, 1)}
	port := portOf(l)
	b.addr = net.JoinHostPort(host, strconv.Itoa(port))
	if b.nameAddr != "" {
		c.NameServers = append([]string{b.nameAddr}, without(c.NameServers, b.nameAddr)...)
	}
	b.client = b.newClient()
	clk := b.plan.clock
	if clk == nil {
		clk = clock.System()
	}
	b.broker, err = broker.Open(ctx, broker.Options{
		Config: *c, FS: b.fs, Clock: clk, Logger: b.logger, Host: host, Port: port, Client: b.client,
		StrictOffsets: b.plan.strict, ConfFile: b.plan.confFile, Reply: b.faults.reply,
	})
	if errors.Is(err, vfs.ErrLocked) {
		err = fmt.Errorf("%w; does another server use that directory? stop it, or choose another: --data-dir, storePathRootDir and storePathCommitLog in broker.conf, or brokerlite.Dir", err)
	}
	if err != nil {
		return err
	}
	b.server.Server = remoting.NewServer(b.limited(remoting.ServerOptions{
		Options: remoting.Options{
			Logger: b.logger, Handler: b.faults.handler(false, b.broker.Handle, b.broker.HandleLater),
			OnClose: b.broker.ConnClosed, IdleTimeout: c.ClientExpiry,
		},
		OnOpen: b.broker.ConnOpened,
		TLS:    b.plan.tls, RequireTLS: b.plan.tlsOnly(),
	}))
	b.server.vip = b.listenVIP(c, port)
	b.server.serve()
	if b.nameAddr == "" {
		return b.broker.TryRegister(ctx, registerPatience) // others' name servers may come later
	}
	return b.broker.WaitRegistered(ctx)
}

// without leaves out of a list of name servers the one of this process, which the
// list may name too ("-n localhost:9876").
func without(list []string, own string) []string {
	_, port, _ := net.SplitHostPort(own)
	return slices.DeleteFunc(slices.Clone(list), func(addr string) bool {
		return addr == own || addr == net.JoinHostPort("localhost", port)
	})
}

// files chooses the file system and, on a real one, the directory.
func (b *Broker) files(c *config.Config) (vfs.FS, error) {
	switch {
	case b.plan.files != nil:
		return b.plan.files, nil
	case b.plan.inMemory:
		return vfs.NewMem(), nil
	case b.plan.dir == "" && !b.plan.standalone:
		dir, err := os.MkdirTemp("", "broker-lite-")
		if err != nil {
			return nil, fmt.Errorf("make a temporary directory: %w", err)
		}
		b.tmp, c.StorePath = dir, dir
	}
	return vfs.OS(), nil
}

// advertise chooses the host that clients are told to dial.
func (b *Broker) advertise(c *config.Config) (string, error) {
	if b.plan.network != nil {
		if c.BrokerIP1 != "" {
			return c.BrokerIP1, nil
		}
		return "127.0.0.1", nil
	}
	cards, err := config.Interfaces()
	if err != nil {
		return "", err
	}
	host, warning := c.Advertise(cards)
	if warning != "" {
		b.logger.Warn(warning)
	}
	return host, nil
}
