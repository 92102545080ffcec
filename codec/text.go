package codec

import (
	"fmt"
	"reflect"
)

// Text takes strings and byte slices, and types defined as one, as they are. A
// byte slice shares the message's memory; a string is a copy.
type Text struct{}

// Name is "text".
func (Text) Name() string { return "text" }

// ContentType is text/plain. Byte slices are sent without one, since they may be anything.
func (Text) ContentType() string { return "text/plain" }

// Check refuses what is neither a string nor a byte slice.
func (Text) Check(t reflect.Type) error {
	if textual(t) {
		return nil
	}
	return fmt.Errorf("%w: text carries a string or []byte, not %s; use JSON for it", ErrType, t)
}

// Encode returns the bytes of v, a string or byte slice.
func (Text) Encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return []byte(v), nil
	case []byte:
		return v, nil
	}
	if r := reflect.ValueOf(v); r.IsValid() && textual(r.Type()) {
		if r.Kind() == reflect.String {
			return []byte(r.String()), nil
		}
		return r.Bytes(), nil
	}
	return nil, fmt.Errorf("%w: text carries a string or []byte, not %T; use JSON for it", ErrType, v)
}

// Decode sets the string or byte slice that v points to.
func (Text) Decode(body []byte, v any) error {
	switch v := v.(type) {
	case *string:
		*v = string(body)
		return nil
	case *[]byte:
		*v = whole(body)
		return nil
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && !r.IsNil() && textual(r.Type().Elem()) {
		if r.Elem().Kind() == reflect.String {
			r.Elem().SetString(string(body))
		} else {
			r.Elem().SetBytes(whole(body))
		}
		return nil
	}
	return fmt.Errorf("%w: text fills a *string or *[]byte, not %T; use JSON for it", ErrType, v)
}

// whole returns b without spare capacity: appending to it cannot reach the next
// message of the same pull.
func whole(b []byte) []byte { return b[:len(b):len(b)] }
