package codec

import (
	"fmt"
	"reflect"
)

// Raw hands bodies through untouched: byte slices only, and they share the
// message's memory.
type Raw struct{}

// Name is "raw".
func (Raw) Name() string { return "raw" }

// Check refuses what is not a byte slice.
func (Raw) Check(t reflect.Type) error {
	if t == reflect.TypeFor[[]byte]() {
		return nil
	}
	return fmt.Errorf("%w: raw carries []byte, not %s; use text for strings and JSON for the rest", ErrType, t)
}

// Encode returns v, a byte slice.
func (Raw) Encode(v any) ([]byte, error) {
	if b, ok := v.([]byte); ok {
		return b, nil
	}
	return nil, fmt.Errorf("%w: raw carries []byte, not %T; use text for strings and JSON for the rest", ErrType, v)
}

// Decode sets the byte slice that v points to.
func (Raw) Decode(body []byte, v any) error {
	if b, ok := v.(*[]byte); ok {
		*b = whole(body)
		return nil
	}
	return fmt.Errorf("%w: raw fills a *[]byte, not %T; use text for strings and JSON for the rest", ErrType, v)
}
