package producer

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// Response codes after which another attempt can succeed: those of Apache's
// DefaultMQProducer.retryResponseCodes, and FLOW_CONTROL.
const (
	codeSystemError         = 1
	codeSystemBusy          = 2
	codeServiceNotAvailable = 14
	codeNoPermission        = 16
	codeTopicNotExist       = 17
	codeNoBuyerID           = 204
	codeNotInCurrentUnit    = 205
	codeFlowControl         = 215
	codeGoAway              = 1500
)

// passage says whether a refusal may pass.
type passage int

const (
	lasting       passage = iota // the request is at fault
	passingHere                  // another broker may take it; this one is well
	passingBroker                // the broker is unwell
)

func passing(code int) passage {
	switch code {
	case codeSystemError, codeSystemBusy, codeServiceNotAvailable, codeFlowControl, codeGoAway:
		return passingBroker
	case codeNoPermission, codeTopicNotExist, codeNoBuyerID, codeNotInCurrentUnit:
		return passingHere
	}
	return lasting
}

// retryable reports whether another attempt is sensible after err, and whether
// the broker asked for patience.
func retryable(err error, unknownToo bool) (again, busy bool) {
	var refusal *message.BrokerError
	switch {
	case err == nil, errors.Is(err, message.ErrBreakerOpen), errors.Is(err, message.ErrUnsupported): // by every broker
		return false, false
	case errors.As(err, &refusal):
		return passing(refusal.Code) != lasting, refusal.Code == codeSystemBusy || refusal.Code == codeFlowControl
	case errors.Is(err, message.ErrOutcomeUnknown):
		return unknownToo, false
	case errors.Is(err, message.ErrUnreachable):
		return true, false
	case errors.Is(err, context.DeadlineExceeded):
		return true, false // AttemptTimeout, before anything was written
	}
	return false, false
}

// Pauses before another attempt at the same broker, or at any after
// SYSTEM_BUSY: doubled each time, give or take a quarter.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
)

// pause is how long to wait before the attempt after the n-th.
func pause(n int) time.Duration {
	d := min(firstPause<<min(n-1, 10), longestPause)
	return d*3/4 + rand.N(d/2)
}
