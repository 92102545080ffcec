package brokerlite

import (
	"context"
	"net"

	"github.com/rocketkit/rocketkit/internal/remoting/memnet"
)

// Network is a network in memory, which several servers and clients can share. It
// works inside a testing/synctest bubble, to which it then belongs. Addresses are
// host:port, the host an IP, localhost or left out; Cut, Freeze and Restore panic
// at any other, since a fault that hits nothing would let its test pass.
type Network struct{ net *memnet.Network }

// NewNetwork makes an empty network.
func NewNetwork() *Network { return &Network{memnet.New()} }

// Dial connects to whoever listens at address. It has the shape of
// net.Dialer.DialContext.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return n.net.Dial(ctx, network, address)
}

// Listen accepts connections at address, for tests that serve something else
// beside. Port 0 picks a free one.
func (n *Network) Listen(address string) (net.Listener, error) { return n.net.Listen(address) }

// Cut resets all connections to an address and refuses new ones, until Restore.
func (n *Network) Cut(address string) { n.net.Cut(address) }

// Freeze makes an address a host that has vanished, until Restore: nothing that is
// sent to it or by it arrives, and nothing fails by itself.
func (n *Network) Freeze(address string) { n.net.Freeze(address) }

// Restore ends what Cut and Freeze began.
func (n *Network) Restore(address string) { n.net.Restore(address) }
