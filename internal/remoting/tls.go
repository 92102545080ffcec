package remoting

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// tlsRecord is the first byte of a TLS handshake. As the first byte of a length
// field it would announce a frame of more than 350 MB.
const tlsRecord = 0x16

// errPlain: a client speaks plain where only TLS is taken.
var errPlain = errors.New("the client does not speak TLS, which this server requires; turn TLS on in the client")

// greet reads a connection's first byte and speaks TLS if it says so; only is
// whether it must. It returns the connection to use, and what was read of it
// already.
func greet(nc net.Conn, cfg *tls.Config, only bool) (net.Conn, []byte, error) {
	if err := nc.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, nil, err
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(nc, first); err != nil {
		return nil, nil, fmt.Errorf("waiting for the first byte: %w", err)
	}
	switch {
	case first[0] != tlsRecord && only:
		return nil, nil, errPlain
	case first[0] != tlsRecord:
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

// tlsAlert reports whether the other side has refused a TLS connection.
func tlsAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// tlsRemedy says what to do about a client's handshake that has failed.
func tlsRemedy(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		expired x509.CertificateInvalidError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &unknown):
		return "trust the CA that has signed the server's certificate (RootCAs of the TLS configuration)"
	case errors.As(err, &name):
		return "dial the server by a name or address that its certificate has, or expect another (ServerName of the TLS configuration)"
	case errors.As(err, &expired):
		return "give the server a certificate that is valid now"
	case tlsAlert(err):
		return "the server has refused: does it ask for a client certificate (Certificates of the TLS configuration) of a CA that it trusts?"
	case errors.As(err, &record), errors.Is(err, io.EOF):
		return "does the server speak TLS on this port?"
	}
	return "see the server's log"
}
