package codec_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	orderID string
	blob    []byte
	payment struct {
		ID     string `json:"id"`
		Amount int    `json:"amount"`
	}
)

// roundTrip encodes v and decodes it into a new T.
func roundTrip[T any](t *testing.T, c codec.Codec, v T, body string) {
	t.Helper()
	if err := c.Check(reflect.TypeFor[T]()); err != nil {
		t.Errorf("%s.Check(%T): %v", c.Name(), v, err)
	}
	b, err := c.Encode(v)
	if err != nil || string(b) != body {
		t.Errorf("%s.Encode(%#v) = %q, %v; want %q", c.Name(), v, b, err, body)
	}
	var got T
	if err := c.Decode([]byte(body), &got); err != nil {
		t.Errorf("%s.Decode(%q): %v", c.Name(), body, err)
	}
	if d := cmp.Diff(v, got); d != "" {
		t.Errorf("%s.Decode(%q) (-want +got):\n%s", c.Name(), body, d)
	}
}

func TestValuesSurviveTheRoundTrip(t *testing.T) {
	t.Parallel()
	roundTrip(t, codec.Text{}, "Hello rocketmq = 你好", "Hello rocketmq = 你好")
	roundTrip(t, codec.Text{}, []byte{0, 1, 0xff}, "\x00\x01\xff")
	roundTrip(t, codec.Text{}, orderID("o-1"), "o-1")
	roundTrip(t, codec.Text{}, blob("x"), "x")
	roundTrip(t, codec.Raw{}, []byte("raw"), "raw")
	roundTrip(t, codec.JSON{}, payment{ID: "p1", Amount: 3}, `{"id":"p1","amount":3}`)
	roundTrip(t, codec.JSON{}, &payment{ID: "p1"}, `{"id":"p1","amount":0}`)
	roundTrip(t, codec.JSON{}, map[string]any{"a": 1.5}, `{"a":1.5}`)
	roundTrip(t, codec.JSON{}, "quoted", `"quoted"`)
}

func TestStringsAndBytesTravelAsTheyAreAndTheRestAsJSON(t *testing.T) {
	t.Parallel()
	for want, got := range map[string][]codec.Codec{
		"text": {codec.For(reflect.TypeFor[string]()), codec.For(reflect.TypeFor[[]byte]()), codec.For(reflect.TypeFor[orderID]()), codec.For(reflect.TypeFor[blob]())},
		"json": {codec.For(reflect.TypeFor[payment]()), codec.For(reflect.TypeFor[*payment]()), codec.For(reflect.TypeFor[int]()), codec.For(reflect.TypeFor[map[string]any]()), codec.For(reflect.TypeFor[any]())},
	} {
		for i, c := range got {
			if c.Name() != want {
				t.Errorf("case %d: codec %q, want %q", i, c.Name(), want)
			}
		}
	}
}

func TestACodecRefusesTypesThatItCannotServe(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		c    codec.Codec
		v    any
		want string
	}{
		{codec.Text{}, payment{}, "type does not fit the codec: text carries a string or []byte, not codec_test.payment; use JSON for it"},
		{codec.Raw{}, "s", "type does not fit the codec: raw carries []byte, not string; use text for strings and JSON for the rest"},
		{codec.Raw{}, blob{}, "type does not fit the codec: raw carries []byte, not codec_test.blob; use text for strings and JSON for the rest"},
		{codec.JSON{}, make(chan int), "type does not fit the codec: JSON has no form for chan int"},
		{codec.JSON{}, func() {}, "type does not fit the codec: JSON has no form for func()"},
	} {
		err := tc.c.Check(reflect.TypeOf(tc.v))
		if !errors.Is(err, codec.ErrType) || err.Error() != tc.want {
			t.Errorf("%s.Check(%T) = %v, want %s", tc.c.Name(), tc.v, err, tc.want)
		}
		if _, err := tc.c.Encode(tc.v); err == nil {
			t.Errorf("%s.Encode(%T) succeeded", tc.c.Name(), tc.v)
		}
		p := reflect.New(reflect.TypeOf(tc.v)).Interface()
		if err := tc.c.Decode([]byte("{}"), p); err == nil {
			t.Errorf("%s.Decode into %T succeeded", tc.c.Name(), p)
		}
	}
	for _, v := range []any{nil, "not a pointer"} {
		if err := (codec.Text{}).Decode([]byte("x"), v); !errors.Is(err, codec.ErrType) {
			t.Errorf("Text.Decode into %#v: %v", v, err)
		}
	}
}

func TestAppendingToADecodedSliceCannotReachTheNextMessage(t *testing.T) {
	t.Parallel()
	pull := []byte("firstsecond")
	for _, c := range []codec.Codec{codec.Text{}, codec.Raw{}} {
		var got []byte
		if err := c.Decode(pull[:5], &got); err != nil {
			t.Fatal(err)
		}
		_ = append(got, '!')
		if string(pull) != "firstsecond" {
			t.Errorf("%s: appending changed the next message: %q", c.Name(), pull)
		}
	}
}

func TestByNameNamesWhatItKnows(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"text", "json", "raw"} {
		if c, err := codec.ByName(name); err != nil || c.Name() != name {
			t.Errorf("ByName(%q) = %v, %v", name, c, err)
		}
	}
	_, err := codec.ByName("xml")
	if want := `unknown codec "xml"; known are text, json, raw`; !errors.Is(err, codec.ErrUnknown) || err.Error() != want {
		t.Errorf("ByName(xml): %v, want %s", err, want)
	}
}

// FuzzJSONRoundTrip: what decodes encodes to something that decodes to the same.
func FuzzJSONRoundTrip(f *testing.F) {
	f.Add([]byte(`{"id":"p1","amount":3}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"amount":1e400}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var a, b payment
		if (codec.JSON{}).Decode(body, &a) != nil {
			return
		}
		out, err := codec.JSON{}.Encode(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := (codec.JSON{}).Decode(out, &b); err != nil || a != b {
			t.Fatalf("%q → %+v → %q → %+v, %v", body, a, out, b, err)
		}
	})
}

func FuzzTextRoundTrip(f *testing.F) {
	f.Add([]byte("Hello"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var s string
		if err := (codec.Text{}).Decode(body, &s); err != nil {
			t.Fatal(err)
		}
		out, err := codec.Text{}.Encode(s)
		if err != nil || string(out) != string(body) {
			t.Fatalf("%q → %q, %v", body, out, err)
		}
	})
}

func ExampleFor() {
	c := codec.For(reflect.TypeFor[payment]())
	body, err := c.Encode(payment{ID: "p1", Amount: 3})
	fmt.Println(c.Name(), string(body), err)

	var text string
	err = codec.For(reflect.TypeFor[string]()).Decode([]byte("Hello rocketmq"), &text)
	fmt.Println(text, err)
	// Output:
	// json {"id":"p1","amount":3} <nil>
	// Hello rocketmq <nil>
}
