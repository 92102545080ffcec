package protobuf

import (
	"bytes"
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/rocketkit/rocketkit/codec"
)

// ContentType is the media type of the bodies, the one that CloudEvents uses for
// Protocol Buffers.
const ContentType = "application/protobuf"

// Codec encodes generated messages in their binary form. The type of a handler is the
// pointer, such as *pb.Paid.
//
// A message all of whose fields have their defaults takes no bytes, which RocketMQ does
// not carry as a body. It is sent as one field of a number that Protocol Buffers
// reserves (19000, a varint of 0): every decoder passes it over as unknown.
type Codec struct{}

var _ codec.Typed = Codec{}

// empty is the body of a message without content: field 19000, a varint, 0.
func empty() []byte { return []byte{0xc0, 0xa3, 0x09, 0x00} }

// Name is "protobuf".
func (Codec) Name() string { return "protobuf" }

// ContentType is application/protobuf.
func (Codec) ContentType() string { return ContentType }

// Check asks for a pointer to a generated message.
func (Codec) Check(t reflect.Type) error {
	switch {
	case t.Kind() == reflect.Pointer && t.Implements(reflect.TypeFor[proto.Message]()):
		return nil
	case reflect.PointerTo(t).Implements(reflect.TypeFor[proto.Message]()):
		return fmt.Errorf("%w: protobuf carries *%[2]s, not %[2]s: generated messages must not be copied", codec.ErrType, t)
	}
	return fmt.Errorf("%w: protobuf carries generated messages, not %s; use JSON for it", codec.ErrType, t)
}

// Encode returns the message in its binary form.
func (Codec) Encode(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok || reflect.ValueOf(v).IsNil() {
		return nil, fmt.Errorf("%w: protobuf carries generated messages that are not nil, not %T", codec.ErrType, v)
	}
	body, err := proto.Marshal(m)
	if err == nil && len(body) == 0 {
		body = empty()
	}
	return body, err
}

// Decode sets the pointer that v points to, to a new message.
func (c Codec) Decode(body []byte, v any) error {
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Pointer || r.IsNil() {
		return fmt.Errorf("%w: protobuf fills a pointer to *pb.Message, not %T", codec.ErrType, v)
	}
	if err := c.Check(r.Type().Elem()); err != nil {
		return err
	}
	m := reflect.New(r.Type().Elem().Elem())
	if !bytes.Equal(body, empty()) {
		if err := proto.Unmarshal(body, m.Interface().(proto.Message)); err != nil {
			return err
		}
	}
	r.Elem().Set(m)
	return nil
}
