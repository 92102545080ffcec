package remoting

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed: the connection, or the Client, is closed.
	ErrClosed = errors.New("connection closed")
	// ErrDial: no connection could be made.
	ErrDial = errors.New("cannot connect")
	// ErrSlowReader: the peer sends requests faster than it reads the answers.
	ErrSlowReader = errors.New("peer reads too slowly")
)

// errLocal and errRemote are the uneventful ends of a connection.
var (
	errLocal  = fmt.Errorf("%w by this side", ErrClosed)
	errRemote = fmt.Errorf("%w by the peer", ErrClosed)
)

// CallError says how a call failed without an answer from the peer.
type CallError struct {
	Addr string // the peer's "host:port"
	// Written: the request may have reached the peer, and what it asked for may
	// have happened. Not Written: no whole request can have arrived, so that it
	// is safe to try again.
	Written bool
	// Err is the cause: the context's error, ErrClosed, ErrDial.
	Err error
}

func (e *CallError) Error() string {
	if e.Written {
		return fmt.Sprintf("call to %s: written, no answer: %v", e.Addr, e.Err)
	}
	return fmt.Sprintf("call to %s: not written: %v", e.Addr, e.Err)
}

func (e *CallError) Unwrap() error { return e.Err }

// SafeToRetry reports whether the peer cannot have acted on the request.
func (e *CallError) SafeToRetry() bool { return !e.Written }
