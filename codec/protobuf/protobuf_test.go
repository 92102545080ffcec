package protobuf_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/codec/protobuf"
	"github.com/rocketkit/rocketkit/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMessagesSurviveTheRoundTrip(t *testing.T) {
	t.Parallel()
	for _, want := range []*timestamppb.Timestamp{{Seconds: 17, Nanos: 3}, {}} {
		body, err := protobuf.Codec{}.Encode(want)
		if err != nil || len(body) == 0 {
			t.Fatalf("%v: body %q, %v; RocketMQ carries no empty body", want, body, err)
		}
		got := &timestamppb.Timestamp{Seconds: 99}
		if err := (protobuf.Codec{}).Decode(body, &got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%v → %q → %v, %v", want, body, got, err)
		}
	}
}

// What stands for a message without content is one that others can read.
func TestTheBodyOfAnEmptyMessageIsReadByEveryDecoder(t *testing.T) {
	t.Parallel()
	body, err := protobuf.Codec{}.Encode(new(emptypb.Empty))
	if err != nil {
		t.Fatal(err)
	}
	got := new(wrapperspb.StringValue)
	if err := proto.Unmarshal(body, got); err != nil || got.Value != "" {
		t.Errorf("%q: %v, %v", body, got, err)
	}
}

func TestWhatIsNotAGeneratedMessageIsRefused(t *testing.T) {
	t.Parallel()
	for typ, want := range map[reflect.Type]string{
		reflect.TypeFor[*timestamppb.Timestamp](): "",
		reflect.TypeFor[timestamppb.Timestamp]():  "type does not fit the codec: protobuf carries *timestamppb.Timestamp, not timestamppb.Timestamp: generated messages must not be copied",
		reflect.TypeFor[string]():                 "type does not fit the codec: protobuf carries generated messages, not string; use JSON for it",
		reflect.TypeFor[proto.Message]():          "type does not fit the codec: protobuf carries generated messages, not protoreflect.ProtoMessage; use JSON for it",
	} {
		if err := (protobuf.Codec{}).Check(typ); err == nil && want != "" || err != nil && err.Error() != want {
			t.Errorf("%s: %v, want %q", typ, err, want)
		}
	}
	var none *timestamppb.Timestamp
	for _, v := range []any{nil, "x", none} {
		if _, err := (protobuf.Codec{}).Encode(v); !errors.Is(err, codec.ErrType) {
			t.Errorf("Encode(%T): %v", v, err)
		}
	}
	for _, v := range []any{nil, "x", none, new(timestamppb.Timestamp), new(string)} {
		if err := (protobuf.Codec{}).Decode([]byte{8, 1}, v); !errors.Is(err, codec.ErrType) {
			t.Errorf("Decode into %T: %v", v, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{8, 17, 16, 3})
	f.Add([]byte{0xc0, 0xa3, 0x09, 0x00})
	f.Fuzz(func(t *testing.T, body []byte) {
		var a, b *timestamppb.Timestamp
		if (protobuf.Codec{}).Decode(body, &a) != nil {
			return
		}
		out, err := protobuf.Codec{}.Encode(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := (protobuf.Codec{}).Decode(out, &b); err != nil || !proto.Equal(a, b) {
			t.Fatalf("%q → %v → %q → %v, %v", body, a, out, b, err)
		}
	})
}

// A handler takes it by consumer.Codec(protobuf.Codec{}).
func ExampleCodec() {
	m := message.New("payments", nil)
	err := codec.Encode(protobuf.Codec{}, m, wrapperspb.String("paid"))
	fmt.Printf("%q %s %v\n", m.Body, m.Properties[codec.ContentTypeProperty], err)

	var v *wrapperspb.StringValue
	err = protobuf.Codec{}.Decode(m.Body, &v)
	fmt.Println(v.Value, err)
	// Output:
	// "\n\x04paid" application/protobuf <nil>
	// paid <nil>
}
