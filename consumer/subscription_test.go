package consumer_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
)

func TestMistakesInSubscriptionsAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := consumer.NewFetcher(newScripted(), "pay", []consumer.Subscription{
		{Topic: "a b"},
		{Topic: "paid", Tags: "x", SQL: "amount > 10"},
		{Topic: "refunds", SQL: " "},
		{Topic: "orders", Tags: "x || *"},
		{Topic: "bills"},
		{Topic: "bills", Tags: "x"},
	})
	var mistakes *consumer.RegistrationError
	if !errors.As(err, &mistakes) {
		t.Fatalf("%v, want a *RegistrationError", err)
	}
	var got []string
	for _, m := range mistakes.Mistakes {
		got = append(got, m.Error())
	}
	want := []string{
		`invalid topic: "a b" has ' ' at byte 1; allowed are letters, digits and %|_-`,
		`topic "paid" has tags "x" and an SQL92 expression; name either`,
		`topic "refunds": SQL is blank; write an expression, or leave it out for every message`,
		`topic "orders": tags "x || *" mix "*" with others; "*" alone is every tag`,
		`topic "bills" is subscribed to twice; RocketMQ takes one expression for a group and topic`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("mistakes (-want +got):\n%s", d)
	}
}

func TestSubscriptionsBecomeTheDriversFilters(t *testing.T) {
	t.Parallel()
	drv := newScripted()
	_, err := consumer.NewFetcher(drv, "pay", []consumer.Subscription{
		{Topic: "orders"}, {Topic: "paid", Tags: " x||y "}, {Topic: "refunds", Tags: "*"}, {Topic: "bills", SQL: "amount > 10"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []driver.TopicFilter{
		{Topic: "orders", Type: driver.ExpressionTag, Expression: "*"},
		{Topic: "paid", Type: driver.ExpressionTag, Expression: "x || y"},
		{Topic: "refunds", Type: driver.ExpressionTag, Expression: "*"},
		{Topic: "bills", Type: driver.ExpressionSQL, Expression: "amount > 10"},
	}
	if d := cmp.Diff(want, drv.sub(t, "pay").cfg.Topics); d != "" {
		t.Errorf("filters (-want +got):\n%s", d)
	}
}
