package remoting

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// DialFunc opens network connections, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// ClientOptions configure a Client. Options.Handler serves what the servers ask
// of their clients.
type ClientOptions struct {
	Options
	// Dial opens connections; nil means net.Dialer.
	Dial DialFunc
	// TLS, when set, is used for every connection; the server's name is taken
	// from the address where the config names none.
	TLS *tls.Config
	// Plain, when set, says which addresses are dialled without TLS.
	Plain func(addr string) bool
	// DialTimeout bounds connecting, the TLS handshake included; 3 s.
	DialTimeout time.Duration
}

// Client keeps one connection for each address.
type Client struct {
	shared      *shared
	dial        DialFunc
	tls         *tls.Config
	plain       func(addr string) bool
	dialTimeout time.Duration
	ctx         context.Context // ends the dials
	cancel      context.CancelFunc
	dials       sync.WaitGroup

	// open are the connections that can be used, for callers that need no lock.
	// The map is never changed, only replaced, with mu held.
	open atomic.Pointer[map[string]*Conn]

	mu      sync.Mutex // guards the following
	dialing map[string]*dial
	all     map[*Conn]string // connections that have not ended, with their address
	closed  bool
}

// dial is one attempt to connect that any number of callers wait for.
type dial struct {
	done chan struct{} // closed when the following are set
	conn *Conn
	err  error
}

// NewClient makes a Client. It must be closed.
func NewClient(o ClientOptions) *Client {
	c := &Client{
		dial: o.Dial, tls: o.TLS, plain: o.Plain, dialTimeout: o.DialTimeout,
		dialing: make(map[string]*dial), all: make(map[*Conn]string),
	}
	if c.dial == nil {
		c.dial = new(net.Dialer).DialContext
	}
	if c.dialTimeout <= 0 {
		c.dialTimeout = 3 * time.Second
	}
	c.open.Store(new(map[string]*Conn))
	c.ctx, c.cancel = context.WithCancel(context.Background())
	onClose := o.OnClose
	o.OnClose = func(conn *Conn, err error) {
		c.forget(conn)
		if onClose != nil {
			onClose(conn, err)
		}
	}
	c.shared = newShared(o.Options)
	return c
}

// Conn returns the connection to addr, and makes it when there is none. Callers
// for one address share one attempt; ctx ends only the wait of its own caller.
// Errors are *CallError, not written, around ErrDial, ErrClosed or ctx's.
func (c *Client) Conn(ctx context.Context, addr string) (*Conn, error) {
	if conn := (*c.open.Load())[addr]; conn != nil && !conn.isDown() {
		return conn, nil
	}
	if err := contextEnd(ctx); err != nil {
		return nil, &CallError{addr, false, err}
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, &CallError{addr, false, fmt.Errorf("client: %w", ErrClosed)}
	}
	if conn := (*c.open.Load())[addr]; conn != nil && !conn.isDown() {
		c.mu.Unlock()
		return conn, nil
	}
	d := c.dialing[addr]
	if d == nil {
		d = &dial{done: make(chan struct{})}
		c.dialing[addr] = d
		c.dials.Add(1)
		go c.connect(addr, d)
	}
	c.mu.Unlock()
	if err := wait(ctx, d.done); err != nil {
		return nil, &CallError{addr, false, fmt.Errorf("connecting: %w", err)}
	}
	if d.err != nil {
		return nil, &CallError{addr, false, d.err}
	}
	return d.conn, nil
}

// connect makes one attempt and hands its outcome to those who wait.
func (c *Client) connect(addr string, d *dial) {
	defer c.dials.Done()
	defer close(d.done)
	ctx, cancel := context.WithTimeout(c.ctx, c.dialTimeout)
	defer cancel()
	nc, err := c.handshake(ctx, addr)

	c.mu.Lock()
	delete(c.dialing, addr)
	switch {
	case err != nil && c.closed:
		d.err = fmt.Errorf("client: %w", ErrClosed)
	case err != nil:
		d.err = fmt.Errorf("%w: %w", ErrDial, err)
	case c.closed:
		d.err = fmt.Errorf("client: %w", ErrClosed)
		defer func() { _ = nc.Close() }() // never used: nothing can be lost
	default:
		d.conn = newConn(nc, c.shared)
		c.all[d.conn] = addr
		c.publish(addr, d.conn)
	}
	c.mu.Unlock()
	if d.conn != nil {
		d.conn.start()
	}
}

// handshake dials and, where it is asked for, negotiates TLS.
func (c *Client) handshake(ctx context.Context, addr string) (net.Conn, error) {
	nc, err := c.dial(ctx, "tcp", addr)
	if err != nil || c.tls == nil || c.plain != nil && c.plain(addr) {
		return nc, err
	}
	cfg := c.tls
	if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			_ = nc.Close() // the address is the error to report
			return nil, err
		}
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	t := tls.Client(nc, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = nc.Close() // the handshake's error is the one to report
		return nil, fmt.Errorf("TLS handshake: %w; %s", err, tlsRemedy(err))
	}
	return t, nil
}

// publish replaces the map of open connections; a nil conn takes addr out. c.mu
// is held.
func (c *Client) publish(addr string, conn *Conn) {
	open := maps.Clone(*c.open.Load())
	if open == nil {
		open = make(map[string]*Conn)
	}
	if conn == nil {
		delete(open, addr)
	} else {
		open[addr] = conn
	}
	c.open.Store(&open)
}

// forget removes a connection that has ended.
func (c *Client) forget(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	addr := c.all[conn]
	delete(c.all, conn)
	if (*c.open.Load())[addr] == conn {
		c.publish(addr, nil)
	}
}

// Drop closes the connection to addr, if there is one; an attempt to make one
// goes on. The next Conn makes a new one.
func (c *Client) Drop(addr string) {
	c.mu.Lock()
	conn := (*c.open.Load())[addr]
	if conn != nil {
		c.publish(addr, nil)
	}
	c.mu.Unlock()
	if conn != nil {
		conn.shut(errLocal, true)
	}
}

// Close ends every connection, as Conn.Close does, and waits for their
// goroutines until ctx ends. It must not be called by Handlers and Completions.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	conns := make([]*Conn, 0, len(c.all))
	for conn := range c.all {
		conns = append(conns, conn)
	}
	c.mu.Unlock()
	c.cancel()
	if err := closeAll(ctx, conns); err != nil {
		return fmt.Errorf("closing client: %w", err)
	}
	return waitGroup(ctx, &c.dials, "closing client: dials")
}

// closeAll closes connections and waits for their goroutines.
func closeAll(ctx context.Context, conns []*Conn) error {
	for _, conn := range conns {
		conn.shut(errLocal, true)
	}
	for i, conn := range conns {
		if conn.ended() {
			continue
		}
		select {
		case <-conn.Done():
		case <-ctx.Done():
			for _, rest := range conns[i:] {
				rest.closeNet(true)
			}
			return fmt.Errorf("%d of %d connections have not ended: %w", len(conns)-i, len(conns), ctx.Err())
		}
	}
	return nil
}

// waitGroup waits for goroutines that are about to end, until ctx ends.
func waitGroup(ctx context.Context, g *sync.WaitGroup, what string) error {
	done := make(chan struct{})
	go func() {
		g.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
}
