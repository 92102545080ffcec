package txn

import (
	"errors"
	"fmt"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// Decision is what was decided about a transaction where it was sent. The broker
// is told without waiting for an answer, and asks when it has not heard.
type Decision int

// Decisions.
const (
	Undecided         = Decision(driver.TxUnknown) // the broker will ask
	DecidedToCommit   = Decision(driver.TxCommit)
	DecidedToRollBack = Decision(driver.TxRollback)
)

func (d Decision) String() string {
	switch d {
	case DecidedToCommit:
		return "decided to commit"
	case DecidedToRollBack:
		return "decided to roll back"
	}
	return "undecided"
}

// Result is what became of a transactional send.
type Result struct {
	// SendResult is the half message's.
	message.SendResult
	Decision Decision
}

// String tells the decision too, which SendResult's own does not.
func (r Result) String() string { return r.Decision.String() + ": " + r.SendResult.String() }

// ErrNotRun says that the half message was stored, but not as safely as the
// broker is configured to store, so that it was rolled back and the local
// transaction has not run (Apache's clients do the same).
var ErrNotRun = errors.New("the local transaction has not run")

var errPanicked = errors.New("the local transaction panicked")

// LocalError says that the local transaction did not return nil.
type LocalError struct {
	Kind     string
	Decision Decision // DecidedToRollBack after Abort, else Undecided
	Err      error
}

func (e *LocalError) Error() string {
	return fmt.Sprintf("transaction kind %q, %s: %v", e.Kind, e.Decision, e.Err)
}

// Unwrap returns the local transaction's error.
func (e *LocalError) Unwrap() error { return e.Err }

// SafeToRetry: an abandoned message is never delivered, an open one may be.
func (e *LocalError) SafeToRetry() bool { return e.Decision == DecidedToRollBack }

type abortError struct{ err error }

// Abort makes the error by which a local transaction or a check rolls back. err
// is the reason and may be nil.
func Abort(err error) error { return &abortError{err} }

func (e *abortError) Error() string {
	if e.err == nil {
		return "aborted"
	}
	return "aborted: " + e.err.Error()
}

func (e *abortError) Unwrap() error { return e.err }
