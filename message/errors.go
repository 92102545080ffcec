package message

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinels, for errors.Is. The errors that wrap them say what, where and the
// remedy.
var (
	// ErrInvalidMessage: the message cannot travel as it is.
	ErrInvalidMessage = errors.New("invalid message")
	// ErrInvalidTopic: the topic's name is empty, too long or has characters
	// that RocketMQ refuses.
	ErrInvalidTopic = errors.New("invalid topic")
	// ErrInvalidGroup: likewise for a producer or consumer group.
	ErrInvalidGroup = errors.New("invalid group")
	// ErrEmptyBody: RocketMQ refuses messages without a body.
	ErrEmptyBody = errors.New("empty message body")
	// ErrBodyTooLarge: the body is over the producer's or the server's limit.
	ErrBodyTooLarge = errors.New("message body too large")
	// ErrNoRoute: no name server knows the topic.
	//lint:ignore ST1005 RocketMQ's own words, which users search for
	ErrNoRoute = errors.New("No route info of this topic")
	// ErrNoNameServer: none of the name servers can be reached.
	ErrNoNameServer = errors.New("no name server reachable")
	// ErrUnreachable: the broker's advertised address cannot be dialled, or the
	// connection is gone. Nothing was sent.
	ErrUnreachable = errors.New("broker unreachable")
	// ErrOutcomeUnknown: the request was written and no answer came. The message
	// may have been stored.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrOverloaded: the producer's in-flight limit is reached, and FailFast is set
	// or ctx ended before a place became free.
	ErrOverloaded = errors.New("too many sends in flight")
	// ErrClosed: the client, producer or consumer has been closed.
	ErrClosed = errors.New("closed")
	// ErrUnsupported: the driver or the server cannot do this.
	ErrUnsupported = errors.New("not supported")
	// ErrTooLate: a delayed message cannot be called back any more.
	ErrTooLate = errors.New("too late")
	// ErrBreakerOpen: the producer's circuit breaker for the broker is open.
	ErrBreakerOpen = errors.New("circuit breaker open")
)

// BrokerError is a broker's or name server's refusal.
type BrokerError struct {
	Code   int    // RocketMQ's response code
	Name   string // its constant, such as SYSTEM_BUSY
	Remark string // the server's own words
	Broker string // the broker's name, "" for a name server
	Addr   string // where the answer came from, "" when the driver does not know
	Op     string // what was asked, such as "send to topic orders"
	Remedy string // what to do, where it is known
}

func (e *BrokerError) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op)
		b.WriteString(": ")
	}
	fmt.Fprintf(&b, "%s (%d)", e.Name, e.Code)
	switch {
	case e.Broker != "" && e.Addr != "":
		fmt.Fprintf(&b, " from broker %s at %s", e.Broker, e.Addr)
	case e.Broker != "":
		fmt.Fprintf(&b, " from broker %s", e.Broker)
	case e.Addr != "":
		fmt.Fprintf(&b, " from %s", e.Addr)
	}
	if e.Remark != "" {
		b.WriteString(": ")
		b.WriteString(e.Remark)
	}
	if e.Remedy != "" {
		b.WriteString("; ")
		b.WriteString(e.Remedy)
	}
	return b.String()
}

// SafeToRetry: the broker refused, so nothing was stored.
func (e *BrokerError) SafeToRetry() bool { return true }

// RouteError says that a topic's brokers could not be found.
type RouteError struct {
	Topic       string
	NameServers []string // those that were asked
	Err         error    // ErrNoRoute or ErrNoNameServer, perhaps with causes
}

func (e *RouteError) Error() string {
	switch {
	case errors.Is(e.Err, ErrNoRoute):
		return fmt.Sprintf("%v: topic %q, name servers %s; create the topic (rocketkit topic create %s) or set autoCreateTopicEnable=true on the broker", ErrNoRoute, e.Topic, strings.Join(e.NameServers, ";"), e.Topic)
	case len(e.NameServers) == 0:
		return fmt.Sprintf("route of topic %q: %v", e.Topic, e.Err)
	}
	return fmt.Sprintf("route of topic %q: %v; asked %s", e.Topic, e.Err, strings.Join(e.NameServers, ";"))
}

func (e *RouteError) Unwrap() error { return e.Err }

// SafeToRetry: no broker was asked.
func (e *RouteError) SafeToRetry() bool { return true }

// AddrError says that a broker's address cannot be used.
type AddrError struct {
	Broker string // the broker's name
	Addr   string // the address it advertises
	Err    error
}

func (e *AddrError) Error() string {
	return fmt.Sprintf("%v: broker %s advertises %s: %v; if that address is wrong for this network, set brokerIP1 in the broker's configuration", ErrUnreachable, e.Broker, e.Addr, e.Err)
}

func (e *AddrError) Unwrap() []error { return []error{ErrUnreachable, e.Err} }

// SafeToRetry: nothing was written.
func (e *AddrError) SafeToRetry() bool { return true }

// UnknownOutcomeError is ErrOutcomeUnknown with what is known.
type UnknownOutcomeError struct {
	Op     string
	Broker string
	Addr   string
	Err    error // why the answer did not come: ctx's error, a lost connection …
}

func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("%s: %v: the request was written to %s and no answer came: %v; the message may have been stored", e.Op, ErrOutcomeUnknown, strings.TrimSpace(e.Broker+" "+e.Addr), e.Err)
}

func (e *UnknownOutcomeError) Unwrap() []error { return []error{ErrOutcomeUnknown, e.Err} }

// SafeToRetry: the message may be stored already, so a retry can duplicate it.
func (e *UnknownOutcomeError) SafeToRetry() bool { return false }

// SafeToRetry reports whether err says that nothing was stored, so that trying
// again cannot duplicate the message. It is false when nobody can know, and for
// nil. Of joined errors one that is not safe decides.
func SafeToRetry(err error) bool {
	safe, _ := safeToRetry(err)
	return safe
}

// safeToRetry says whether err is safe, and whether it says anything.
func safeToRetry(err error) (safe, known bool) {
	switch e := err.(type) { //nolint:errorlint // the outermost that knows decides
	case interface{ SafeToRetry() bool }:
		return e.SafeToRetry(), true
	case interface{ Unwrap() error }:
		return safeToRetry(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			s, k := safeToRetry(part)
			if k && !s {
				return false, true
			}
			safe, known = safe || s, known || k
		}
		return safe, known
	}
	switch err { //nolint:errorlint // they wrap nothing
	case ErrOutcomeUnknown:
		return false, true
	case ErrInvalidMessage, ErrInvalidTopic, ErrEmptyBody, ErrBodyTooLarge, ErrNoRoute, ErrNoNameServer, ErrUnreachable, ErrOverloaded, ErrClosed, ErrUnsupported, ErrTooLate, ErrBreakerOpen:
		return true, true
	}
	return false, false
}
