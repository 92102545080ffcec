package producer

import (
	"fmt"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// SendError is how a send failed that made several attempts, or none because
// its time was over. A single attempt's error is returned as it is.
type SendError struct {
	Group    string // the producer's
	Topic    string
	Attempts int
	Brokers  []string // the brokers that were tried, in order
	Elapsed  time.Duration
	Err      error // the last attempt's
	safe     bool
}

func (e *SendError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "producer %s, topic %s: ", e.Group, e.Topic)
	switch e.Attempts {
	case 0:
		b.WriteString("not sent: ")
	case 1:
		fmt.Fprintf(&b, "failed at broker %s after %s: ", e.Brokers[0], e.Elapsed)
	default:
		fmt.Fprintf(&b, "%d attempts failed at brokers %s in %s, the last with: ", e.Attempts, strings.Join(e.Brokers, ", "), e.Elapsed)
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the last attempt's error.
func (e *SendError) Unwrap() error { return e.Err }

// Is reports for message.ErrOutcomeUnknown whether an attempt may have stored the message,
// be it not the last.
func (e *SendError) Is(target error) bool { return target == message.ErrOutcomeUnknown && !e.safe }

// SafeToRetry reports that none of the attempts can have stored the message.
func (e *SendError) SafeToRetry() bool { return e.safe }

// NotDurableError says that a message is stored, but not as safely as
// RequireDurable asks for.
type NotDurableError struct {
	Result message.SendResult // what the broker answered
}

func (e *NotDurableError) Error() string {
	return fmt.Sprintf("topic %s: message %s is stored at broker %s, but not durable: %s", e.Result.Queue.Topic, e.Result.MessageID, e.Result.Queue.Broker, e.Result.Status)
}

// SafeToRetry: the message is stored, and sending it again stores another.
func (e *NotDurableError) SafeToRetry() bool { return false }

// BatchError says which messages of a batch failed. It is what SendBatch
// returns besides the outcomes.
type BatchError struct {
	Failed, Total int
	Errs          []error // each message's, in order, without the nil ones
}

func (e *BatchError) Error() string {
	const shown = 3
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d messages of the batch failed", e.Failed, e.Total)
	last := ""
	for _, err := range e.Errs[:min(len(e.Errs), shown)] {
		if text := err.Error(); text != last {
			b.WriteString("; ")
			b.WriteString(text)
			last = text
		}
	}
	if len(e.Errs) > shown {
		b.WriteString("; …")
	}
	return b.String()
}

// Unwrap returns the messages' errors.
func (e *BatchError) Unwrap() []error { return e.Errs }

// SafeToRetry reports that none of the failed messages can have been stored.
func (e *BatchError) SafeToRetry() bool {
	for _, err := range e.Errs {
		if !message.SafeToRetry(err) {
			return false
		}
	}
	return true
}

// errNotBatched is the error of a batch's valid messages when another one is
// not valid.
type errNotBatched struct{ index int }

func (e errNotBatched) Error() string {
	return fmt.Sprintf("not sent, because message %d of the batch was refused", e.index)
}

// SafeToRetry: nothing of the batch was sent.
func (errNotBatched) SafeToRetry() bool { return true }
