package message

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrSubscriptionsDiffer: the members of a consumer group subscribe to different topics or
// filters, so that messages are missed. The error is a *SubscriptionsDifferError.
var ErrSubscriptionsDiffer = errors.New("subscriptions differ")

// SubscriptionsDifferError says that the brokers know other subscriptions of a consumer
// group than this member's, which the group's other members have. A broker keeps one
// subscription of a group and topic, and filters the messages of every member by it.
type SubscriptionsDifferError struct {
	Group string
	// Topics are the differences, by topic; none when a broker refused pulls and has not
	// said what it knows.
	Topics []SubscriptionDifference
	// Members are the client ids of the group's other members.
	Members []string
	// Since is when that was found first, without a pause since.
	Since time.Time
	// Err is the broker's refusal of pulls (a *BrokerError, SUBSCRIPTION_NOT_EXIST or
	// SUBSCRIPTION_NOT_LATEST), nil when none was refused.
	Err error
}

// SubscriptionDifference is one topic of a SubscriptionsDifferError. Ours and Theirs are
// expressions such as "tag1 || tag2", and "" where the topic is not subscribed to.
type SubscriptionDifference struct{ Topic, Ours, Theirs string }

// maxMembersShown keeps the error's text short in large groups.
const maxMembersShown = 5

func (e *SubscriptionsDifferError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "group %q: %v between its members", e.Group, ErrSubscriptionsDiffer)
	for i, t := range e.Topics {
		fmt.Fprintf(&b, "%s topic %q has %s here and %s there", []string{":", ","}[min(i, 1)], t.Topic, quotedOrNone(t.Ours), quotedOrNone(t.Theirs))
	}
	if n := len(e.Members); n > 0 {
		fmt.Fprintf(&b, "; other members: %s", strings.Join(e.Members[:min(n, maxMembersShown)], ", "))
		if n > maxMembersShown {
			fmt.Fprintf(&b, " and %d more", n-maxMembersShown)
		}
	}
	b.WriteString("; messages are missed: give every member of the group the same handlers, or use another group for the others; where a member that has left had them, restart one member")
	if e.Err != nil {
		fmt.Fprintf(&b, " (%v)", e.Err)
	}
	return b.String()
}

func quotedOrNone(expression string) string {
	if expression == "" {
		return "none"
	}
	return fmt.Sprintf("%q", expression)
}

// Unwrap makes it an ErrSubscriptionsDiffer, and the broker's refusal where there is one.
func (e *SubscriptionsDifferError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrSubscriptionsDiffer}
	}
	return []error{ErrSubscriptionsDiffer, e.Err}
}
