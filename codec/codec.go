package codec

import (
	"fmt"
	"reflect"
	"strings"
)

// Codec turns values into message bodies and back. Its methods may be called by
// several goroutines at once.
type Codec interface {
	// Name is what configuration and struct tags call it, such as "json".
	Name() string
	// Check reports why the codec cannot serve values of type t, nil when it
	// can. It is called once, when a handler is registered, so that a wrong
	// pair fails at start and not at the first message.
	Check(t reflect.Type) error
	// Encode returns v as a message body. The body may share v's memory.
	Encode(v any) ([]byte, error)
	// Decode fills the value that v points to from body. The value may share
	// body's memory, so neither may be changed afterwards.
	Decode(body []byte, v any) error
}

// For returns the codec for values of type t where none is named: [Text] for
// strings and byte slices, [JSON] for everything else.
func For(t reflect.Type) Codec {
	if textual(t) {
		return Text{}
	}
	return JSON{}
}

// ByName returns the codec of this package that name names: text, json or raw.
func ByName(name string) (Codec, error) {
	all := []Codec{Text{}, JSON{}, Raw{}}
	names := make([]string, len(all))
	for i, c := range all {
		if c.Name() == name {
			return c, nil
		}
		names[i] = c.Name()
	}
	return nil, fmt.Errorf("%w %q; known are %s", ErrUnknown, name, strings.Join(names, ", "))
}

// textual reports whether t is a string, a byte slice or a defined type of one.
func textual(t reflect.Type) bool {
	return t.Kind() == reflect.String || isBytes(t)
}

func isBytes(t reflect.Type) bool {
	return t != nil && t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}
