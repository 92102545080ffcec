package conformance_test

import (
	"context"
	"errors"
	"net"
	"sync"
)

var (
	errRefused = errors.New("connection refused")
	errReset   = errors.New("connection reset by peer")
)

// network is a client's way to the servers, which a case breaks. It works on any
// server.
type network struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex // guards the following
	addrs map[string]*lines
}

// lines are the connections to one address.
type lines struct {
	dials   int // that were let through
	refused bool
	stalled chan struct{} // not nil: dials wait until it closes
	held    chan struct{} // not nil: what arrives is held back until it closes
	conns   map[*line]struct{}
}

func (s *stand) network() *network {
	return &network{dial: s.server.dial, addrs: map[string]*lines{}}
}

func (n *network) with(addr string, f func(*lines)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.addrs[addr]
	if l == nil {
		l = &lines{conns: map[*line]struct{}{}}
		n.addrs[addr] = l
	}
	f(l)
}

// Dial is for rocketkit.WithDial.
func (n *network) Dial(ctx context.Context, netw, addr string) (net.Conn, error) {
	var refused bool
	var stalled chan struct{}
	n.with(addr, func(l *lines) { refused, stalled = l.refused, l.stalled })
	if refused {
		return nil, errRefused
	}
	if stalled != nil {
		select {
		case <-stalled:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	conn, err := n.dial(ctx, netw, addr)
	if err != nil {
		return nil, err
	}
	l := &line{Conn: conn, n: n, addr: addr, closed: make(chan struct{})}
	n.with(addr, func(ls *lines) {
		ls.dials++
		ls.conns[l] = struct{}{}
	})
	return l, nil
}

// dials counts the connections that were made to an address.
func (n *network) dials(addr string) (dials int) {
	n.with(addr, func(l *lines) { dials = l.dials })
	return dials
}

// hold keeps back what the server at addr answers, until release is called.
func (n *network) hold(addr string) (release func()) {
	gate := make(chan struct{})
	n.with(addr, func(l *lines) { l.held = gate })
	return sync.OnceFunc(func() {
		n.with(addr, func(l *lines) { l.held = nil })
		close(gate)
	})
}

// stall lets dials to addr hang until release is called or their ctx ends.
func (n *network) stall(addr string) (release func()) {
	gate := make(chan struct{})
	n.with(addr, func(l *lines) { l.stalled = gate })
	return sync.OnceFunc(func() {
		n.with(addr, func(l *lines) { l.stalled = nil })
		close(gate)
	})
}

// sever resets the connections to addr.
func (n *network) sever(addr string) {
	var conns []*line
	n.with(addr, func(l *lines) {
		for c := range l.conns {
			conns = append(conns, c)
		}
	})
	for _, c := range conns {
		c.shut()
	}
}

// refuse makes dials to addr fail from now on, or no longer.
func (n *network) refuse(addr string, on bool) {
	n.with(addr, func(l *lines) { l.refused = on })
}

// line is one connection.
type line struct {
	net.Conn
	n      *network
	addr   string
	once   sync.Once
	closed chan struct{}
}

func (l *line) Read(p []byte) (int, error) {
	k, err := l.Conn.Read(p)
	var held chan struct{}
	l.n.with(l.addr, func(ls *lines) { held = ls.held })
	if held != nil {
		select {
		case <-held:
		case <-l.closed:
			return 0, errReset
		}
	}
	select {
	case <-l.closed:
		return 0, errReset
	default:
		return k, err
	}
}

func (l *line) Close() error {
	l.shut()
	return nil
}

func (l *line) shut() {
	l.once.Do(func() {
		close(l.closed)
		l.Conn.Close()
		l.n.with(l.addr, func(ls *lines) { delete(ls.conns, l) })
	})
}
