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

// greet reads a connection's first byte and speaks TLS if it says so.
func greet(nc net.Conn, cfg *tls.Config) (net.Conn, error) {
	if err := nc.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	p := &peeked{Conn: nc}
	if _, err := io.ReadFull(nc, p.first[:]); err != nil {
		return nil, fmt.Errorf("waiting for the first byte: %w", err)
	}
	p.left = true
	out := net.Conn(p)
	if p.first[0] == tlsRecord {
		t := tls.Server(p, cfg)
		if err := t.Handshake(); err != nil {
			return nil, fmt.Errorf("TLS handshake: %w", err)
		}
		out = t
	}
	return out, nc.SetDeadline(time.Time{})
}

// peeked is a connection whose first byte was read already.
type peeked struct {
	net.Conn
	first [1]byte
	left  bool // first is still to be read
}

// Read implements net.Conn.
func (p *peeked) Read(b []byte) (int, error) {
	if p.left && len(b) > 0 {
		p.left = false
		b[0] = p.first[0]
		return 1, nil
	}
	return p.Conn.Read(b)
}
