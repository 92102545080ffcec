package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

type payment struct {
	ID     string `json:"id"`
	Amount int    `json:"amount"`
}

func onText(context.Context, string) error           { return nil }
func onPayment(context.Context, payment) error       { return nil }
func onRaw(context.Context, *message.Delivery) error { return nil }
func onChannel(context.Context, chan int) error      { return nil }

// The texts are the product here: each says what, where and the remedy.
func TestEveryRegistrationMistakeNamesWhatWhereAndTheRemedy(t *testing.T) {
	t.Parallel()
	type mux = consumer.Mux
	for _, tc := range []struct {
		name  string
		group string // "" means pay
		opts  []consumer.GroupOption
		fill  func(*mux)
		want  []string
	}{
		{"nothing registered", "", nil, func(*mux) {},
			[]string{`no handler is registered; call consumer.Handle, HandleRaw, HandleDLQ, Bind or Mux.Add before New`}},
		{"empty group", " ", nil, func(m *mux) { consumer.Handle(m, "orders", onText) },
			[]string{`invalid group: the group is empty`}},
		{"invalid group", "pay group", nil, func(m *mux) { consumer.Handle(m, "orders", onText) },
			[]string{`invalid group: "pay group" has ' ' at byte 3; allowed are letters, digits and %|_-`}},
		{"empty topic", "", nil, func(m *mux) { consumer.Handle(m, "", onText) },
			[]string{`handler "#1": invalid topic: the topic is empty`}},
		{"invalid topic", "", nil, func(m *mux) { consumer.Handle(m, "orders!", onText, consumer.Name("paid")) },
			[]string{`handler "paid" of topic "orders!": invalid topic: "orders!" has '!' at byte 6; allowed are letters, digits and %|_-`}},
		{"topic too long", "", nil, func(m *mux) { consumer.Handle(m, strings.Repeat("t", 128), onText, consumer.Name("long")) },
			[]string{`handler "long" of topic "` + strings.Repeat("t", 128) + `": invalid topic: "` + strings.Repeat("t", 32) + `"… has 128 bytes, at most 127`}},
		{"nil handler", "", nil, func(m *mux) { consumer.Handle[string](m, "orders", nil) },
			[]string{`handler "orders": the handler function is nil; pass one`}},
		{"nil raw handler", "", nil, func(m *mux) { consumer.HandleRaw(m, "orders", nil) },
			[]string{`handler "orders": the handler function is nil; pass one`}},
		{"the group's own dead-letter queue", "", nil, func(m *mux) { consumer.Handle(m, "%DLQ%pay", onText) },
			[]string{`handler "%DLQ%pay": a group that consumes its own dead-letter queue sends what fails back into it for ever; use HandleDLQ`}},
		{"another group's dead-letter queue", "", nil, func(m *mux) { consumer.Handle(m, "%DLQ%stock", onText) },
			[]string{`handler "%DLQ%stock": a dead letter that is retried no longer shows its queue; use HandleDLQ in a mux of group "stock"`}},
		{"a retry topic", "", nil, func(m *mux) { consumer.Handle(m, "%RETRY%pay", onText) },
			[]string{`handler "%RETRY%pay": retry topics belong to their groups, which consume them by themselves; subscribe to the topic that the messages were sent to`}},
		{"tags without the bars", "", nil, func(m *mux) { consumer.Handle(m, "orders", onText, consumer.Tags("paid refunded")) },
			[]string{`handler "orders": tag "paid refunded" of "paid refunded" has white space, '|' or a control character; separate tags with "||"`}},
		{"tags with one bar", "", nil, func(m *mux) { consumer.Handle(m, "orders", onText, consumer.Tags("paid|refunded")) },
			[]string{`handler "orders": tag "paid|refunded" of "paid|refunded" has white space, '|' or a control character; separate tags with "||"`}},
		{"an empty tag", "", nil, func(m *mux) { consumer.Handle(m, "orders", onText, consumer.Tags("paid || ")) },
			[]string{`handler "orders[paid]": tags "paid || " have an empty tag; write them as "a || b"`}},
		{"a star among tags", "", nil, func(m *mux) { consumer.Handle(m, "orders", onText, consumer.Tags("paid || *")) },
			[]string{`handler "orders[paid]": tags "paid || *" mix "*" with others; "*" alone is every tag`}},
		{"a star beside tags", "", nil, func(m *mux) { consumer.Handle(m, "orders", onText, consumer.Tags("paid", "*")) },
			[]string{`handler "orders[paid]": tags ["paid" "*"] mix every tag with some; name either`}},
		{"one tag, two handlers", "", nil, func(m *mux) {
			consumer.Handle(m, "orders", onText, consumer.Name("a"), consumer.Tags("paid || refunded"))
			consumer.Handle(m, "orders", onText, consumer.Name("b"), consumer.Tags("closed || paid"))
		}, []string{`handlers "a" and "b" of topic "orders" both take tag "paid"; a message goes to one handler of a group: remove the tag from one, or give one a group of its own`}},
		{"every tag and some", "", nil, func(m *mux) {
			consumer.Handle(m, "orders", onText, consumer.Tags("paid"))
			consumer.Handle(m, "orders", onText)
		}, []string{`handlers "orders[paid]" and "orders" of topic "orders" overlap: "orders" takes every tag, also "paid"; give it tags, or a group of its own`}},
		{"every tag twice", "", nil, func(m *mux) {
			consumer.Handle(m, "orders", onText)
			consumer.Handle(m, "orders", onText)
		}, []string{`handler "orders" is registered twice; add it once, or give one of the two another topic or tags`}},
		{"every tag, two handlers", "", nil, func(m *mux) {
			consumer.Handle(m, "orders", onText, consumer.Name("one"))
			consumer.Handle(m, "orders", onText, consumer.Name("two"))
		}, []string{`handlers "one" and "two" of topic "orders" both take every message; a message goes to one handler of a group: give them tags, or give one a group of its own`}},
		{"SQL and tags, one handler", "", nil, func(m *mux) {
			consumer.Handle(m, "orders", onText, consumer.Tags("paid"), consumer.SQL("amount > 10"))
		}, []string{`handler "orders[paid]": it has tags and SQL; RocketMQ filters a topic by one of them (SQL can test tags: TAGS = 'a')`}},
		{"SQL and tags, two handlers", "", nil, func(m *mux) {
			consumer.Handle(m, "orders", onText, consumer.Tags("paid"))
			consumer.Handle(m, "orders", onText, consumer.Name("large"), consumer.SQL("amount > 10"))
		}, []string{`handlers "orders[paid]" and "large" of topic "orders" mix SQL and tags; RocketMQ filters a topic of a group by one of them: use one kind for both, or give one a group of its own`}},
		{"SQL twice", "", nil, func(m *mux) {
			consumer.Handle(m, "orders", onText, consumer.Name("large"), consumer.SQL("amount > 10"))
			consumer.Handle(m, "orders", onText, consumer.Name("small"), consumer.SQL("amount <= 10"))
		}, []string{`handlers "large" and "small" of topic "orders" both subscribe by SQL; RocketMQ takes one expression for a group and topic: join them, or give one a group of its own`}},
		{"empty SQL", "", nil, func(m *mux) { consumer.Handle(m, "orders", onText, consumer.SQL(" ")) },
			[]string{`handler "orders": SQL is empty; write an expression, or leave it out for every message`}},
		{"one name twice", "", nil, func(m *mux) {
			consumer.Handle(m, "orders", onText, consumer.Name("paid"))
			consumer.Handle(m, "refunds", onText, consumer.Name("paid"))
		}, []string{`two handlers are named "paid", of topics "orders" and "refunds"; give one another with Name or a name tag`}},
		{"a name that another has by default", "", nil, func(m *mux) {
			consumer.Handle(m, "orders", onText)
			consumer.Handle(m, "refunds", onText, consumer.Name("orders"))
		}, []string{`two handlers are named "orders", of topics "orders" and "refunds"; give one another with Name or a name tag`}},
		{"an empty name", "", nil, func(m *mux) { consumer.Handle(m, "orders", onText, consumer.Name("")) },
			[]string{`handler of topic "orders": its name is empty; leave Name out or give one`}},
		{"numbers that make no sense", "",
			[]consumer.GroupOption{
				consumer.Concurrency(0), consumer.Timeout(0), consumer.Retry(retry.Levels(-1)), consumer.Codec(nil), consumer.From(7),
				consumer.PullBatch(1025), consumer.MaxUnsettled(0), consumer.MaxUnsettledBytes(0), consumer.MaxSpan(-1), consumer.ShutdownTimeout(-time.Second),
			},
			func(m *mux) { consumer.HandleRaw(m, "orders", onRaw) },
			[]string{
				`Concurrency(0): at least 1`, `Timeout(0s): must be positive`,
				`Codec(nil): name a codec, or leave the option out for the type's own`,
				`invalid retry policy: -1 retries; use retry.None() for a message that is never retried`,
				`PullBatch(1025): 1 to 1024`, `MaxUnsettled(0): 1 to 65535`, `MaxUnsettledBytes(0): at least 1`, `MaxSpan(-1): 1 to 65535`,
				`ShutdownTimeout(-1s): must be positive`, `From(7): use consumer.First or consumer.Last`,
			}},
		{"numbers of a handler", "", nil, func(m *mux) {
			consumer.Handle(m, "orders", onText, consumer.Concurrency(-3), consumer.Timeout(-1), consumer.Retry(retry.Levels(1).Immediately(-1)), consumer.RateLimit(math.Inf(1)))
		}, []string{
			`handler "orders": Concurrency(-3): at least 1`,
			`handler "orders": Timeout(-1ns): must be positive`,
			`handler "orders": invalid retry policy: -1 immediate retries; at least 0`,
			`handler "orders": RateLimit(+Inf): want 0.001 to 1e+09 messages a second; leave it out for no limit`,
		}},
		{"a codec that does not fit", "", nil, func(m *mux) { consumer.Handle(m, "orders", onPayment, consumer.Codec(codec.Text{})) },
			[]string{`handler "orders": codec text: type does not fit the codec: text carries a string or []byte, not consumer_test.payment; use JSON for it`}},
		{"a group's codec that does not fit", "", []consumer.GroupOption{consumer.Codec(codec.Raw{})}, func(m *mux) { consumer.Handle(m, "orders", onText) },
			[]string{`handler "orders": codec raw: type does not fit the codec: raw carries []byte, not string; use text for strings and JSON for the rest`}},
		{"a type that no codec takes", "", nil, func(m *mux) { consumer.Handle(m, "orders", onChannel) },
			[]string{`handler "orders": codec json: type does not fit the codec: JSON has no form for chan int`}},
		{"a codec for a raw handler", "", nil, func(m *mux) { consumer.HandleRaw(m, "orders", onRaw, consumer.Codec(codec.JSON{})) },
			[]string{`handler "orders": it takes messages undecoded, so it has no use for a codec; remove Codec`}},
		{"nil things", "", []consumer.GroupOption{nil}, func(m *mux) {
			m.Use(nil)
			m.Add(nil)
			consumer.Handle(m, "orders", onText, nil)
		}, []string{
			`Mux.Add was given a nil listener; remove it`,
			`a group option is nil; remove it`,
			`handler of topic "orders": an option is nil; remove it`,
			`middleware 1 is nil; remove it`,
		}},
		{"two dead-letter handlers", "", nil, func(m *mux) {
			consumer.HandleDLQ(m, onRaw, consumer.Name("first"))
			consumer.HandleDLQ(m, onRaw, consumer.Name("second"))
		}, []string{`HandleDLQ was called 2 times; a group has one dead-letter queue and one handler for it`}},
		{"options that dead letters cannot have", strings.Repeat("g", 118), nil, func(m *mux) {
			consumer.HandleDLQ(m, nil, consumer.Tags("paid"), consumer.Retry(retry.None()), consumer.Codec(codec.Text{}))
		}, []string{
			`handler "dlq": the handler function is nil; pass one`,
			`handler "dlq": it takes messages undecoded, so it has no use for a codec; remove Codec`,
			`handler "dlq": HandleDLQ takes every dead letter of the group; remove Tags and SQL and tell them apart by d.Tag and d.OriginTopic()`,
			`handler "dlq": dead letters are retried without end and never dead-lettered; remove Retry and MaxRetries`,
			`handler "dlq": its group "` + strings.Repeat("g", 32) + `"… has 122 bytes, at most 120; shorten the group's name`,
		}},
		{"unknown names", "", []consumer.GroupOption{consumer.ForHandler("payed", consumer.Concurrency(1)), consumer.Disable("refund")}, func(m *mux) {
			consumer.Handle(m, "refunds", onText, consumer.Name("refunded"))
			consumer.Handle(m, "orders", onText, consumer.Name("paid"))
		}, []string{
			`no handler is named "payed", as ForHandler or the configuration's handlers[].name says; did you mean "paid"? registered are "paid", "refunded"`,
			`no handler is named "refund", as Disable or the configuration's handlers[].name says; did you mean "refunded"? registered are "paid", "refunded"`,
		}},
		{"options that come too late", "", []consumer.GroupOption{consumer.ForHandler("orders", consumer.Tags("x"))}, func(m *mux) { consumer.Handle(m, "orders", onText) },
			[]string{`ForHandler("orders") changes its name or subscription; only Concurrency, Retry, MaxRetries, Codec, Timeout, Deduplicate, RateLimit, KillSwitch, BatchSize and BatchWait can be given afterwards`}},
		{"everything disabled", "", []consumer.GroupOption{consumer.Disable("orders")}, func(m *mux) { consumer.Handle(m, "orders", onText) },
			[]string{`every handler is disabled; do not make the consumer`}},
		{"strict delays on a driver that rounds", "", []consumer.GroupOption{consumer.StrictRetryDelay()}, func(m *mux) { consumer.Handle(m, "orders", onText) },
			[]string{`not supported: StrictRetryDelay needs a driver that keeps retry delays, and scripted rounds them up to delay levels; use the native driver or remove the option`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			group := tc.group
			if group == "" {
				group = "pay"
			}
			m := consumer.NewMux(group)
			tc.fill(m)
			drv := newScripted()
			drv.caps.ExactRetryDelay = false
			_, err := consumer.New(drv, m, tc.opts...)
			var reg *consumer.RegistrationError
			if !errors.As(err, &reg) || !errors.Is(err, consumer.ErrRegistration) {
				t.Fatalf("New: %v, want a RegistrationError", err)
			}
			got := make([]string, len(reg.Mistakes))
			for i, m := range reg.Mistakes {
				got[i] = m.Error()
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("mistakes (-want +got):\n%s", d)
			}
			if len(drv.subs) != 0 {
				t.Error("the driver was asked although the registration is wrong")
			}
		})
	}
}

func TestMistakesAreReportedAllAtOnce(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay", consumer.Concurrency(-1))
	consumer.Handle(m, "", onText)
	consumer.Handle[string](m, "orders", nil)
	_, err := consumer.New(newScripted(), m)
	want := `consumer group "pay": 3 registration mistakes:
  - Concurrency(-1): at least 1
  - handler "#1": invalid topic: the topic is empty
  - handler "orders": the handler function is nil; pass one`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if !errors.Is(err, message.ErrInvalidTopic) {
		t.Error("the causes are hidden")
	}
}

func TestTheSentinelsOfMistakesCanBeFound(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay!", consumer.StrictRetryDelay(), consumer.Retry(retry.Levels(-1)))
	consumer.Handle(m, "orders", onChannel)
	drv := newScripted()
	drv.caps.ExactRetryDelay = false
	_, err := consumer.New(drv, m)
	for _, sentinel := range []error{message.ErrInvalidGroup, message.ErrUnsupported, retry.ErrPolicy, codec.ErrType} {
		if !errors.Is(err, sentinel) {
			t.Errorf("%v is not found in %v", sentinel, err)
		}
	}
}

// byHand is a way to share queues.
type byHand struct{ driver.AllocateStrategy }

// The subscription must not depend on the order of registration: RocketMQ compares
// what the members of a group say.
func TestHandlersOfAGroupBecomeOneSubscriptionForEachTopic(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay", consumer.From(consumer.First), consumer.PullBatch(16), consumer.MaxUnsettled(10),
		consumer.MaxUnsettledBytes(1<<20), consumer.MaxSpan(99), consumer.StrictRetryDelay(), consumer.Retry(retry.Levels(3)), consumer.Allocate(byHand{}))
	consumer.Handle(m, "orders", onText, consumer.Tags("refunded || paid"))
	consumer.Handle(m, "orders", onPayment, consumer.Tags("closed", "paid-late"), consumer.Retry(retry.Levels(20)))
	consumer.Handle(m, "stock", onText, consumer.SQL("amount > 10"))
	consumer.HandleRaw(m, "audit", onRaw, consumer.Tags("*"))
	consumer.HandleDLQ(m, onRaw)
	drv := newScripted()
	start(t, drv, m)
	want := []driver.SubscriptionConfig{
		{
			Group: "pay", From: driver.FromFirst, PullBatch: 16, MaxUnsettled: 10, MaxUnsettledBytes: 1 << 20, MaxSpan: 99, Allocate: byHand{},
			MaxRetries: 20,
			Topics: []driver.TopicFilter{
				{Topic: "orders", Type: "TAG", Expression: "closed || paid || paid-late || refunded"},
				{Topic: "stock", Type: "SQL92", Expression: "amount > 10"},
				{Topic: "audit", Type: "TAG", Expression: "*"},
			},
		},
		{
			Group: "pay_dlq", From: driver.FromFirst, PullBatch: 16, MaxUnsettled: 10, MaxUnsettledBytes: 1 << 20, MaxSpan: 99, Allocate: byHand{},
			MaxRetries: 1<<31 - 1,
			Topics:     []driver.TopicFilter{{Topic: "%DLQ%pay", Type: "TAG", Expression: "*"}},
		},
	}
	var got []driver.SubscriptionConfig
	for _, s := range drv.subs {
		got = append(got, s.cfg)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("subscriptions (-want +got):\n%s", d)
	}
}

func TestAGroupWithoutRetriesSaysSoToTheDriver(t *testing.T) {
	t.Parallel()
	for want, p := range map[int]retry.Policy{-1: retry.None(), 16: {}, 5: retry.Levels(5)} {
		m := consumer.NewMux("pay", consumer.Retry(p))
		consumer.Handle(m, "orders", onText)
		drv := newScripted()
		start(t, drv, m)
		if got := drv.sub(t, "pay").cfg.MaxRetries; got != want {
			t.Errorf("%v: MaxRetries %d, want %d", p, got, want)
		}
	}
}

func TestADisabledHandlerIsNotSubscribed(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay")
	consumer.Handle(m, "orders", onText, consumer.Tags("paid"))
	consumer.Handle(m, "orders", onText, consumer.Tags("refunded"), consumer.Name("refund"))
	consumer.Handle(m, "stock", onText)
	consumer.HandleDLQ(m, onRaw)
	drv := newScripted()
	start(t, drv, m, consumer.Disable("refund"), consumer.Disable("stock"), consumer.Disable("dlq"))
	want := []driver.TopicFilter{{Topic: "orders", Type: "TAG", Expression: "paid"}}
	if d := cmp.Diff(want, drv.sub(t, "pay").cfg.Topics); d != "" {
		t.Errorf("topics (-want +got):\n%s", d)
	}
	if len(drv.subs) != 1 {
		t.Errorf("%d subscriptions, want 1", len(drv.subs))
	}
}

func TestAMuxOfDeadLettersAloneHasNoOtherSubscription(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay")
	consumer.HandleDLQ(m, onRaw)
	drv := newScripted()
	start(t, drv, m)
	if len(drv.subs) != 1 || drv.subs[0].cfg.Group != "pay_dlq" {
		t.Fatalf("subscriptions: %+v", drv.subs)
	}
	if drv.subs[0].cfg.From != driver.FromFirst {
		t.Error("dead letters that came before the consumer would be missed")
	}
}

func TestADriversRefusalEndsWhatWasBegun(t *testing.T) {
	t.Parallel()
	for _, group := range []string{"pay", "pay_dlq"} {
		m := consumer.NewMux("pay")
		consumer.Handle(m, "orders", onText)
		consumer.HandleDLQ(m, onRaw)
		drv := newScripted()
		drv.refuse = map[string]error{group: message.ErrUnsupported}
		_, err := consumer.New(drv, m)
		if want := fmt.Sprintf("consumer group %q: not supported", group); !errors.Is(err, message.ErrUnsupported) || err.Error() != want {
			t.Errorf("New: %v, want %s", err, want)
		}
		for _, s := range drv.subs {
			if d := cmp.Diff([]string{"Stop"}, s.calls); d != "" {
				t.Errorf("%s: calls (-want +got):\n%s", s.cfg.Group, d)
			}
		}
	}
}

// taken wants a driver with these capabilities to have a consumer made of m or, where
// there are words, m to be refused with all of them.
func taken(t *testing.T, caps driver.Capabilities, m *consumer.Mux, words []string) {
	t.Helper()
	drv := newScripted()
	drv.caps = caps
	c, err := consumer.New(drv, m)
	if words == nil {
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		return
	}
	if !errors.Is(err, consumer.ErrRegistration) {
		t.Fatalf("error %v", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %v does not say %q", err, word)
		}
	}
}

// Listeners that are collected by two ways come twice; what is wrong with one is said once.
func TestListenersThatAreAddedTwiceAreNamedOnce(t *testing.T) {
	t.Parallel()
	batch := func(context.Context, *consumer.Batch[string]) error { return nil }
	h := func(context.Context, string) error { return nil }
	listeners := []consumer.Registration{
		consumer.Listener[string]{Name: "paid", Topic: "orders", Concurrency: -1, Handle: h, Options: []consumer.HandlerOption{consumer.Setting("retries", "many"), nil}},
		consumer.Listener[string]{Name: "both", Topic: "orders", Handle: h, HandleBatch: batch},
		consumer.Listener[string]{Name: "lost", Topic: "${nowhere}", HandleBatch: batch},
		consumer.Listener[string]{Topic: "stock", Tags: "a || b", HandleBatch: batch},
		consumer.DeadLetters{Name: "dead", Handle: func(context.Context, *message.Delivery) error { return nil }},
		(*consumer.Listener[string])(nil),
	}
	m := consumer.NewMux("pay")
	m.Add(listeners...)
	m.Add(listeners...)
	m.Add(consumer.Listener[string]{Name: "stock", Topic: "stock", Tags: "c", HandleBatch: batch}) // the same function for other tags
	_, err := consumer.New(newScripted(), m, consumer.ForHandler("stock", consumer.Setting("batch", "few")))
	const twice = " is registered twice; add it once, or give one of the two another topic or tags"
	want := `consumer group "pay": 11 registration mistakes:
  - handler "both" of topic "orders": it has Handle and HandleBatch; a message goes to one of them
  - Mux.Add was given a nil listener; remove it
  - handler "paid" of topic "orders": retries is "many"; write a number from 0 (dead-letter the first failure) on
  - handler "paid" of topic "orders": an option is nil; remove it
  - handler "lost" of topic "${nowhere}": topic: placeholder ${nowhere} cannot be looked up; pass the option Placeholders, or write ${nowhere:default}
  - handler "paid" of topic "orders"` + twice + `
  - handler "lost" of topic "${nowhere}"` + twice + `
  - handler "stock[a || b]"` + twice + `
  - handler "dead"` + twice + `
  - handler "stock" of topic "stock": ForHandler: batch is "few"; write a number from 1 on
  - handler "paid" of topic "orders": Concurrency(-1): at least 1`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
