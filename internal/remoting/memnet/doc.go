// Package memnet is a network in memory, for tests that run a client and a
// server in one testing/synctest bubble.
//
// Whoever waits in it (an accept, a dial, a read of nothing, a write to a full
// buffer) is durably blocked, so that a bubble's clock moves on. Connections
// have buffers in each direction, as sockets have, keep deadlines, and say that
// they are TCP: addresses are "127.0.0.1:port", failures are *net.OpError around
// the system's own numbers (syscall.ECONNREFUSED, ECONNRESET, EPIPE), and an
// expired deadline is os.ErrDeadlineExceeded.
//
// A Network can misbehave for an address that somebody listens on: Cut resets
// its connections and refuses new ones, Freeze lets bytes neither arrive nor
// fail, Restore ends both.
//
// A Network belongs to the bubble that made it.
package memnet
