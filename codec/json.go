package codec

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/rocketkit/rocketkit/message"
)

// JSON is encoding/json with its defaults: unknown fields are ignored, so that
// a producer may add some before its consumers know them.
type JSON struct{}

var (
	_ Typed          = JSON{}
	_ MessageDecoder = JSON{}
)

// Name is "json".
func (JSON) Name() string { return "json" }

// Check refuses the types that JSON has no form for.
func (JSON) Check(t reflect.Type) error {
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return fmt.Errorf("%w: JSON has no form for %s", ErrType, t)
	}
	return nil
}

// Encode returns v as JSON.
func (JSON) Encode(v any) ([]byte, error) { return json.Marshal(v) }

// Decode fills what v points to.
func (JSON) Decode(body []byte, v any) error { return json.Unmarshal(body, v) }

// ContentType is application/json.
func (JSON) ContentType() string { return "application/json" }

// DecodeMessage fills what v points to, unless the message says that its body is an
// envelope: a CloudEvent would fill nothing, and nobody would notice.
func (j JSON) DecodeMessage(d *message.Delivery, v any) error {
	if t := ContentType(d); strings.HasPrefix(t, "application/cloudevents") {
		return fmt.Errorf("the body is an envelope, %s: take cloudevents.Codec, or codec.ByContentType with it", t)
	}
	return j.Decode(d.Body, v)
}
