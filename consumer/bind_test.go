package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

func properties(kv ...string) consumer.TextOption {
	m := make(map[string]string)
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return consumer.Placeholders(func(key string) (string, bool) { v, ok := m[key]; return v, ok })
}

func TestEveryMistakeInTagsNamesItsFieldAndTheRemedy(t *testing.T) {
	t.Parallel()
	text := consumer.Func[string](onText)
	type embedded struct {
		Paid consumer.Func[string] `topic:"orders" retries:"many"`
	}
	for _, tc := range []struct {
		name     string
		handlers any
		opts     []consumer.BindOption
		want     []string
	}{
		{"nil", nil, nil, []string{`it takes a struct of handlers or a pointer to one, not nil`}},
		{"nil pointer", (*embedded)(nil), nil, []string{`it takes a struct of handlers or a pointer to one, not a nil *consumer_test.embedded`}},
		{"not a struct", "orders", nil, []string{`it takes a struct of handlers or a pointer to one, not string`}},
		{"no handlers", struct{ Log string }{}, nil, []string{`the struct has no field of type consumer.Func or consumer.BatchFunc with a topic tag`}},
		{"no topic", struct{ Paid consumer.Func[string] }{text}, nil,
			[]string{"field Paid: it has no topic tag; add `topic:\"…\"`, or `topic:\"-\"` to leave it out"}},
		{"empty topic", struct {
			Paid consumer.Func[string] `topic:""`
		}{text}, nil, []string{"field Paid: tag topic is empty; name a topic, or write `topic:\"-\"` to leave the field out"}},
		{"nil handler", struct {
			Paid consumer.Func[string] `topic:"orders"`
		}{}, nil, []string{"field Paid: the handler function is nil; assign one, or write `topic:\"-\"` to leave the field out"}},
		{"unexported", struct {
			paid consumer.Func[string] `topic:"orders"`
		}{text}, nil, []string{"field paid: it is not exported, so it cannot be read; write Paid"}},
		{"not a Func", struct {
			Paid func(context.Context, string) error `topic:"orders"`
		}{onText}, nil, []string{"field Paid: it has a topic or dlq tag but is a func(context.Context, string) error; make it a consumer.Func[T] or consumer.BatchFunc[T]"}},
		{"behind a pointer", struct{ *embedded }{}, nil, []string{"field embedded: its handlers are behind a pointer; embed the struct itself"}},
		{"other pointers", struct{ *string }{}, nil, []string{`the struct has no field of type consumer.Func or consumer.BatchFunc with a topic tag`}},
		{"a pointer to another struct", struct{ *payment }{}, nil, []string{`the struct has no field of type consumer.Func or consumer.BatchFunc with a topic tag`}},
		{"embedded", struct{ embedded }{embedded{text}}, nil,
			[]string{`field Paid: tag retries is "many"; write a number from 0 (dead-letter the first failure) on`}},
		{"numbers", struct {
			Paid consumer.Func[string] `topic:"orders" concurrency:"0" retries:"-1" timeout:"15" codec:"xml"`
		}{text}, nil, []string{
			`field Paid: tag concurrency is "0"; write a number from 1 on`,
			`field Paid: tag retries is "-1"; write a number from 0 (dead-letter the first failure) on`,
			`field Paid: tag timeout is "15"; write a duration such as 30s or 15m`,
			`field Paid: tag codec names an unknown codec "xml"; known are text, json, raw; others must be given to consumer.Codecs`,
		}},
		{"tags", struct {
			Paid consumer.Func[string] `topic:"orders" tags:"paid refunded || *"`
		}{text}, nil, []string{
			`field Paid: tag "paid refunded" of "paid refunded || *" has white space, '|' or a control character; separate tags with "||"`,
			`field Paid: tags "paid refunded || *" mix "*" with others; "*" alone is every tag`,
		}},
		{"Go's grammar", tagged(`topic: "orders"`, `topic:"refunds`, `topic=stock`, `"topic":"x"`), nil, []string{
			"field F0: its tag is not in Go's grammar from `topic: \"orders\"` on; write key:\"value\" pairs with a space between",
			"field F1: its tag is not in Go's grammar from `topic:\"refunds` on; close the quotes",
			"field F2: its tag is not in Go's grammar from `topic=stock` on; write key:\"value\" pairs with a space between",
			"field F3: its tag is not in Go's grammar from `\"topic\":\"x\"` on; write key:\"value\" pairs with a space between",
		}},
		{"mistyped keys", struct {
			Paid consumer.Func[string] `topic:"orders" tag:"paid" concurency:"3" Retries:"1" timeuot:"1s" retry:"2" json:"-" wire:"-" yaml:"paid" xml:"paid"`
		}{text}, nil, []string{
			`field Paid: tag tag is not known; did you mean tags?`,
			`field Paid: tag concurency is not known; did you mean concurrency?`,
			`field Paid: tag Retries is not known; did you mean retries?`,
			`field Paid: tag timeuot is not known; did you mean timeout?`,
			`field Paid: tag retry is not known; did you mean retries?`,
		}},
		{"rates and switches", struct {
			Paid   consumer.Func[string] `topic:"orders" rate_limit:"fast" kill_switch:"0.5"`
			Refund consumer.Func[string] `topic:"refunds" rate_limit:"-1" kill_switch:"ratio=2"`
			Stock  consumer.Func[string] `topic:"stock" kill_switch:"" batch_wait:"1"`
		}{text, text, text}, nil, []string{
			`field Paid: tag rate_limit is "fast"; write messages a second, such as 100 or 0.5`,
			`field Paid: tag kill_switch is "0.5": "0.5" is not known; write on, or some of ratio=0.5 at_least=20 window=1m pause_for=1m`,
			`field Refund: tag rate_limit is "-1"; write messages a second, such as 100 or 0.5`,
			`field Refund: tag kill_switch is "ratio=2": "ratio=2" has no such value; write on, or some of ratio=0.5 at_least=20 window=1m pause_for=1m`,
			`field Stock: tag kill_switch is "": it says nothing; write on, or some of ratio=0.5 at_least=20 window=1m pause_for=1m`,
			`field Stock: tag batch_wait is "1"; write a duration such as 100ms`,
		}},
		{"topics", struct {
			Paid consumer.Func[string] `topics:"orders"`
		}{text}, nil, []string{`field Paid: tag topics is not known; did you mean topic?`}},
		{"rocketmq-spring's names", struct {
			Paid consumer.Func[string] `topic:"orders" consumerGroup:"pay" selectorExpression:"a" consumeThreadNumber:"3" maxReconsumeTimes:"1" consumeMode:"ORDERLY" messageModel:"BROADCASTING" batchSize:"2" rateLimit:"3"`
		}{text}, nil, []string{
			`field Paid: tag consumerGroup is not known; the group is the Mux's, see consumer.NewMux`,
			`field Paid: tag selectorExpression is not known; did you mean tags, or sql for an SQL92 expression?`,
			`field Paid: tag consumeThreadNumber is not known; did you mean concurrency?`,
			`field Paid: tag maxReconsumeTimes is not known; did you mean retries?`,
			`field Paid: tag consumeMode is not known; order belongs to the group: give consumer.Ordered or consumer.OrderedBy to consumer.NewMux, or set order in the group's configuration`,
			`field Paid: tag messageModel is not known; the model belongs to the group: give consumer.Broadcast to consumer.NewMux, or set model in the group's configuration`,
			`field Paid: tag batchSize is not known; did you mean batch?`,
			`field Paid: tag rateLimit is not known; did you mean rate_limit?`,
		}},
		{"a tag twice", tagged(`topic:"orders" topic:"refunds"`), nil,
			[]string{`field F0: it has the tag topic twice; Go reads the first only: remove one`}},
		{"dead letters", struct {
			Text consumer.Func[string]            `dlq:"true"`
			Both consumer.Func[*message.Delivery] `dlq:"true" topic:"orders"`
			No   consumer.Func[*message.Delivery] `dlq:"no"`
			Func func(context.Context, string)    `dlq:"true"`
		}{text, onRaw, onRaw, nil}, nil, []string{
			`field Text: it has a dlq tag but is a consumer.Func[string]; make it a consumer.Func[*message.Delivery], since dead letters are of all kinds`,
			`field Both: it has tags topic and dlq; dead letters are of all topics of the group: remove one`,
			"field No: tag dlq is \"no\"; write `dlq:\"true\"` for the handler of the group's dead letters, or leave it out",
			`field Func: it has a topic or dlq tag but is a func(context.Context, string); make it a consumer.Func[T] or consumer.BatchFunc[T]`,
		}},
		{"placeholders without a lookup", struct {
			Paid consumer.Func[string] `topic:"${pay.topic}"`
		}{text}, nil, []string{`field Paid: tag topic: placeholder ${pay.topic} cannot be looked up; pass the option Placeholders, or write ${pay.topic:default}`}},
		{"placeholders", struct {
			Paid   consumer.Func[string] `topic:"${pay.topic}" tags:"${tags" concurrency:"${n}"`
			Refund consumer.Func[string] `topic:"${}" name:"${:x}"`
			Empty  consumer.Func[string] `topic:"${none:}"`
		}{text, text, text}, []consumer.BindOption{properties("n", "few")}, []string{
			`field Paid: tag topic: placeholder ${pay.topic} has no value and no default; set it, or write ${pay.topic:default}`,
			`field Paid: tag tags: placeholder ${tags has no closing brace; write ${key} or ${key:default}`,
			`field Paid: tag concurrency is "few"; write a number from 1 on`,
			`field Refund: tag topic: placeholder ${} has no key; write ${key} or ${key:default}`,
			`field Refund: tag name: placeholder ${:x} has no key; write ${key} or ${key:default}`,
			"field Empty: tag topic is empty; name a topic, or write `topic:\"-\"` to leave the field out",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := consumer.NewMux("pay")
			err := consumer.Bind(m, tc.handlers, tc.opts...)
			var reg *consumer.RegistrationError
			if !errors.As(err, &reg) {
				t.Fatalf("Bind: %v, want a RegistrationError", err)
			}
			if want := fmt.Sprintf("consumer.Bind(%T)", tc.handlers); reg.Where != want {
				t.Errorf("where: %q, want %q", reg.Where, want)
			}
			got := make([]string, len(reg.Mistakes))
			for i, m := range reg.Mistakes {
				got[i] = m.Error()
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("mistakes (-want +got):\n%s", d)
			}
			consumer.Handle(m, "other", onText)
			if _, err := consumer.New(newScripted(), m); !errors.Is(err, reg) {
				t.Errorf("New forgot what Bind found: %v", err)
			}
		})
	}
}

func TestAMistakeInTagsRegistersNothing(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay")
	err := consumer.Bind(m, struct {
		Paid   consumer.Func[string] `topic:"orders"`
		Refund consumer.Func[string] `topic:"refunds" retries:"x"`
	}{onText, onText})
	want := `consumer.Bind(struct { Paid consumer.Func[string] "topic:\"orders\""; Refund consumer.Func[string] "topic:\"refunds\" retries:\"x\"" }): 1 registration mistake:
  - field Refund: tag retries is "x"; write a number from 0 (dead-letter the first failure) on`
	if err == nil || err.Error() != want {
		t.Fatalf("Bind: %v\nwant %s", err, want)
	}
	_, err = consumer.New(newScripted(), m)
	var reg *consumer.RegistrationError
	if !errors.As(err, &reg) || len(reg.Mistakes) != 2 {
		t.Fatalf("New: %v, want Bind's mistakes and that no handler is registered", err)
	}
}

type payHandlers struct {
	payExtras
	Log     string
	Skipped consumer.Func[string]            `topic:"-"`
	Paid    consumer.Func[payment]           `topic:"${pay.topic:pay_test_topic}" tags:"tag1 || ${pay.tag}" concurrency:"${n}" retries:"1" codec:"cbor" timeout:"2m" name:"paid"`
	Raw     consumer.Func[*message.Delivery] `topic:"raw" json:"raw"`
}

type payExtras struct {
	Large consumer.Func[string] `topic:"stock" sql:"amount > 10"`
}

type cbor struct{ codec.JSON }

func (cbor) Name() string { return "cbor" }

func TestBoundHandlersWorkAsTheirTagsSay(t *testing.T) {
	t.Parallel()
	calls := make(chan string, 8)
	h := &payHandlers{
		payExtras: payExtras{Large: func(_ context.Context, s string) error { calls <- "large " + s; return nil }},
		Paid: func(ctx context.Context, p payment) error {
			deadline, _ := ctx.Deadline()
			calls <- fmt.Sprint("paid ", p.ID, time.Until(deadline).Round(time.Minute))
			return errors.New("no funds")
		},
		Raw: func(_ context.Context, d *message.Delivery) error { calls <- "raw " + string(d.Body); return nil },
	}
	m := consumer.NewMux("pay")
	if err := consumer.Bind(m, h, properties("pay.tag", "tag2", "n", "3"), consumer.Codecs(cbor{})); err != nil {
		t.Fatal(err)
	}
	drv := newScripted()
	start(t, drv, m, consumer.ForHandler("Large", consumer.Concurrency(1)), consumer.ForHandler("Raw"))
	sub := drv.sub(t, "pay")
	wantTopics := []driver.TopicFilter{
		{Topic: "stock", Type: "SQL92", Expression: "amount > 10"},
		{Topic: "pay_test_topic", Type: "TAG", Expression: "tag1 || tag2"},
		{Topic: "raw", Type: "TAG", Expression: "*"},
	}
	if d := cmp.Diff(wantTopics, sub.cfg.Topics); d != "" {
		t.Errorf("topics (-want +got):\n%s", d)
	}
	q := sub.assign()
	for i, d := range []*message.Delivery{
		msg("m1", "stock", "", "12"), msg("m2", "raw", "any", "body"), msg("m3", "pay_test_topic", "tag2", `{"id":"p1"}`),
	} {
		q.deliver(d)
		q.await(i + 1)
	}
	want := []settled{
		{"m1", driver.Verdict{Action: driver.ActionAck}},
		{"m2", driver.Verdict{Action: driver.ActionAck}},
		{"m3", driver.Verdict{Action: driver.ActionRetry, MaxRetries: 1}},
	}
	if d := cmp.Diff(want, q.await(3)); d != "" {
		t.Errorf("settled (-want +got):\n%s", d)
	}
	for _, want := range []string{"large 12", "raw body", "paid p12m0s"} {
		if got := <-calls; got != want {
			t.Errorf("call %q, want %q", got, want)
		}
	}
}

// tagged returns a struct with handlers F0, F1 … that have these tags. Vet would
// not let the source have some of them.
func tagged(tags ...string) any {
	fields := make([]reflect.StructField, len(tags))
	for i, tag := range tags {
		fields[i] = reflect.StructField{Name: fmt.Sprint("F", i), Type: reflect.TypeFor[consumer.Func[string]](), Tag: reflect.StructTag(tag)}
	}
	v := reflect.New(reflect.StructOf(fields)).Elem()
	for i := range tags {
		v.Field(i).Set(reflect.ValueOf(consumer.Func[string](onText)))
	}
	return v.Interface()
}

// FuzzBind: whatever the tags say, there are mistakes or a subscription that the
// driver can be asked for.
func FuzzBind(f *testing.F) {
	f.Add(`topic:"orders" tags:"paid || refunded"`)
	f.Add(`topic:"${a:orders}" retries:"${r}"`)
	f.Add(`topic:"${${a}}"`)
	f.Add(`topic:"orders" sql:"a > 1" concurrency:"2" timeout:"1s" codec:"text" name:"x"`)
	f.Fuzz(func(t *testing.T, tag string) {
		m := consumer.NewMux("pay")
		err := consumer.Bind(m, tagged(tag), properties("r", "3", "a", "x"))
		drv := newScripted()
		c, newErr := consumer.New(drv, m)
		if err != nil && newErr == nil {
			t.Fatalf("%s: Bind said %v, and New made a consumer", tag, err)
		}
		if newErr != nil {
			return
		}
		if topic := drv.subs[0].cfg.Topics[0]; message.CheckTopic(topic.Topic) != nil || topic.Expression == "" {
			t.Errorf("%s: subscribed to %+v", tag, topic)
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
