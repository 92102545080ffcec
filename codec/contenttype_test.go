package codec_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/message"
)

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

func TestTheContentTypeOfWhatIsEncodedIsNoted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		c    codec.Codec
		v    any
		want string
	}{
		{codec.JSON{}, payment{ID: "p1"}, "application/json"},
		{codec.JSON{}, []payment{}, "application/json"},
		{codec.Text{}, "x", "text/plain"},
		{codec.Text{}, []byte("x"), ""},
		{codec.Raw{}, []byte("x"), ""},
		{CSV{}, []string{"x"}, ""},
		{codec.ByContentType(codec.JSON{}, codec.Text{}), payment{}, "application/json"},
		{codec.ByContentType(codec.Text{}, codec.JSON{}), payment{}, "application/json"},
	} {
		m := message.New("t", nil)
		if err := codec.Encode(tc.c, m, tc.v); err != nil {
			t.Errorf("%s, %T: %v", tc.c.Name(), tc.v, err)
		}
		if got := m.Properties[codec.ContentTypeProperty]; got != tc.want || len(m.Body) == 0 {
			t.Errorf("%s, %T: content type %q, body %q; want %q", tc.c.Name(), tc.v, got, m.Body, tc.want)
		}
	}
}

func TestEncodingKeepsWhatTheUserSaysAndNeverChangesASharedMap(t *testing.T) {
	t.Parallel()
	shared := map[string]string{"region": "eu"}
	m := &message.Message{Topic: "t", Properties: shared}
	if err := codec.Encode(codec.JSON{}, m, payment{}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"region": "eu", "contentType": "application/json"}, m.Properties); d != "" {
		t.Error(d)
	}
	if len(shared) != 1 {
		t.Errorf("the user's map was changed: %v", shared)
	}
	own := message.New("t", nil, message.Property("contentType", "application/vnd.pay+json"))
	if err := codec.Encode(codec.JSON{}, own, payment{}); err != nil || own.Properties["contentType"] != "application/vnd.pay+json" {
		t.Errorf("%v, %v", own.Properties, err)
	}
}

func TestTheContentTypeIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"":                                    "",
		"contentType\x01application/json\x02": "application/json",
		"contentType\x01Text/Plain;charset=UTF-8\x02":                                     "text/plain",
		"contentType\x01 Text/Plain; no grammar\x02":                                      "text/plain",
		"CE_contenttype\x01application/cloudevents+json\x02":                              "application/cloudevents+json",
		"CE_contenttype\x01application/cloudevents+json\x02contentType\x01text/plain\x02": "application/cloudevents+json",
	} {
		d := new(message.Delivery)
		d.SetRawProperties(raw)
		if got := codec.ContentType(d); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

func TestTheCodecIsChosenByWhatTheMessageSays(t *testing.T) {
	t.Parallel()
	c := codec.ByContentType(codec.JSON{}, codec.Text{})
	if err := c.Check(reflect.TypeFor[payment]()); err != nil {
		t.Error(err)
	}
	for says, want := range map[string]string{
		"":                     "quoted", // the first
		"application/json":     "quoted",
		"text/plain":           `"quoted"`,
		"text/plain; charset=": `"quoted"`,
		"application/xml":      "quoted",
	} {
		d := &message.Delivery{Body: []byte(`"quoted"`)}
		if says != "" {
			d.SetRawProperties("contentType\x01" + says + "\x02")
		}
		var got string
		if err := codec.Decode(c, d, &got); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", says, got, err, want)
		}
	}
	// rocketmq-spring calls JSON text/plain where a program brings its own text.
	d := &message.Delivery{Body: []byte(`{"id":"p1"}`)}
	d.SetRawProperties("contentType\x01text/plain\x02")
	var p payment
	if err := codec.Decode(c, d, &p); err != nil || p.ID != "p1" {
		t.Errorf("a codec that cannot serve the type was taken: %v, %v", p, err)
	}
}

func TestAChoiceOfCodecsThatServeNothingIsRefused(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"type does not fit the codec: raw carries []byte, not string; use text for strings and JSON for the rest": codec.ByContentType(codec.Raw{}).Check(reflect.TypeFor[string]()),
		"unknown codec: codec 2 of ByContentType is nil; remove it":                                               codec.ByContentType(codec.Raw{}, nil).Check(reflect.TypeFor[string]()),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := codec.Decode(codec.ByContentType(codec.Text{}), &message.Delivery{}, nil); !errors.Is(err, codec.ErrType) {
		t.Error(err)
	}
}

// A CloudEvent decodes as JSON into anything, and fills nothing.
func TestJSONRefusesEnvelopes(t *testing.T) {
	t.Parallel()
	for _, property := range []string{"contentType", "CE_contenttype"} {
		d := &message.Delivery{Body: []byte(`{"specversion":"1.0","data":{"id":"p1"}}`)}
		d.SetRawProperties(property + "\x01application/cloudevents+json\x02")
		var p payment
		if err := codec.Decode(codec.JSON{}, d, &p); err == nil || !strings.Contains(err.Error(), "cloudevents.Codec") {
			t.Errorf("%s: %v, %v", property, p, err)
		}
	}
}

func TestAMessageSurvivesTheRoundTrip(t *testing.T) {
	t.Parallel()
	m := message.New("t", nil)
	var got payment
	if err := errors.Join(codec.Encode(codec.JSON{}, m, payment{"p1", 3}), codec.Decode(codec.JSON{}, received(m), &got)); err != nil || got != (payment{"p1", 3}) {
		t.Errorf("%v, %v", got, err)
	}
}
