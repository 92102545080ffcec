package codec

import (
	"cmp"
	"fmt"
	"maps"
	"mime"
	"reflect"
	"strings"

	"github.com/rocketkit/rocketkit/message"
)

// ContentTypeProperty is the message property with the body's media type, such as
// application/json. It is Spring's MessageHeaders.CONTENT_TYPE, which rocketmq-spring
// sends with each message.
const ContentTypeProperty = "contentType"

// Typed is a Codec whose bodies have a media type.
type Typed interface {
	Codec
	// ContentType is the media type, such as "application/json".
	ContentType() string
}

// MessageEncoder is a Codec that writes properties of the message as well.
type MessageEncoder interface {
	Codec
	// EncodeMessage sets m's body and properties from v. It must not change the map
	// that m.Properties was, see SetProperty.
	EncodeMessage(m *message.Message, v any) error
}

// MessageDecoder is a Codec that reads properties of the message as well.
type MessageDecoder interface {
	Codec
	// DecodeMessage fills the value that v points to from d.
	DecodeMessage(d *message.Delivery, v any) error
}

// Encode makes v the body of m. The property contentType becomes the codec's, if it has
// one, v is not a byte slice, which may be anything, and m does not say itself. The map
// m.Properties is replaced, not changed.
func Encode(c Codec, m *message.Message, v any) error {
	if e, ok := c.(MessageEncoder); ok {
		return e.EncodeMessage(m, v)
	}
	body, err := c.Encode(v)
	if err != nil {
		return err
	}
	m.Body = body
	if t, ok := c.(Typed); ok && m.Properties[ContentTypeProperty] == "" && !isBytes(reflect.TypeOf(v)) {
		SetProperty(m, ContentTypeProperty, t.ContentType())
	}
	return nil
}

// SetProperty sets a property of m in a map of its own: messages may share one.
func SetProperty(m *message.Message, name, value string) {
	props := maps.Clone(m.Properties)
	if props == nil {
		props = make(map[string]string, 1)
	}
	props[name] = value
	m.Properties = props
}

// Decode fills the value that v points to from d.
func Decode(c Codec, d *message.Delivery, v any) error {
	if m, ok := c.(MessageDecoder); ok {
		return m.DecodeMessage(d, v)
	}
	return c.Decode(d.Body, v)
}

// cloudEventsContentType is the property in which Java's CloudEvents SDK names the media
// type (io.cloudevents.rocketmq).
const cloudEventsContentType = "CE_contenttype"

// ContentType is the media type that d's property contentType names, or CE_contenttype,
// which is Java's CloudEvents SDK's and counts for more, since that SDK reads no other: in
// lower case and without parameters, "" when there is none.
func ContentType(d *message.Delivery) string {
	own, theirs := "", ""
	for name, value := range d.Properties() {
		switch name {
		case ContentTypeProperty:
			own = value
		case cloudEventsContentType:
			theirs = value
		}
	}
	return mediaType(cmp.Or(theirs, own))
}

func mediaType(s string) string {
	if s == "" {
		return ""
	}
	if t, _, err := mime.ParseMediaType(s); err == nil {
		return t
	}
	s, _, _ = strings.Cut(s, ";")
	return strings.ToLower(strings.TrimSpace(s))
}

// ByContentType chooses for each message: of the codecs that serve the handler's type
// the one whose media type the message names, else, also for a media type that nobody
// has, the first. So a group can have one for all its handlers. What is encoded is
// encoded by the first that serves the value. A codec that is not Typed is only ever
// taken as the first.
func ByContentType(first Codec, others ...Codec) Codec {
	return byContentType(append([]Codec{first}, others...))
}

type byContentType []Codec

var (
	_ MessageEncoder = byContentType(nil)
	_ MessageDecoder = byContentType(nil)
)

// Name lists the codecs.
func (b byContentType) Name() string {
	names := make([]string, len(b))
	for i, c := range b {
		names[i] = "nil"
		if c != nil {
			names[i] = c.Name()
		}
	}
	return strings.Join(names, " or ")
}

// Check asks for one codec that serves the type.
func (b byContentType) Check(t reflect.Type) error {
	for i, c := range b {
		if c == nil {
			return fmt.Errorf("%w: codec %d of ByContentType is nil; remove it", ErrUnknown, i+1)
		}
	}
	_, err := b.pick(t, "")
	return err
}

// pick returns the codec for values of type t and a media type.
func (b byContentType) pick(t reflect.Type, media string) (Codec, error) {
	var first Codec
	var why error
	for _, c := range b {
		if err := c.Check(t); err != nil {
			if why == nil {
				why = err
			}
			continue
		}
		if typed, ok := c.(Typed); ok && media != "" && mediaType(typed.ContentType()) == media {
			return c, nil
		}
		if first == nil {
			first = c
		}
	}
	if first == nil {
		return nil, why
	}
	return first, nil
}

// target is the type of what v points to.
func target(v any) (reflect.Type, error) {
	if t := reflect.TypeOf(v); t != nil && t.Kind() == reflect.Pointer {
		return t.Elem(), nil
	}
	return nil, fmt.Errorf("%w: decoding fills what a pointer points to, not %T", ErrType, v)
}

// Encode encodes v with the first codec that serves it.
func (b byContentType) Encode(v any) ([]byte, error) {
	c, err := b.encoder(v)
	if err != nil {
		return nil, err
	}
	return c.Encode(v)
}

func (b byContentType) encoder(v any) (Codec, error) {
	t := reflect.TypeOf(v)
	if t == nil {
		return b[0], nil // whose matter nil is
	}
	return b.pick(t, "")
}

// EncodeMessage does the same, with the properties.
func (b byContentType) EncodeMessage(m *message.Message, v any) error {
	c, err := b.encoder(v)
	if err != nil {
		return err
	}
	return Encode(c, m, v)
}

// Decode knows no media type and takes the first codec that serves.
func (b byContentType) Decode(body []byte, v any) error {
	t, err := target(v)
	if err != nil {
		return err
	}
	c, err := b.pick(t, "")
	if err != nil {
		return err
	}
	return c.Decode(body, v)
}

// DecodeMessage takes the codec that the message names.
func (b byContentType) DecodeMessage(d *message.Delivery, v any) error {
	t, err := target(v)
	if err != nil {
		return err
	}
	c, err := b.pick(t, ContentType(d))
	if err != nil {
		return err
	}
	return Decode(c, d, v)
}
