package message_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/message"
)

func TestSubscriptionsThatDifferAreNamed(t *testing.T) {
	t.Parallel()
	refusal := &message.BrokerError{Code: 24, Name: "SUBSCRIPTION_NOT_EXIST"}
	err := error(&message.SubscriptionsDifferError{
		Group: "pay", Err: refusal, Members: strings.Split("1234567", ""),
		Topics: []message.SubscriptionDifference{{"orders", "a || b", "*"}, {"refunds", "", "*"}},
	})
	for _, part := range []string{
		`group "pay": subscriptions differ between its members: topic "orders" has "a || b" here and "*" there, topic "refunds" has none here and "*" there;`,
		"other members: 1, 2, 3, 4, 5 and 2 more;", "use another group", "(SUBSCRIPTION_NOT_EXIST (24))",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in %v", part, err)
		}
	}
	if !errors.Is(err, message.ErrSubscriptionsDiffer) || !errors.Is(err, refusal) {
		t.Error("not what it wraps")
	}
}
