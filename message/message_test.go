package message_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOptionsMakeAMessage(t *testing.T) {
	t.Parallel()
	got := message.New("orders", []byte("b"), message.Tag("paid"), message.Key("1"), message.Key("2", "3"), message.ShardingKey("k"), message.Property("a", "b"))
	want := &message.Message{Topic: "orders", Body: []byte("b"), Tag: "paid", Keys: []string{"1", "2", "3"}, ShardingKey: "k", Properties: map[string]string{"a": "b"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c := got.Clone()
	c.Keys[0], c.Properties["a"] = "x", "x"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a change of the clone shows (-want +got):\n%s", diff)
	}
}

func TestMessagesThatCannotTravelAreRefused(t *testing.T) {
	t.Parallel()
	with := func(o message.Option) *message.Message { return message.New("orders", []byte("b"), o) }
	for name, tc := range map[string]struct {
		m    *message.Message
		want error // nil: fine
		text string
	}{
		"plain":                   {with(message.Tag("")), nil, ""},
		"everything":              {message.New("%RETRY%a-b_c|D9", []byte("b"), message.Tag("t"), message.Key("k"), message.Property("p", "v")), nil, ""},
		"127 bytes of topic":      {message.New(strings.Repeat("t", 127), []byte("b")), nil, ""},
		"128 bytes of topic":      {message.New(strings.Repeat("t", 128), []byte("b")), message.ErrInvalidTopic, "128 bytes"},
		"blank topic":             {message.New(" ", []byte("b")), message.ErrInvalidTopic, "empty"},
		"a tag in the topic":      {message.New("orders:paid", []byte("b")), message.ErrInvalidTopic, `use message.Tag("paid")`},
		"a dot in the topic":      {message.New("a.b", []byte("b")), message.ErrInvalidTopic, `'.' at byte 1`},
		"no body":                 {message.New("orders", nil), message.ErrEmptyBody, "orders"},
		"body over the limit":     {message.New("orders", make([]byte, 11)), message.ErrBodyTooLarge, "11 bytes, at most 10"},
		"bar in the tag":          {with(message.Tag("a||b")), message.ErrInvalidMessage, "tag"},
		"space in a key":          {with(message.Key("a b")), message.ErrInvalidMessage, "key"},
		"empty key":               {with(message.Key("")), message.ErrInvalidMessage, "key"},
		"separator in a name":     {with(message.Property("a\x01", "b")), message.ErrInvalidMessage, "property name"},
		"separator in a value":    {with(message.Property("a", "\x02")), message.ErrInvalidMessage, "separators"},
		"separator in a shard":    {with(message.ShardingKey("\x01")), message.ErrInvalidMessage, "sharding key"},
		"empty value":             {with(message.Property("a", "")), message.ErrInvalidMessage, "empty value"},
		"RocketMQ's own":          {with(message.Property("DELAY", "1")), message.ErrInvalidMessage, "RocketMQ's own"},
		"a namespace's":           {with(message.Property("INSTANCE_ID", "prod")), message.ErrInvalidMessage, "RocketMQ's own"},
		"RocketMQ's transient":    {with(message.Property("__RMQ.TRANSIENT.X", "1")), message.ErrInvalidMessage, "RocketMQ's own"},
		"32767 bytes of them":     {with(message.Property("p", strings.Repeat("v", 32767-3))), nil, ""},
		"32768 bytes of them":     {with(message.Property("p", strings.Repeat("v", 32767-2))), message.ErrInvalidMessage, "32768 bytes"},
		"two delays":              {with(func(m *message.Message) { m.Delay = message.Delay{Level: 1, At: time.Unix(1, 0)} }), message.ErrInvalidMessage, "more than one"},
		"a delay into the past":   {with(func(m *message.Message) { m.Delay.After = -1 }), message.ErrInvalidMessage, "negative"},
		"a negative delay level":  {with(func(m *message.Message) { m.Delay.Level = -1 }), message.ErrInvalidMessage, "negative"},
		"a moment that is passed": {with(func(m *message.Message) { m.Delay.At = time.Unix(1, 0) }), nil, ""},
	} {
		err := tc.m.Validate(10)
		if tc.want == nil && err != nil || tc.want != nil && !errors.Is(err, tc.want) || tc.text != "" && !strings.Contains(fmt.Sprint(err), tc.text) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !message.SafeToRetry(err) {
			t.Errorf("%s: not safe to retry", name)
		}
	}
	if err := message.New("orders", make([]byte, message.MaxBodySize)).Validate(0); err != nil {
		t.Errorf("4 MiB: %v", err)
	}
	err := message.New("", nil, message.Tag("|")).Validate(0)
	for _, want := range []error{message.ErrInvalidTopic, message.ErrEmptyBody, message.ErrInvalidMessage} {
		if !errors.Is(err, want) {
			t.Errorf("%v does not mention %v", err, want)
		}
	}
}

func TestPropertiesSizeIsWhatTravels(t *testing.T) {
	t.Parallel()
	m := message.New("orders", []byte("b"), message.Tag("paid"), message.Key("1", "22"), message.ShardingKey("k"), message.Property("a", "bc"))
	want := len("TAGS\x01paid\x02" + "KEYS\x011 22\x02" + "__SHARDINGKEY\x01k\x02" + "a\x01bc\x02")
	if got := m.PropertiesSize(); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
	if got := message.New("orders", nil).PropertiesSize(); got != 0 {
		t.Errorf("%d bytes for none", got)
	}
}

func TestGroupsFitTheirRetryTopic(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("g", message.MaxGroupLength)
	if err := message.CheckGroup(longest); err != nil {
		t.Error(err)
	}
	if err := message.CheckTopic(message.RetryTopic(longest)); err != nil {
		t.Error(err)
	}
	if err := message.CheckGroup(longest + "g"); !errors.Is(err, message.ErrInvalidGroup) {
		t.Errorf("error %v", err)
	}
}

func TestErrorsSayWhetherARetryIsSafe(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		safe bool
		is   error
		text []string
	}{
		"refused":     {&message.BrokerError{Code: 2, Name: "SYSTEM_BUSY", Remark: "slow", Broker: "a", Addr: "h:1", Op: "send to topic t", Remedy: "wait"}, true, nil, []string{"send to topic t: SYSTEM_BUSY (2) from broker a at h:1: slow; wait"}},
		"no address":  {&message.BrokerError{Code: 2, Name: "SYSTEM_BUSY", Broker: "a", Op: "send to topic t"}, true, nil, []string{"send to topic t: SYSTEM_BUSY (2) from broker a"}},
		"no route":    {&message.RouteError{Topic: "t", NameServers: []string{"h:1"}, Err: message.ErrNoRoute}, true, message.ErrNoRoute, []string{"No route info of this topic", `"t"`, "h:1", "autoCreateTopicEnable"}},
		"no server":   {&message.RouteError{Topic: "t", Err: message.ErrNoNameServer}, true, message.ErrNoNameServer, []string{`"t"`}},
		"unreachable": {&message.AddrError{Broker: "a", Addr: "h:1", Err: errors.New("refused")}, true, message.ErrUnreachable, []string{"h:1", "brokerIP1"}},
		"unknown":     {&message.UnknownOutcomeError{Op: "send", Addr: "h:1", Err: context.Canceled}, false, message.ErrOutcomeUnknown, []string{"may have been stored"}},
		"a stranger":  {errors.New("x"), false, nil, nil},
		"sentinel":    {fmt.Errorf("x: %w", message.ErrClosed), true, message.ErrClosed, nil},
		"one of two":  {errors.Join(&message.BrokerError{Code: 2}, &message.UnknownOutcomeError{Op: "send"}), false, message.ErrOutcomeUnknown, nil},
		"both safe":   {errors.Join(&message.BrokerError{Code: 2}, message.ErrNoRoute), true, message.ErrNoRoute, nil},
		"and a cause": {fmt.Errorf("%w: %w", message.ErrOverloaded, context.Canceled), true, message.ErrOverloaded, nil},
		"in words":    {fmt.Errorf("%w while the connection was %w", message.ErrOutcomeUnknown, message.ErrClosed), false, message.ErrClosed, nil},
		"none":        {nil, false, nil, nil},
	} {
		if got := message.SafeToRetry(tc.err); got != tc.safe {
			t.Errorf("%s: SafeToRetry = %v", name, got)
		}
		if wrapped := fmt.Errorf("outer: %w", tc.err); tc.err != nil && message.SafeToRetry(wrapped) != tc.safe {
			t.Errorf("%s: wrapping changes the answer", name)
		}
		if tc.is != nil && !errors.Is(tc.err, tc.is) {
			t.Errorf("%s is not %v", name, tc.is)
		}
		for _, want := range tc.text {
			if !strings.Contains(tc.err.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, tc.err, want)
			}
		}
	}
}

func TestStatusesAreTheirNamesInJSON(t *testing.T) {
	t.Parallel()
	for _, s := range []message.Status{message.SendOK, message.FlushDiskTimeout, message.FlushSlaveTimeout, message.SlaveNotAvailable} {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var again message.Status
		if err := json.Unmarshal(b, &again); err != nil || again != s || string(b) != `"`+s.String()+`"` {
			t.Errorf("%v became %s, then %v, %v", s, b, again, err)
		}
	}
	var s message.Status
	if err := s.UnmarshalText([]byte("FINE")); err == nil {
		t.Error("an unknown status was read")
	}
}

func TestDeliveriesReadTheirProperties(t *testing.T) {
	t.Parallel()
	d := &message.Delivery{}
	d.SetRawProperties("KEYS\x011 2\x02a\x01b=c\x02empty\x01\x02\x01none\x02junk\x02ORIGIN_MESSAGE_ID\x010A\x02last\x01x")
	got := map[string]string{}
	for k, v := range d.Properties() {
		got[k] = v
	}
	want := map[string]string{"KEYS": "1 2", "a": "b=c", "ORIGIN_MESSAGE_ID": "0A", "last": "x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !cmp.Equal(d.Keys(), []string{"1", "2"}) || d.OriginID() != "0A" || d.Property("a") != "b=c" || d.Property("none") != "" {
		t.Errorf("keys %v, origin %q, a %q", d.Keys(), d.OriginID(), d.Property("a"))
	}
	for range d.Properties() {
		break // the iterator ends with its loop
	}
	ctx := message.WithDelivery(t.Context(), d)
	if message.DeliveryFrom(ctx) != d || message.DeliveryFrom(t.Context()) != nil {
		t.Error("the ctx does not know its delivery")
	}
}

func TestADeliveryIsPrintedWithoutItsBody(t *testing.T) {
	t.Parallel()
	d := &message.Delivery{Topic: "orders", Tag: "paid", ID: "0A", Body: []byte("a secret"), Queue: message.Queue{Topic: "%RETRY%pay", Broker: "a", ID: 3}, QueueOffset: 7, ReconsumeTimes: 1}
	d.SetRawProperties("KEYS\x011 2\x02token\x01also secret\x02")
	want := "[Delivery [topic=orders, tags=paid, keys=1 2, msgId=0A, reconsumeTimes=1, messageQueue=MessageQueue [topic=%RETRY%pay, brokerName=a, queueId=3], queueOffset=7, body=8 bytes]]"
	if got := fmt.Sprintf("%+v", []*message.Delivery{d}); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func ExampleNew() {
	m := message.New("orders", []byte(`{"id":42}`), message.Tag("paid"), message.Key("42"), message.Property("region", "eu"))
	fmt.Println(m.Topic, m.Tag, m.Keys, m.Properties["region"])
	// Output: orders paid [42] eu
}

func ExampleSafeToRetry() {
	err := error(&message.UnknownOutcomeError{Op: "send to topic orders", Addr: "127.0.0.1:10911", Err: context.DeadlineExceeded})
	if !message.SafeToRetry(err) {
		fmt.Println("may be stored already")
	}
	// Output: may be stored already
}

func TestAResultSaysWhenNothingWasSent(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(message.SendResult{}); got != "SendResult [not sent]" {
		t.Errorf("an empty result prints %q", got)
	}
	r := message.SendResult{MessageID: "A", OffsetMessageID: "B", Queue: message.Queue{Topic: "t", Broker: "b", ID: 2}, QueueOffset: 3}
	if got := fmt.Sprint(r); got != "SendResult [sendStatus=SEND_OK, msgId=A, offsetMsgId=B, messageQueue=MessageQueue [topic=t, brokerName=b, queueId=2], queueOffset=3]" {
		t.Errorf("a result prints %q", got)
	}
}
