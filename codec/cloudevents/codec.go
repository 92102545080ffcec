package cloudevents

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/message"
)

// What the binding calls things.
const (
	prefix              = "CE_"
	contentTypeProperty = "CE_contenttype"
	versionProperty     = "CE_specversion"
)

// nothing is the body of an event without data in binary mode: RocketMQ carries no empty
// one.
const nothing = "\x00"

// Codec is the codec for Event, *Event, or values that are an event's data. The zero
// Codec reads both modes and sends events in binary mode.
type Codec struct {
	// Structured sends the event in JSON as the body, instead of its attributes as
	// properties.
	Structured bool
	// Source and Type are those of events that are made of values that are sent and are
	// no Event. They get a random ID and the time. Unused otherwise.
	Source, Type string
	// Data is the codec of such values; nil means codec.For the type.
	Data codec.Codec
}

var (
	_ codec.Typed          = Codec{}
	_ codec.MessageEncoder = Codec{}
	_ codec.MessageDecoder = Codec{}
)

// Name is "cloudevents".
func (Codec) Name() string { return "cloudevents" }

// ContentType is application/cloudevents+json, which names events in structured mode.
func (Codec) ContentType() string { return ContentType }

// Check asks for Event, *Event or a type that the codec of the data serves.
func (c Codec) Check(t reflect.Type) error {
	if t == reflect.TypeFor[Event]() || t == reflect.TypeFor[*Event]() {
		return nil
	}
	return c.data(t).Check(t)
}

func (c Codec) data(t reflect.Type) codec.Codec {
	if c.Data != nil {
		return c.Data
	}
	return codec.For(t)
}

// Encode returns the event in structured mode. Binary mode takes EncodeMessage, which
// codec.Encode calls.
func (c Codec) Encode(v any) ([]byte, error) {
	e, err := c.event(v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(e)
}

// Decode reads an event in structured mode. Binary mode takes DecodeMessage, which
// codec.Decode calls.
func (c Codec) Decode(body []byte, v any) error {
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	return c.fill(&e, v)
}

// EncodeMessage sets m's body and properties from v.
func (c Codec) EncodeMessage(m *message.Message, v any) error {
	e, err := c.event(v)
	if err != nil {
		return err
	}
	if c.Structured {
		if m.Body, err = json.Marshal(e); err != nil {
			return err
		}
		codec.SetProperty(m, contentTypeProperty, ContentType)
		m.Properties[codec.ContentTypeProperty] = ContentType
		return nil
	}
	if err := e.Validate(); err != nil {
		return err
	}
	codec.SetProperty(m, versionProperty, specVersion)
	for _, a := range e.attributes() {
		if a.name == "datacontenttype" {
			m.Properties[contentTypeProperty] = a.value
			m.Properties[codec.ContentTypeProperty] = a.value
			continue
		}
		m.Properties[prefix+a.name] = a.value
	}
	if m.Body = e.Data; len(e.Data) == 0 {
		m.Body = []byte(nothing)
	}
	return nil
}

// event makes an event of a value.
func (c Codec) event(v any) (*Event, error) {
	switch v := v.(type) {
	case Event:
		return &v, nil
	case *Event:
		if v == nil {
			return nil, fmt.Errorf("%w: it is nil", ErrEvent)
		}
		return v, nil
	case nil:
		return nil, fmt.Errorf("%w: there is no value", ErrEvent)
	}
	if c.Source == "" || c.Type == "" {
		return nil, fmt.Errorf("%w: of %T alone none can be made; set Source and Type of cloudevents.Codec, or send a cloudevents.Event", ErrEvent, v)
	}
	data := c.data(reflect.TypeOf(v))
	body, err := data.Encode(v)
	if err != nil {
		return nil, err
	}
	e := &Event{ID: rand.Text(), Source: c.Source, Type: c.Type, Time: time.Now().UTC(), Data: body}
	if t, ok := data.(codec.Typed); ok {
		e.DataContentType = t.ContentType()
	}
	return e, nil
}

// DecodeMessage fills what v points to from d, in the mode that d is in.
func (c Codec) DecodeMessage(d *message.Delivery, v any) error {
	e, err := From(d)
	if err != nil {
		return err
	}
	return c.fill(&e, v)
}

// fill sets what v points to from an event.
func (c Codec) fill(e *Event, v any) error {
	switch v := v.(type) {
	case *Event:
		*v = *e
		return nil
	case **Event:
		*v = e
		return nil
	}
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		return fmt.Errorf("%w: decoding fills what a pointer points to, not %T", codec.ErrType, v)
	}
	if e.Data == nil {
		return fmt.Errorf("event %s of %s has no data for a %s", e.ID, e.Source, t.Elem())
	}
	return c.data(t.Elem()).Decode(e.Data, v)
}

// From returns the event that a message is, in whichever mode; the error is ErrEvent for
// one that is none. Its data may share the message's memory.
func From(d *message.Delivery) (Event, error) {
	var e Event
	if strings.HasPrefix(codec.ContentType(d), "application/cloudevents") {
		if t := codec.ContentType(d); t != ContentType {
			return e, fmt.Errorf("%w that can be read: its format is %s, and the one that is known %s", ErrEvent, t, ContentType)
		}
		err := json.Unmarshal(d.Body, &e)
		return e, err
	}
	if d.Property(versionProperty) == "" {
		return e, fmt.Errorf("%w: the message has no property %s, and its content type is not %s", ErrEvent, versionProperty, ContentType)
	}
	for name, value := range d.Properties() {
		switch rest, ours := strings.CutPrefix(name, prefix); {
		case name == contentTypeProperty:
			e.DataContentType = value
		case ours && rest != "":
			if err := e.set(rest, value); err != nil {
				return e, err
			}
		}
	}
	if string(d.Body) != nothing {
		e.Data = d.Body[:len(d.Body):len(d.Body)]
	}
	return e, e.Validate()
}
