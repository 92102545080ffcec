package remoting

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// flushTimeout bounds how long Close goes on writing what is queued.
const flushTimeout = time.Second

// Conn is one connection, shared by any number of callers. See the package's
// documentation.
type Conn struct {
	*shared
	id         uint64
	nc         net.Conn
	addr       string // the peer's, for errors and logs
	attachment atomic.Pointer[any]
	late       atomic.Int64 // responses that no call waited for

	wake   chan struct{} // one token: the writer may have work
	closed chan struct{} // closed when down is set
	wrote  chan struct{} // closed when the writer writes no more
	done   chan struct{} // closed when all goroutines have ended
	// helpers counts the writer, timers and watches on contexts: what the reader
	// waits for at the end.
	helpers sync.WaitGroup

	in      frameReader  // the reader's
	vec     net.Buffers  // the writer's
	writeBy lazyDeadline // the writer's

	mu      sync.Mutex // guards the following
	pending table
	armed   time.Time // when timer goes off; zero: not armed
	timer   *time.Timer
	out     outbox
	down    bool      // no more frames are queued
	flushBy time.Time // down, but what is queued is still written until then
	err     error     // why it is down
}

// NewConn starts a connection over nc, which it owns from here.
func NewConn(nc net.Conn, o Options) *Conn {
	c := newConn(nc, newShared(o))
	c.start()
	return c
}

func newConn(nc net.Conn, s *shared) *Conn {
	c := &Conn{
		shared: s,
		id:     s.ids.Add(1),
		nc:     nc,
		addr:   nc.RemoteAddr().String(),
		wake:   make(chan struct{}, 1),
		closed: make(chan struct{}),
		wrote:  make(chan struct{}),
		done:   make(chan struct{}),
	}
	c.in = frameReader{src: &source{c: c}, max: s.MaxFrame, pool: &s.large}
	return c
}

func (c *Conn) start() {
	c.helpers.Add(1)
	go c.writeLoop()
	go c.readLoop()
}

// ID tells the connections of one Client or Server apart.
func (c *Conn) ID() uint64 { return c.id }

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// LocalAddr is this end's address.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// Attach keeps a value with the connection, in place of an earlier one: what a
// server knows about its peer.
func (c *Conn) Attach(v any) { c.attachment.Store(&v) }

// Attachment returns what was attached, nil when nothing was.
func (c *Conn) Attachment() any {
	if v := c.attachment.Load(); v != nil {
		return *v
	}
	return nil
}

// Closed is closed as soon as the connection takes no more calls.
func (c *Conn) Closed() <-chan struct{} { return c.closed }

// Done is closed when the last goroutine of the connection has ended, OnClose
// included.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says why the connection is closed; nil while it is open. It wraps
// ErrClosed.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// LateResponses counts the responses that came after their call had ended, or
// that nobody had asked for.
func (c *Conn) LateResponses() int64 { return c.late.Load() }

// Close ends the connection. Pending calls end at once; what is queued is still
// written, for at most a second. It does not wait, so that Handlers and
// Completions may call it: see Done.
func (c *Conn) Close() error {
	c.shut(errLocal, true)
	return nil
}

// shut takes the connection down, once. Without flush, what is queued is lost.
func (c *Conn) shut(err error, flush bool) {
	c.mu.Lock()
	if c.down {
		c.mu.Unlock()
		return
	}
	now := time.Now()
	write := now
	if flush {
		write = now.Add(flushTimeout)
		c.flushBy = write
	}
	c.down, c.err = true, err
	c.disarm()
	c.out.openRoom()
	c.mu.Unlock()
	close(c.closed)
	c.wakeWriter()

	// The deadlines move the reader and the writer; the writer closes nc when it
	// has finished.
	if c.nc.SetReadDeadline(now) != nil || c.nc.SetWriteDeadline(write) != nil {
		c.closeNet(true)
	}
}

// closeNet closes the network connection. A TLS connection that is broken gets
// no farewell, which could take seconds.
func (c *Conn) closeNet(broken bool) {
	if t, ok := c.nc.(*tls.Conn); ok && broken {
		_ = t.NetConn().Close() // the connection is given up: nobody can use this error
		return
	}
	_ = c.nc.Close() // likewise
}

// isDown reports whether the connection has been shut.
func (c *Conn) isDown() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// ended reports whether all goroutines of the connection have ended.
func (c *Conn) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// end is the reader's last work: it ends the pending calls and waits for the
// others.
func (c *Conn) end() {
	c.mu.Lock()
	flush := !c.flushBy.IsZero()
	c.mu.Unlock()
	if !flush {
		<-c.wrote // at once: its deadline has passed. Only then is out.sent final.
	}
	c.mu.Lock()
	lost, sent, cause := c.pending.takeAll(), c.out.sent, c.err
	c.mu.Unlock()
	written, unwritten := &CallError{c.addr, true, cause}, &CallError{c.addr, false, cause}
	for _, s := range lost {
		if s.end != 0 && (flush || s.end <= sent) {
			c.finish(s, nil, written)
		} else {
			c.finish(s, nil, unwritten)
		}
	}
	<-c.wrote
	if c.OnClose != nil {
		c.guard("OnClose", func() { c.OnClose(c, cause) })
	}
	c.helpers.Wait()
	close(c.done)
}
