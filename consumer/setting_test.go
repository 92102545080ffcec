package consumer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// A Mux with Placeholders and Codecs resolves what listeners, settings and structs say.
func TestTextsMeanWhatTheMuxSays(t *testing.T) {
	t.Parallel()
	var calls []string // of one handler at a time
	m := consumer.NewMux("pay", properties("pay.topic", "orders", "paid", "card || transfer", "n", "1", "r", "2"), consumer.Codecs(cbor{}))
	m.Add(
		consumer.Listener[payment]{
			Name: "${name:paid}", Topic: "${pay.topic}", Tags: "${paid}", Timeout: time.Minute,
			Options: []consumer.HandlerOption{
				consumer.Setting("concurrency", "${n}"), consumer.Setting("codec", "cbor"), consumer.Setting("retries", "7"), consumer.MaxRetries(3),
				consumer.Setting("kill_switch", "on"), consumer.Setting("rate_limit", "${rate:1000}"),
			},
			Handle: func(_ context.Context, p payment) error {
				calls = append(calls, "paid "+p.ID)
				return errors.New("no funds")
			},
		},
		consumer.DeadLetters{Name: "dead", Concurrency: 1, Handle: func(_ context.Context, d *message.Delivery) error {
			calls = append(calls, "dead "+d.ID)
			return nil
		}},
	)
	if err := consumer.Bind(m, struct {
		Large consumer.Func[string] `topic:"${stock:stock}" retries:"${r}" rate_limit:"1000" kill_switch:"ratio=0.9 at_least=5 window=2m pause_for=10s"`
	}{func(context.Context, string) error { return errors.New("no stock") }}); err != nil {
		t.Fatal(err)
	}
	drv := newScripted()
	start(t, drv, m, consumer.ForHandler("paid", consumer.Setting("timeout", "2m")))
	sub := drv.sub(t, "pay")
	want := []driver.TopicFilter{
		{Topic: "orders", Type: "TAG", Expression: "card || transfer"},
		{Topic: "stock", Type: "TAG", Expression: "*"},
	}
	if d := cmp.Diff(want, sub.cfg.Topics); d != "" {
		t.Errorf("topics (-want +got):\n%s", d)
	}
	q := sub.assign()
	q.deliver(msg("m1", "orders", "card", `{"id":"p1"}`))
	q.await(1)
	q.deliver(msg("m2", "stock", "", "1"))
	if d := cmp.Diff([]settled{
		{"m1", driver.Verdict{Action: driver.ActionRetry, MaxRetries: 3}},
		{"m2", driver.Verdict{Action: driver.ActionRetry, MaxRetries: 2}},
	}, q.await(2)); d != "" {
		t.Errorf("settled (-want +got):\n%s", d)
	}
	dead := drv.sub(t, "pay_dlq").assign()
	dead.deliver(msg("m3", "%DLQ%pay", "", ""))
	dead.await(1)
	if d := cmp.Diff([]string{"paid p1", "dead m3"}, calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func TestMistakesInTextsNameTheirHandler(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay")
	m.Add(
		consumer.Listener[string]{Topic: "${pay.topic}", Handle: onText},
		consumer.Listener[string]{Topic: "orders", Tags: "${tags:a b}", Handle: onText},
		consumer.DeadLetters{},
	)
	consumer.Handle(m, "stock", onText,
		consumer.Setting("concurrency", "few"), consumer.Setting("codec", "xml"), consumer.Setting("tag", "a"), consumer.Setting("topic", "a"), consumer.Setting("timeout", "${t}"))
	_, err := consumer.New(newScripted(), m)
	var reg *consumer.RegistrationError
	if !errors.As(err, &reg) {
		t.Fatal(err)
	}
	got := make([]string, len(reg.Mistakes))
	for i, m := range reg.Mistakes {
		got[i] = m.Error()
	}
	want := []string{
		`handler of topic "${pay.topic}": topic: placeholder ${pay.topic} cannot be looked up; pass the option Placeholders, or write ${pay.topic:default}`,
		`handler of topic "stock": concurrency is "few"; write a number from 1 on`,
		`handler of topic "stock": codec names an unknown codec "xml"; known are text, json, raw; others must be given to consumer.Codecs`,
		`handler of topic "stock": tag is not known; did you mean tags?`,
		`handler of topic "stock": topic is not known; known are tags, sql, concurrency, retries, codec, name, timeout, batch, batch_wait, rate_limit, kill_switch`,
		`handler of topic "stock": timeout: placeholder ${t} cannot be looked up; pass the option Placeholders, or write ${t:default}`,
		`handler "orders": tag "a b" of "a b" has white space, '|' or a control character; separate tags with "||"`,
		`handler "dlq": the handler function is nil; pass one`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("mistakes (-want +got):\n%s", d)
	}
}
