package cloudevents_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/codec/cloudevents"
	"github.com/rocketkit/rocketkit/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type order struct {
	ID int `json:"id"`
}

// received is what a consumer gets of m.
func received(m *message.Message) *message.Delivery {
	var props strings.Builder
	for name, value := range m.Properties {
		props.WriteString(name + "\x01" + value + "\x02")
	}
	d := &message.Delivery{Topic: m.Topic, Body: m.Body}
	d.SetRawProperties(props.String())
	return d
}

func full() cloudevents.Event {
	return cloudevents.Event{
		ID: "1", Source: "/orders", Type: "com.example.paid", Subject: "17", DataSchema: "https://example.com/s",
		Time: time.Date(2026, 11, 21, 17, 40, 0, 123456789, time.UTC), DataContentType: "application/json",
		Extensions: map[string]string{"partitionkey": "k", "retries": "3"}, Data: []byte(`{"id":17}`),
	}
}

func with(change func(*cloudevents.Event)) cloudevents.Event {
	e := full()
	change(&e)
	return e
}

func TestEventsSurviveTheRoundTripInBothModes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]cloudevents.Event{
		"full":         full(),
		"bare":         {ID: "1", Source: "s", Type: "t"},
		"text":         with(func(e *cloudevents.Event) { e.DataContentType, e.Data = "text/plain; charset=utf-8", []byte("Grüße") }),
		"xml as JSON":  with(func(e *cloudevents.Event) { e.DataContentType, e.Data = "application/xml", []byte("<a/>") }),
		"bytes":        with(func(e *cloudevents.Event) { e.DataContentType, e.Data = "image/png", []byte{0, 1, 0xff} }),
		"JSON's kin":   with(func(e *cloudevents.Event) { e.DataContentType, e.Data = "application/vnd.x+json", []byte(`"x"`) }),
		"no text":      with(func(e *cloudevents.Event) { e.DataContentType, e.Data = "text/plain", []byte{0xff} }),
		"no data type": with(func(e *cloudevents.Event) { e.DataContentType = "" }),
	} {
		for _, c := range []cloudevents.Codec{{}, {Structured: true}} {
			m := message.New("orders", nil)
			if err := codec.Encode(c, m, want); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := m.Validate(0); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			var got cloudevents.Event
			var pointer *cloudevents.Event
			d := received(m)
			if err := errors.Join(codec.Decode(cloudevents.Codec{}, d, &got), codec.Decode(cloudevents.Codec{}, d, &pointer)); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, m.Body)
			}
			if diff := cmp.Diff(want, got) + cmp.Diff(want, *pointer); diff != "" {
				t.Errorf("%s, structured %t (-want +got):\n%s", name, c.Structured, diff)
			}
		}
	}
}

// The names are those of io.cloudevents.rocketmq.RocketmqConstants.
func TestTheBindingIsThatOfTheJavaSDK(t *testing.T) {
	t.Parallel()
	m := message.New("orders", nil)
	if err := codec.Encode(cloudevents.Codec{}, m, full()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"CE_specversion": "1.0", "CE_id": "1", "CE_source": "/orders", "CE_type": "com.example.paid", "CE_subject": "17",
		"CE_dataschema": "https://example.com/s", "CE_time": "2026-11-21T17:40:00.123456789Z", "CE_contenttype": "application/json",
		"CE_partitionkey": "k", "CE_retries": "3", "contentType": "application/json",
	}
	if d := cmp.Diff(want, m.Properties); d != "" || string(m.Body) != `{"id":17}` {
		t.Errorf("body %s, properties (-want +got):\n%s", m.Body, d)
	}
	if err := codec.Encode(cloudevents.Codec{}, m, cloudevents.Event{ID: "1", Source: "s", Type: "t"}); err != nil || string(m.Body) != "\x00" {
		t.Errorf("an event without data has the body %q, %v", m.Body, err)
	}
	m = message.New("orders", nil)
	if err := codec.Encode(cloudevents.Codec{Structured: true}, m, full()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"CE_contenttype": "application/cloudevents+json", "contentType": "application/cloudevents+json"}, m.Properties); d != "" {
		t.Error(d)
	}
}

func TestTheJSONFormatIsRead(t *testing.T) {
	t.Parallel()
	const head = `"specversion":"1.0","id":"1","source":"s","type":"t"`
	bare := cloudevents.Event{ID: "1", Source: "s", Type: "t"}
	for body, want := range map[string]cloudevents.Event{
		`{` + head + `,"data":null,"subject":null}`:                   bare,
		`{` + head + `,"n":3,"b":true,"s":"x"}`:                       {ID: "1", Source: "s", Type: "t", Extensions: map[string]string{"n": "3", "b": "true", "s": "x"}},
		`{` + head + `,"data":"x"}`:                                   {ID: "1", Source: "s", Type: "t", Data: []byte(`"x"`)},
		`{` + head + `,"datacontenttype":"text/plain","data":"x"}`:    {ID: "1", Source: "s", Type: "t", DataContentType: "text/plain", Data: []byte("x")},
		`{` + head + `,"datacontenttype":"text/plain","data":[1]}`:    {ID: "1", Source: "s", Type: "t", DataContentType: "text/plain", Data: []byte("[1]")},
		`{` + head + `,"data_base64":"AAE=","time":null,"data":null}`: {ID: "1", Source: "s", Type: "t", Data: []byte{0, 1}},
	} {
		var got cloudevents.Event
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", body, d)
		}
	}
	for body, want := range map[string]string{
		`{`:                        "unexpected end of JSON input",
		`[]`:                       "not a CloudEvent: json: cannot unmarshal",
		`{"id":"1"}`:               "not a CloudEvent: it has no specversion",
		`{"specversion":null}`:     "not a CloudEvent: it has no specversion",
		`{"specversion":"0.3"}`:    `not a CloudEvent of version 1.0: specversion is "0.3"`,
		`{"specversion":"1.0"}`:    "not a CloudEvent: it has no id; set it\nnot a CloudEvent: it has no source; set it\nnot a CloudEvent: it has no type; set it",
		`{` + head + `,"x":[1]}`:   "not a CloudEvent: attribute x: it is neither a string",
		`{` + head + `,"X":"y"}`:   `not a CloudEvent: extension "X": names are of lower-case letters and digits`,
		`{` + head + `,"time":""}`: "not a CloudEvent: attribute time",
		`{` + head + `,"data":1,"data_base64":"AA=="}`: "not a CloudEvent: it has data and data_base64",
		`{` + head + `,"data_base64":"!"}`:             "not a CloudEvent: data_base64",
	} {
		var got cloudevents.Event
		if err := json.Unmarshal([]byte(body), &got); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

func TestHandlersOfTheDataAloneTakeBothModes(t *testing.T) {
	t.Parallel()
	for _, structured := range []bool{false, true} {
		c := cloudevents.Codec{Structured: structured, Source: "/orders", Type: "com.example.paid"}
		m := message.New("orders", nil)
		if err := codec.Encode(c, m, order{17}); err != nil {
			t.Fatal(err)
		}
		var got order
		if err := codec.Decode(cloudevents.Codec{}, received(m), &got); err != nil || got.ID != 17 {
			t.Errorf("%v, %v", got, err)
		}
		e, err := cloudevents.From(received(m))
		if err != nil || e.ID == "" || e.Source != "/orders" || e.Type != "com.example.paid" || e.Time.IsZero() || e.DataContentType != "application/json" {
			t.Errorf("%+v, %v", e, err)
		}
		// A handler that knows nothing of CloudEvents takes the binary one, and no other.
		if err := codec.Decode(codec.JSON{}, received(m), &got); (err == nil) == structured {
			t.Errorf("as JSON, structured %t: %v", structured, err)
		}
		both := codec.ByContentType(codec.JSON{}, cloudevents.Codec{})
		if got = (order{}); codec.Decode(both, received(m), &got) != nil || got.ID != 17 {
			t.Errorf("by content type, structured %t: %v", structured, got)
		}
	}
}

// As io.cloudevents.rocketmq's reader has it, which goes by CE_contenttype alone and passes
// over a property that is the prefix.
func TestWhatTheJavaSDKTakesIsTaken(t *testing.T) {
	t.Parallel()
	const attributes = "CE_specversion\x011.0\x02CE_id\x011\x02CE_source\x01s\x02CE_type\x01t\x02"
	const event = `{"specversion":"1.0","id":"1","source":"s","type":"t"}`
	bare := cloudevents.Event{ID: "1", Source: "s", Type: "t"}
	for name, tt := range map[string]struct {
		props, body string
		want        cloudevents.Event
	}{
		"structured, with another contentType": {"contentType\x01application/json\x02CE_contenttype\x01application/cloudevents+json\x02", event, bare},
		"binary, with another contentType": {attributes + "contentType\x01application/cloudevents+json\x02CE_contenttype\x01text/plain\x02", "x",
			cloudevents.Event{ID: "1", Source: "s", Type: "t", DataContentType: "text/plain", Data: []byte("x")}},
		"the prefix alone": {attributes + "CE_\x01x\x02", "\x00", bare},
	} {
		d := &message.Delivery{Body: []byte(tt.body)}
		d.SetRawProperties(tt.props)
		got, err := cloudevents.From(d)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestWhatIsNoEventIsRefused(t *testing.T) {
	t.Parallel()
	at := func(props string) *message.Delivery {
		d := &message.Delivery{Body: []byte(`{"id":17}`)}
		d.SetRawProperties(props)
		return d
	}
	for props, want := range map[string]string{
		"":                          "not a CloudEvent: the message has no property CE_specversion, and its content type is not application/cloudevents+json",
		"CE_specversion\x010.3\x02": `not a CloudEvent of version 1.0: specversion is "0.3"`,
		"CE_specversion\x011.0\x02CE_time\x01noon\x02":           "not a CloudEvent: attribute time: ",
		"CE_specversion\x011.0\x02":                              "not a CloudEvent: it has no id; set it",
		"CE_contenttype\x01application/cloudevents+avro\x02":     "not a CloudEvent that can be read: its format is application/cloudevents+avro",
		"contentType\x01application/cloudevents+json; x=y\x02":   "not a CloudEvent: it has no specversion",
		"CE_specversion\x011.0\x02CE_id\x011\x02CE_X_Y\x01z\x02": "not a CloudEvent: it has no source; set it",
	} {
		var e cloudevents.Event
		if err := codec.Decode(cloudevents.Codec{}, at(props), &e); !errors.Is(err, cloudevents.ErrEvent) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", props, err, want)
		}
	}
	for _, v := range []any{nil, (*cloudevents.Event)(nil), cloudevents.Event{ID: "1"}, order{},
		with(func(e *cloudevents.Event) { e.Extensions["time"] = "x" }), with(func(e *cloudevents.Event) { e.Extensions["a-b"] = "x" })} {
		if err := codec.Encode(cloudevents.Codec{}, message.New("t", nil), v); !errors.Is(err, cloudevents.ErrEvent) {
			t.Errorf("Encode(%v): %v", v, err)
		}
	}
	if _, err := (cloudevents.Codec{}).Encode(with(func(e *cloudevents.Event) { e.Data = []byte("{") })); !errors.Is(err, cloudevents.ErrEvent) {
		t.Errorf("data that is not JSON: %v", err)
	}
	var o order
	if err := codec.Decode(cloudevents.Codec{}, at("CE_specversion\x011.0\x02CE_id\x011\x02CE_source\x01s\x02CE_type\x01t\x02"), &o); err != nil || o.ID != 17 {
		t.Errorf("%v, %v", o, err)
	}
	if err := (cloudevents.Codec{}).Decode([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t"}`), &o); err == nil {
		t.Error("an event without data filled a value")
	}
	if err := (cloudevents.Codec{}).Check(reflect.TypeFor[chan int]()); !errors.Is(err, codec.ErrType) {
		t.Error(err)
	}
}

func FuzzEvent(f *testing.F) {
	body, err := json.Marshal(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AAE="}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var a, b cloudevents.Event
		if json.Unmarshal(body, &a) != nil {
			return
		}
		out, err := json.Marshal(a)
		if err != nil {
			return // such as a time in the year 10000, or data that is not what it is said to be
		}
		if err := json.Unmarshal(out, &b); err != nil {
			t.Fatalf("%s → %s: %v", body, out, err)
		}
	})
}

func ExampleCodec() {
	m := message.New("orders", nil)
	err := codec.Encode(cloudevents.Codec{}, m, cloudevents.Event{
		ID: "1", Source: "/orders", Type: "com.example.paid", DataContentType: "application/json", Data: []byte(`{"id":17}`),
	})
	fmt.Println(m.Properties["CE_type"], string(m.Body), err)
	// Output:
	// com.example.paid {"id":17} <nil>
}

// The attributes of an event whose handler takes the data alone.
func ExampleFrom() {
	d := &message.Delivery{Body: []byte(`{"id":17}`)}
	d.SetRawProperties("CE_specversion\x011.0\x02CE_id\x011\x02CE_source\x01/orders\x02CE_type\x01com.example.paid\x02")
	e, err := cloudevents.From(d) // in a handler: cloudevents.From(message.DeliveryFrom(ctx))
	fmt.Println(e.Type, e.Source, err)
	// Output:
	// com.example.paid /orders <nil>
}
