package protocol

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReceiptsAreReadAndWritten(t *testing.T) {
	t.Parallel()
	want := PopReceipt{StartOffset: 3, PopTime: 1700000000123, InvisibleTime: 60000, ReviveQueueID: 7, Retry: "1", BrokerName: "broker-a", QueueID: 2, Offset: 5}
	const text = "3 1700000000123 60000 7 1 broker-a 2 5" // ExtraInfoUtil.buildExtraInfo
	if got := want.String(); got != text {
		t.Errorf("written as %q", got)
	}
	got, err := ParsePopReceipt(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := ParsePopReceipt("3 1700000000123 60000 999"); err != nil {
		t.Errorf("what brokers read: %v", err)
	}
	for _, bad := range []string{"", "1 2 3", "x 2 3 4", "1 2 3 99999999999", "1 2 3 4 0 b 0 1 9", "1 2 3 4 0 b x 1", strings.Repeat(" ", 1000)} {
		if _, err := ParsePopReceipt(bad); !errors.Is(err, ErrMalformedReceipt) {
			t.Errorf("%.20q: got %v", bad, err)
		}
	}
}

func TestRetryTopicsOfBothNamesAreMarked(t *testing.T) {
	t.Parallel()
	for mark, topic := range map[string]string{"0": "orders", "1": "%RETRY%group_orders", "2": "%RETRY%group+orders"} {
		if got, ok := PopRealTopic("orders", "group", mark); !ok || got != topic {
			t.Errorf("mark %s is %q, %t", mark, got, ok)
		}
		if got := PopRetryMark(topic); got != mark {
			t.Errorf("%s has the mark %s", topic, got)
		}
	}
	if _, ok := PopRealTopic("orders", "group", "3"); ok {
		t.Error("mark 3 is known")
	}
}

func TestRecallHandlesAreReadAndWritten(t *testing.T) {
	t.Parallel()
	want := RecallHandle{"orders", "broker-a", "1700000000001", "AC11"}
	const text = "djEgb3JkZXJzIGJyb2tlci1hIDE3MDAwMDAwMDAwMDEgQUMxMQ==" // RecallMessageHandle.HandleV1.buildHandle
	if got := want.String(); got != text {
		t.Errorf("written as %q", got)
	}
	for _, s := range []string{text, strings.TrimRight(text, "=")} {
		if got, err := ParseRecallHandle(s); err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for _, bad := range []string{"", "???", "djI=", "djEgYSBi"} {
		if _, err := ParseRecallHandle(bad); !errors.Is(err, ErrMalformedHandle) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestABatchAckIsReadAsFastjsonWritesIt(t *testing.T) {
	t.Parallel()
	const text = `{"acks":[{"b":"BQE=","c":"g","it":60000,"pt":1700000000123,"q":1,"r":"0","rq":3,"so":7,"t":"orders"}],"brokerName":"broker-a"}`
	var got BatchAckBody
	if err := DecodeBody([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := BatchAckBody{BrokerName: "broker-a", Acks: []BatchAck{{
		ConsumerGroup: "g", Topic: "orders", Retry: "0", StartOffset: 7, QueueID: 1, ReviveQueueID: 3, PopTime: 1700000000123, InvisibleTime: 60000, BitSet: BitSet{5, 1},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if bits := slices.Collect(got.Acks[0].BitSet.All()); !slices.Equal(bits, []int{0, 2, 8}) {
		t.Errorf("bits %v", bits)
	}
	var set BitSet
	for _, i := range []int{0, 2, 8} {
		set.Set(i)
	}
	if !slices.Equal(set, want.Acks[0].BitSet) {
		t.Errorf("set %v", set)
	}
	data, err := EncodeBody(got)
	var again BatchAckBody
	if err == nil {
		err = DecodeBody(data, &again)
	}
	if diff := cmp.Diff(want, again); diff != "" || err != nil {
		t.Errorf("%s: %v\n%s", data, err, diff)
	}
	for _, bad := range []string{`{"acks":[{"b":7}]}`, `{"acks":[{"b":"?"}]}`, `{"acks":[7]}`} {
		if err := DecodeBody([]byte(bad), new(BatchAckBody)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

func FuzzParsePopReceipt(f *testing.F) {
	f.Add("3 1700000000123 60000 7 1 broker-a 2 5")
	f.Add("3 1700000000123 60000 999")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParsePopReceipt(s)
		if err != nil {
			if !errors.Is(err, ErrMalformedReceipt) {
				t.Errorf("%q: %v wraps no sentinel", s, err)
			}
			return
		}
		if r.Retry == "" || r.BrokerName == "" {
			return
		}
		if again, err := ParsePopReceipt(r.String()); err != nil || again != r {
			t.Errorf("%q became %+v, then %+v, %v", s, r, again, err)
		}
	})
}
