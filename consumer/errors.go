package consumer

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinels, for errors.Is.
var (
	// ErrRegistration: what was registered cannot be consumed as it is. The
	// error is a *RegistrationError.
	ErrRegistration = errors.New("invalid registration")
	// ErrDecode: a message's body does not fit its handler's type. The error is
	// a *DecodeError.
	ErrDecode = errors.New("cannot decode message")
	// ErrPanic: a handler panicked. The error is a *PanicError.
	ErrPanic = errors.New("handler panicked")
	// ErrUnfinished: a shutdown ended before its handlers did.
	ErrUnfinished = errors.New("handlers still running")
	// ErrRevoked: a message's queue has moved to another member of the group, or the
	// consumer has ended, so that what was said of the message does not count. It is
	// delivered again there.
	ErrRevoked = errors.New("the message's queue is no longer this member's")
)

// RegistrationError is every mistake that was found, at once.
type RegistrationError struct {
	// Where is what was looked at, such as `consumer group "pay"`.
	Where    string
	Mistakes []error
}

func (e *RegistrationError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d registration mistake", e.Where, len(e.Mistakes))
	if len(e.Mistakes) > 1 {
		b.WriteByte('s')
	}
	b.WriteByte(':')
	for _, m := range e.Mistakes {
		b.WriteString("\n  - ")
		b.WriteString(strings.ReplaceAll(m.Error(), "\n", "\n    "))
	}
	return b.String()
}

// Is makes every RegistrationError an ErrRegistration.
func (e *RegistrationError) Is(target error) bool { return target == ErrRegistration }

// Unwrap returns the mistakes.
func (e *RegistrationError) Unwrap() []error { return e.Mistakes }

// DecodeError says which message could not be decoded, and for whom. It is
// permanent: no further attempt can mend a body, so the message goes to the
// dead-letter queue at once.
type DecodeError struct {
	Group, Handler, Topic string
	MessageID             string
	Codec                 string // its name
	ContentType           string // what the message says of its body; "" for nothing
	Type                  string // the handler's type
	Size                  int    // of the body, in bytes
	Err                   error  // the codec's
}

func (e *DecodeError) Error() string {
	of := ""
	if e.ContentType != "" {
		of = " of " + e.ContentType
	}
	return fmt.Sprintf("%v %s of topic %q for handler %q of group %q: %d bytes%s as %s by codec %s: %v",
		ErrDecode, e.MessageID, e.Topic, e.Handler, e.Group, e.Size, of, e.Type, e.Codec, e.Err)
}

// Unwrap returns ErrDecode and the codec's error.
func (e *DecodeError) Unwrap() []error { return []error{ErrDecode, e.Err} }

// PanicError is a handler's panic. It is an error like any other: the retry
// policy decides.
type PanicError struct {
	Value any    // what was panicked with
	Stack []byte // of the goroutine, as debug.Stack prints it
}

func (e *PanicError) Error() string { return fmt.Sprintf("%v: %v", ErrPanic, e.Value) }

// Unwrap returns ErrPanic and, when the value was an error, that error.
func (e *PanicError) Unwrap() []error {
	if err, ok := e.Value.(error); ok {
		return []error{ErrPanic, err}
	}
	return []error{ErrPanic}
}
