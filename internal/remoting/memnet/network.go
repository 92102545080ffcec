package memnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
)

const (
	// backlog is how many connections wait to be accepted before dials wait.
	backlog = 128
	// firstPort starts the range that ports are picked from, for listeners that
	// ask for none and for the dialling end.
	firstPort = 32768
)

// Network connects whoever dials with whoever listens.
type Network struct {
	mu        sync.Mutex // guards the following
	nextPort  uint16
	listeners map[netip.AddrPort]*listener
	hosts     map[netip.AddrPort]*host // by the address that is listened on or faulty
}

// host is the state of one address, which outlives its listener.
type host struct {
	cut, frozen bool
	changed     chan struct{} // closed and replaced when a fault comes or goes
	conns       map[*pair]struct{}
}

// pair is one connection: its two ends share two streams.
type pair struct{ toServer, toClient *stream }

// New makes an empty network.
func New() *Network {
	return &Network{
		nextPort:  firstPort,
		listeners: make(map[netip.AddrPort]*listener),
		hosts:     make(map[netip.AddrPort]*host),
	}
}

// Listen accepts connections at addr. An empty address, or port 0, picks a free
// port; without a host it is 127.0.0.1. 0.0.0.0 takes dials to every host.
func (n *Network) Listen(addr string) (net.Listener, error) {
	at, err := parse(addr)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.Port() == 0 {
		at = netip.AddrPortFrom(at.Addr(), n.port())
	}
	if n.listeners[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: tcpAddr(at), Err: syscall.EADDRINUSE}
	}
	l := &listener{net: n, at: at, queue: make(chan *conn, backlog), closed: make(chan struct{})}
	n.listeners[at] = l
	return l, nil
}

// Dial connects to whoever listens at address. It has the shape of
// net.Dialer.DialContext.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := parse(address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: tcpAddr(to), Err: err}
	}
	for {
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		n.mu.Lock()
		l, h := n.listener(to), n.host(to)
		var changed <-chan struct{} = h.changed
		switch {
		case h.frozen:
		case h.cut || l == nil:
			n.mu.Unlock()
			return fail(syscall.ECONNREFUSED)
		default:
			c, ok := n.connect(l, h, to)
			if ok {
				n.mu.Unlock()
				return c, nil
			}
			// The backlog is full: as with a real kernel, the dial waits.
			changed = l.room()
		}
		n.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// connect queues a new connection with l. mu is held.
func (n *Network) connect(l *listener, h *host, to netip.AddrPort) (*conn, bool) {
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), n.port())
	p := &pair{toServer: newStream(), toClient: newStream()}
	client := newConn(p.toClient, p.toServer, from, to)
	server := newConn(p.toServer, p.toClient, to, from)
	select {
	case l.queue <- server:
	default:
		return nil, false
	}
	h.conns[p] = struct{}{}
	// Both ends closed: forget the pair. Each end says so once.
	left := 2
	forget := func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if left--; left == 0 {
			delete(h.conns, p)
		}
	}
	client.onGone, server.onGone = forget, forget
	return client, true
}

// listener finds who listens at the address, exactly or on every host. mu is
// held.
func (n *Network) listener(at netip.AddrPort) *listener {
	if l := n.listeners[at]; l != nil {
		return l
	}
	return n.listeners[netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())]
}

// host finds or makes the state of an address. mu is held.
func (n *Network) host(at netip.AddrPort) *host {
	h := n.hosts[at]
	if h == nil {
		h = &host{changed: make(chan struct{}), conns: make(map[*pair]struct{})}
		n.hosts[at] = h
	}
	return h
}

// port picks a port that nobody listens on. mu is held.
func (n *Network) port() uint16 {
	for {
		p := n.nextPort
		if n.nextPort++; n.nextPort == 0 {
			n.nextPort = firstPort
		}
		taken := false
		for at := range n.listeners {
			taken = taken || at.Port() == p
		}
		if !taken {
			return p
		}
	}
}

// Cut resets every connection to addr, and refuses new ones until Restore.
func (n *Network) Cut(addr string) {
	for _, p := range n.fault(addr, func(h *host) { h.cut = true }) {
		p.toServer.reset()
		p.toClient.reset()
	}
}

// Freeze makes addr a host that has vanished: what is written to it or by it is
// buffered and does not arrive, dials hang, and nothing fails by itself.
func (n *Network) Freeze(addr string) {
	for _, p := range n.fault(addr, func(h *host) { h.frozen = true }) {
		p.toServer.freeze(true)
		p.toClient.freeze(true)
	}
}

// Restore ends what Cut and Freeze began. What was written to a frozen
// connection arrives now.
func (n *Network) Restore(addr string) {
	for _, p := range n.fault(addr, func(h *host) { h.cut, h.frozen = false, false }) {
		p.toServer.freeze(false)
		p.toClient.freeze(false)
	}
}

// fault changes the state of addr and returns its connections.
func (n *Network) fault(addr string, change func(*host)) []*pair {
	at, err := parse(addr)
	if err != nil {
		panic(fmt.Sprintf("memnet: %q is not an address: %v", addr, err)) // the test's own mistake
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.host(at)
	change(h)
	close(h.changed)
	h.changed = make(chan struct{})
	pairs := make([]*pair, 0, len(h.conns))
	for p := range h.conns {
		pairs = append(pairs, p)
	}
	return pairs
}

// parse reads "host:port"; the host may be left out or be localhost.
func parse(addr string) (netip.AddrPort, error) {
	local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if addr == "" {
		return netip.AddrPortFrom(local, 0), nil
	}
	hostname, service, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return netip.AddrPort{}, &net.AddrError{Err: "invalid port", Addr: addr}
	}
	ip := local
	if hostname != "" && hostname != "localhost" {
		if ip, err = netip.ParseAddr(hostname); err != nil {
			return netip.AddrPort{}, &net.DNSError{Err: "no such host", Name: hostname, IsNotFound: true}
		}
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), nil
}

func tcpAddr(a netip.AddrPort) net.Addr { return net.TCPAddrFromAddrPort(a) }
