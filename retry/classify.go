package retry

import "time"

// Permanent marks err as one that no further attempt can mend: the message goes
// to the dead-letter queue at once. Permanent(nil) is nil, so that
//
//	return retry.Permanent(store(v))
//
// acknowledges when store succeeds.
func Permanent(err error) error { return mark(err, permanent, 0) }

// After asks for the next attempt after d instead of the policy's delay. It
// counts as one of the policy's retries. The delay is exact where the server has
// timer messages (5.0 and up) and the driver can use them, and the next delay
// level up elsewhere; d <= 0 means as soon as the broker can. After(nil, d) is
// nil.
func After(err error, d time.Duration) error { return mark(err, after, max(d, 0)) }

// Skip marks err as one that is not worth another attempt: the message is
// acknowledged and err is logged. Skip(nil) is nil.
func Skip(err error) error { return mark(err, skip, 0) }

// IsPermanent reports whether err sends its message to the dead-letter queue at
// once.
//
// These three follow errors.Unwrap. Of joined errors the one decides that keeps
// the message safest: permanent before after (the longest delay) before an
// unmarked error before skip, so that joining an error to a skipped one never
// acknowledges.
func IsPermanent(err error) bool { return classify(err).class == permanent }

// IsSkip reports whether err acknowledges its message; see [IsPermanent] for
// joined errors.
func IsSkip(err error) bool { return classify(err).class == skip }

// Delay returns the delay that err asks for with [After]; see [IsPermanent] for
// joined errors.
func Delay(err error) (time.Duration, bool) {
	m := classify(err)
	return m.delay, m.class == after
}

// class of an error, ordered by which decides when errors are joined.
type class int

const (
	skip class = iota
	unmarked
	after
	permanent
)

// marked is an error with its class. Its text is the cause's: logs say beside it
// what happens next.
type marked struct {
	error
	class class
	delay time.Duration
}

func mark(err error, c class, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &marked{error: err, class: c, delay: d}
}

func (m *marked) Unwrap() error { return m.error }

// classify finds the outermost mark of err.
func classify(err error) marked {
	for err != nil {
		switch e := err.(type) { //nolint:errorlint // this is the walk that errors.As would do, with a rule of its own for joined errors
		case *marked:
			return *e
		case interface{ Unwrap() []error }:
			return gravest(e.Unwrap())
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		default:
			err = nil
		}
	}
	return marked{class: unmarked}
}

// gravest returns the mark that decides for joined errors.
func gravest(errs []error) marked {
	found := marked{class: -1}
	for _, err := range errs {
		if err == nil {
			continue
		}
		if m := classify(err); m.class > found.class || m.class == found.class && m.delay > found.delay {
			found = m
		}
	}
	if found.class < 0 {
		found.class = unmarked
	}
	return found
}
