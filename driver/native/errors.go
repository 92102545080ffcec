package native

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// UnsupportedError says that a server, or this driver, cannot do what was asked.
// It is a message.ErrUnsupported, and nothing was stored.
type UnsupportedError struct {
	Op     string // what was asked
	Broker string // the broker's name, "" when it is not the broker's doing
	Addr   string
	Why    string
	Remedy string
	Err    error // the broker's refusal, nil when it was not asked
}

func (e *UnsupportedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v", e.Op, message.ErrUnsupported)
	if e.Broker != "" {
		fmt.Fprintf(&b, " by broker %s at %s", e.Broker, e.Addr)
	}
	fmt.Fprintf(&b, ": %s", e.Why)
	if e.Remedy != "" {
		fmt.Fprintf(&b, "; %s", e.Remedy)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, " (%v)", e.Err)
	}
	return b.String()
}

// Unwrap makes it a message.ErrUnsupported, and the broker's error where there
// is one.
func (e *UnsupportedError) Unwrap() []error {
	if e.Err == nil {
		return []error{message.ErrUnsupported}
	}
	return []error{message.ErrUnsupported, e.Err}
}

// SafeToRetry: nothing was stored.
func (e *UnsupportedError) SafeToRetry() bool { return true }

// NotSentError says that a request was never written: the connection was lost
// before, or ctx had ended.
type NotSentError struct {
	Op     string
	Broker string
	Addr   string
	Err    error
}

func (e *NotSentError) Error() string {
	return fmt.Sprintf("%s: nothing was sent to %s: %v", e.Op, strings.TrimSpace(e.Broker+" "+e.Addr), e.Err)
}

// Unwrap gives the cause. A connection that was lost is a
// message.ErrUnreachable, an ended ctx is ctx's error.
func (e *NotSentError) Unwrap() []error {
	if errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, message.ErrClosed) {
		return []error{e.Err}
	}
	return []error{message.ErrUnreachable, e.Err}
}

// SafeToRetry: nothing was written.
func (e *NotSentError) SafeToRetry() bool { return true }

// sendError says in this module's words why a message has no answer.
func sendError(op, broker, addr string, err error) error {
	var call *remoting.CallError
	if errors.As(err, &call) && call.Written {
		return &message.UnknownOutcomeError{Op: op, Broker: broker, Addr: addr, Err: call.Err}
	}
	if errors.Is(err, protocol.ErrFrameTooLarge) {
		return fmt.Errorf("%w: %s: %w", message.ErrBodyTooLarge, op, err)
	}
	return callError(op, broker, addr, err)
}

// callError is sendError for requests that may as well be made twice.
func callError(op, broker, addr string, err error) error {
	cause, written := err, false
	if call := (*remoting.CallError)(nil); errors.As(err, &call) {
		cause, written = call.Err, call.Written
	}
	switch {
	case written:
		return fmt.Errorf("%s: no answer from %s: %w", op, strings.TrimSpace(broker+" "+addr), cause)
	case errors.Is(cause, remoting.ErrDial):
		return &message.AddrError{Broker: broker, Addr: addr, Err: cause}
	}
	return &NotSentError{Op: op, Broker: broker, Addr: addr, Err: cause}
}

// causes joins errors on one line, unlike errors.Join.
type causes []error

func (c causes) Error() string {
	parts := make([]string, len(c))
	for i, err := range c {
		parts[i] = err.Error()
	}
	return strings.Join(parts, ", ")
}

func (c causes) Unwrap() []error { return c }
