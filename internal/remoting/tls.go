package remoting

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"
)

// tlsRecord is the first byte of a TLS handshake. As the first byte of a length
// field it would announce a frame of more than 350 MB.
const tlsRecord = 0x16

// greet reads a connection's first byte and speaks TLS if it says so. It returns
// the connection to use, and what was read of it already.
func greet(nc net.Conn, cfg *tls.Config) (net.Conn, []byte, error) {
	if err := nc.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, nil, err
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(nc, first); err != nil {
		return nil, nil, fmt.Errorf("waiting for the first byte: %w", err)
	}
	if first[0] != tlsRecord {
		return nc, first, nc.SetDeadline(time.Time{})
	}
	t := tls.Server(&peeked{Conn: nc, first: first}, cfg)
	if err := t.Handshake(); err != nil {
		return nil, nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return t, nil, nc.SetDeadline(time.Time{})
}

// peeked is a connection some of whose bytes were read already.
type peeked struct {
	net.Conn
	first []byte
}

// Read implements net.Conn.
func (p *peeked) Read(b []byte) (int, error) {
	if len(p.first) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}
