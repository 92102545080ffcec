package memnet

import (
	"net"
	"net/netip"
	"sync"
)

// listener hands out the server ends of connections.
type listener struct {
	net   *Network
	at    netip.AddrPort
	queue chan *conn

	once   sync.Once
	closed chan struct{}

	mu      sync.Mutex    // guards the following; taken after Network.mu
	drained chan struct{} // closed by the next accept, nil when nobody waits
}

// room returns a channel that closes when a place in the backlog may be free.
func (l *listener) room() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drained == nil {
		l.drained = make(chan struct{})
		if len(l.queue) < cap(l.queue) {
			close(l.drained)
			ready := l.drained
			l.drained = nil
			return ready
		}
	}
	return l.drained
}

func (l *listener) announce() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drained != nil {
		close(l.drained)
		l.drained = nil
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, l.error("accept")
	default:
	}
	select {
	case c := <-l.queue:
		l.announce()
		return c, nil
	case <-l.closed:
		return nil, l.error("accept")
	}
}

// Close implements net.Listener. Connections that nobody accepted are reset.
func (l *listener) Close() error {
	err := l.error("close")
	l.once.Do(func() {
		l.net.mu.Lock()
		delete(l.net.listeners, l.at)
		l.net.mu.Unlock()
		close(l.closed)
		l.announce()
		for {
			select {
			case c := <-l.queue:
				c.Reset()
				continue
			default:
			}
			break
		}
		err = nil
	})
	return err
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return tcpAddr(l.at) }

func (l *listener) error(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
}
