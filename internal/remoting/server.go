package remoting

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net"
	"slices"
	"sync"
	"time"
)

// ServerOptions configure a Server.
type ServerOptions struct {
	Options
	// OnOpen is called for each connection before its first request. It must not
	// block.
	OnOpen func(*Conn)
	// MaxConns limits the connections; more are closed as they come. 0: no limit.
	MaxConns int
	// MaxConnsHint, in the log of that, says how to have more.
	MaxConnsHint string
	// TLS, when set, lets clients speak TLS too, on the same port: it is told by
	// the first byte.
	TLS *tls.Config
	// RequireTLS closes connections that do not speak TLS. It needs TLS.
	RequireTLS bool
}

const (
	handshakeTimeout = 10 * time.Second
	// Accept errors that pass (no file descriptors left, say) are retried after
	// a pause that doubles.
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Server accepts connections and serves their requests.
type Server struct {
	shared   *shared
	onOpen   func(*Conn)
	maxConns int
	maxHint  string
	tls      *tls.Config
	tlsOnly  bool
	stop     chan struct{} // closed when Shutdown begins
	// running counts accept loops and handshakes. It grows only while mu is held
	// and down is not set.
	running sync.WaitGroup

	mu        sync.Mutex // guards the following
	down      bool
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
	greeting  map[net.Conn]struct{} // connections whose first byte is awaited
	refusals  int                   // since the last one that was logged
	refusedAt time.Time             // when one was logged
}

// NewServer makes a Server.
func NewServer(o ServerOptions) *Server {
	s := &Server{
		onOpen: o.OnOpen, maxConns: o.MaxConns, maxHint: o.MaxConnsHint, tls: o.TLS, tlsOnly: o.RequireTLS,
		stop:      make(chan struct{}),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*Conn]struct{}),
		greeting:  make(map[net.Conn]struct{}),
	}
	onClose := o.OnClose
	o.OnClose = func(c *Conn, err error) {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		if onClose != nil {
			onClose(c, err)
		}
	}
	s.shared = newShared(o.Options)
	s.shared.serving = true
	return s
}

// Serve accepts from l until Shutdown, which makes it return nil even when it
// came first, or until l fails for good. It closes l. Several may run, one for
// each listener.
func (s *Server) Serve(l net.Listener) error { return s.serve(l, s.accept) }

// ServePlain is Serve without TLS, whatever the options say, for a listener that
// only this process reaches.
func (s *Server) ServePlain(l net.Listener) error {
	return s.serve(l, func(nc net.Conn) { s.open(nc, nil) })
}

func (s *Server) serve(l net.Listener, accept func(net.Conn)) error {
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		return l.Close()
	}
	s.listeners[l] = struct{}{}
	s.running.Add(1)
	s.mu.Unlock()
	defer s.running.Done()
	defer s.closeListener(l)

	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = 0
			accept(nc)
			continue
		}
		select {
		case <-s.stop:
			return nil
		default:
		}
		if !temporary(err) {
			return fmt.Errorf("accepting at %v: %w", l.Addr(), err)
		}
		pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
		s.shared.Logger.Warn("accept failed, trying again", "addr", l.Addr().String(), "error", err, "after", pause)
		select {
		case <-time.After(pause):
		case <-s.stop:
			return nil
		}
	}
}

// temporary reports whether accepting may work again. The net package has
// deprecated the method for want of a definition, and has no other way to say
// that file descriptors have run out.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func (s *Server) closeListener(l net.Listener) {
	s.mu.Lock()
	_, mine := s.listeners[l]
	delete(s.listeners, l)
	s.mu.Unlock()
	if mine {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.shared.Logger.Warn("closing a listener failed", "addr", l.Addr().String(), "error", err)
		}
	}
}

// accept starts serving a connection, after a handshake where TLS is possible.
func (s *Server) accept(nc net.Conn) {
	if s.tls == nil {
		s.open(nc, nil)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || s.full() {
		_ = nc.Close() // refused: nothing can be lost
		return
	}
	s.greeting[nc] = struct{}{}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		out, read, err := greet(nc, s.tls, s.tlsOnly)
		s.mu.Lock()
		delete(s.greeting, nc)
		s.mu.Unlock()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) { // not by Shutdown
				s.shared.Logger.Warn("closing a connection: no handshake", "peer", nc.RemoteAddr().String(), "error", err)
			}
			_ = nc.Close() // given up
			return
		}
		s.open(out, read)
	}()
}

// open starts serving a connection, some of whose bytes may have been read.
func (s *Server) open(nc net.Conn, read []byte) {
	s.mu.Lock()
	if s.down || s.full() {
		s.mu.Unlock()
		_ = nc.Close() // refused: nothing can be lost
		return
	}
	c := newConn(nc, s.shared)
	c.in.buf, c.in.w = read, len(read)
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	if s.onOpen != nil {
		c.guard("OnOpen", func() { s.onOpen(c) })
	}
	c.start()
}

// full reports whether MaxConns is reached, and logs that once a second at most.
// s.mu is held.
func (s *Server) full() bool {
	if s.maxConns <= 0 || len(s.conns)+len(s.greeting) < s.maxConns {
		return false
	}
	s.refusals++
	if now := time.Now(); now.Sub(s.refusedAt) >= time.Second {
		s.shared.Logger.Warn("refusing connections: the limit is reached", "limit", s.maxConns, "refused", s.refusals, "remedy", s.maxHint)
		s.refusedAt, s.refusals = now, 0
	}
	return true
}

// Conns yields the connections that are open when it starts.
func (s *Server) Conns() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, c := range s.snapshot() {
			if !yield(c) {
				return
			}
		}
	}
}

func (s *Server) snapshot() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	slices.SortFunc(conns, func(a, b *Conn) int { return int(a.id) - int(b.id) })
	return conns
}

// Shutdown stops accepting, closes every connection, as Conn.Close does, and
// waits for all goroutines until ctx ends. It must not be called by Handlers and
// Completions.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.down {
		s.down = true
		close(s.stop)
	}
	listeners := make([]net.Listener, 0, len(s.listeners))
	for l := range s.listeners {
		listeners = append(listeners, l)
		delete(s.listeners, l)
	}
	greeting := make([]net.Conn, 0, len(s.greeting))
	for nc := range s.greeting {
		greeting = append(greeting, nc)
	}
	s.mu.Unlock()
	var errs []error
	for _, l := range listeners {
		if err := l.Close(); err != nil {
			errs = append(errs, fmt.Errorf("closing listener %v: %w", l.Addr(), err))
		}
	}
	for _, nc := range greeting {
		_ = nc.Close() // nothing was said yet
	}
	if err := closeAll(ctx, s.snapshot()); err != nil {
		errs = append(errs, fmt.Errorf("shutting down: %w", err))
	}
	if err := waitGroup(ctx, &s.running, "shutting down: accept loops"); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
