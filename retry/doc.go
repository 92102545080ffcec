// Package retry says what becomes of a message whose handler failed: policies
// and error classification, all pure functions of the attempt and the error.
//
// A [Policy] answers with a [Decision]. [Levels] is RocketMQ's own: the broker
// delivers the message again after 10 s, 30 s, 1 m … 2 h and, when the retries
// are used up, moves it to the group's dead-letter queue. [Exponential] has delays
// of your own. A handler overrides the policy for one failure by wrapping its error:
//
//	return retry.Permanent(err)            // no further attempt: dead-letter queue at once
//	return retry.After(err, 5*time.Minute) // again after this delay
//	return retry.Skip(err)                 // acknowledge and log
//
// The wrapped error is still there for errors.Is and errors.As.
package retry
