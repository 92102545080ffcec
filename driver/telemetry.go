package driver

import (
	"context"

	"github.com/rocketkit/rocketkit/message"
)

// Identified is a Driver that is one client to the brokers.
type Identified interface {
	Driver
	// ClientID is how brokers name the client.
	ClientID() string
}

// Lagging is a Subscription that knows how far behind it is, without asking.
type Lagging interface {
	Subscription
	// Lag is how many messages each queue of this member's has that are not settled, those
	// that were not pulled yet included: by the end of the queue as the last pull told it,
	// which lags itself while no pull is made, because enough messages are at work. A queue
	// that was not pulled yet is not among them.
	Lag() map[message.Queue]int64
}

// Reached is where a driver's requests went that were made with a ctx of WithReached.
type Reached struct {
	// Addr is the last one's "host:port", "" when there was none or the driver does not tell.
	Addr string
	// Several says that they did not all go there.
	Several bool
}

type reachedKey struct{}

// WithReached returns a ctx by which a driver says where a oneway send, a pull, a pop or an
// answer to one went: those have no Receipt. It is for the requests of one goroutine.
func WithReached(ctx context.Context) (context.Context, *Reached) {
	r := new(Reached)
	return context.WithValue(ctx, reachedKey{}, r), r
}

// NoteReached is for drivers: it notes where a request goes, if somebody wants to know.
func NoteReached(ctx context.Context, addr string) {
	if r, ok := ctx.Value(reachedKey{}).(*Reached); ok {
		r.Several = r.Several || r.Addr != "" && r.Addr != addr
		r.Addr = addr
	}
}
