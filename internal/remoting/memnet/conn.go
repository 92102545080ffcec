package memnet

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// conn is one end of a connection: it reads from one stream and writes to the
// other. Tests reach Reset and CloseWrite by asserting for them, as with TCP.
type conn struct {
	in, out       *stream
	local, remote netip.AddrPort

	closing sync.Once
	forget  sync.Once
	onGone  func() // once, when this end is closed or reset
}

func newConn(in, out *stream, local, remote netip.AddrPort) *conn {
	return &conn{in: in, out: out, local: local, remote: remote}
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	return n, c.wrap("read", err)
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	return n, c.wrap("write", err)
}

// Close implements net.Conn. The peer reads what was written, then io.EOF.
func (c *conn) Close() error {
	err := error(&net.OpError{Op: "close", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: net.ErrClosed})
	c.closing.Do(func() {
		c.out.closeWrite()
		c.in.closeRead()
		c.forget.Do(c.onGone)
		err = nil
	})
	return err
}

// CloseWrite ends the outgoing direction only.
func (c *conn) CloseWrite() error {
	c.out.endWrite()
	return nil
}

// Reset ends the connection so that both ends fail with ECONNRESET and what was
// under way is lost.
func (c *conn) Reset() {
	c.in.reset()
	c.out.reset()
	c.forget.Do(c.onGone)
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return tcpAddr(c.local) }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return tcpAddr(c.remote) }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.in.reader.set(t)
	c.out.writer.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.reader.set(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.writer.set(t)
	return nil
}

// wrap makes an error look as the net package's does; io.EOF stays as it is.
func (c *conn) wrap(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
