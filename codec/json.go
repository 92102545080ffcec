package codec

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// JSON is encoding/json with its defaults: unknown fields are ignored, so that
// a producer may add some before its consumers know them.
type JSON struct{}

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
