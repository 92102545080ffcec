package broker

import (
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// maxInFlight bounds the bytes of one connection's appends that are not answered;
// one append is always let through.
const maxInFlight = 8 << 20

// peer is what the broker knows about a connection: its attachment. What is not
// marked otherwise belongs to the connection's reader goroutine.
type peer struct {
	conn *remoting.Conn
	born netip.AddrPort // the client's address, as records carry it

	// Scratch for one request at a time.
	send    protocol.SendRequest
	pull    protocol.PullRequest
	record  protocol.Record
	props   []byte
	filters filterCache

	inFlight atomic.Int64  // bytes of appends not answered; any goroutine
	replies  atomic.Int64  // bytes of replies to requests that are not answered; any goroutine
	deafTill atomic.Int64  // it is asked nothing until then, ns since 1970: see askOutcome; any goroutine
	waiting  atomic.Bool   // the reader waits for room
	room     chan struct{} // of capacity 1: there may be room
}

func newPeer(c *remoting.Conn) *peer {
	return &peer{conn: c, born: addrPort(c.RemoteAddr()), room: make(chan struct{}, 1)}
}

// addrPort is the zero value for an address that has neither IP nor port.
func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// acquire takes room for n bytes, and waits for it as long as the connection is
// open; false: it is not.
func (p *peer) acquire(n int64) bool {
	for p.inFlight.Load() > maxInFlight {
		p.waiting.Store(true)
		if p.inFlight.Load() <= maxInFlight {
			break
		}
		select {
		case <-p.room:
		case <-p.conn.Closed():
			return false
		}
	}
	p.waiting.Store(false)
	p.inFlight.Add(n)
	return true
}

// release gives room back.
func (p *peer) release(n int64) {
	if p.inFlight.Add(-n) <= maxInFlight && p.waiting.Load() {
		select {
		case p.room <- struct{}{}:
		default:
		}
	}
}
