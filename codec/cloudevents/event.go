package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode/utf8"
)

// ContentType is the media type of an event in structured mode.
const ContentType = "application/cloudevents+json"

// specVersion is the version of CloudEvents that this package knows: 1.0 with all of its
// patch releases.
const specVersion = "1.0"

// ErrEvent: what is sent or was received is not a CloudEvent.
var ErrEvent = errors.New("not a CloudEvent")

// Event is a CloudEvent. ID, Source and Type must be set.
type Event struct {
	ID     string // unique among the events of Source
	Source string // a URI reference: where it happened
	Type   string // such as "com.example.order.paid"

	Subject         string    // of what in Source, optional
	Time            time.Time // when it happened; the zero Time is none
	DataContentType string    // the media type of Data; "" is JSON in structured mode
	DataSchema      string    // a URI, optional
	// Extensions are further attributes, by names of lower-case letters and digits.
	// Numbers and truth values are in CloudEvents' canonical text.
	Extensions map[string]string
	// Data is the payload as it is, such as a JSON text; nil is none.
	Data []byte
}

// Validate reports everything that is wrong with e, joined.
func (e *Event) Validate() error {
	var errs []error
	need := func(name, value string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("%w: it has no %s; set it", ErrEvent, name))
		}
	}
	need("id", e.ID)
	need("source", e.Source)
	need("type", e.Type)
	for name := range e.Extensions {
		if known(name) || name == "data" || name == "data_base64" {
			errs = append(errs, fmt.Errorf("%w: extension %q has the name of an attribute; set the field", ErrEvent, name))
		} else if !proper(name) {
			errs = append(errs, fmt.Errorf("%w: extension %q: names are of lower-case letters and digits", ErrEvent, name))
		}
	}
	return errors.Join(errs...)
}

// proper reports whether an attribute can have that name.
func proper(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') })
}

// attribute is a name with its value.
type attribute struct{ name, value string }

// known reports whether name is an attribute that is no extension.
func known(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema":
		return true
	}
	return false
}

// attributes lists those that have a value.
func (e *Event) attributes() []attribute {
	all := []attribute{
		{"specversion", specVersion}, {"id", e.ID}, {"source", e.Source}, {"type", e.Type},
		{"subject", e.Subject}, {"datacontenttype", e.DataContentType}, {"dataschema", e.DataSchema},
	}
	if !e.Time.IsZero() {
		all = append(all, attribute{"time", e.Time.Format(time.RFC3339Nano)})
	}
	for name, value := range e.Extensions {
		all = append(all, attribute{name, value})
	}
	kept := all[:0]
	for _, a := range all {
		if a.value != "" {
			kept = append(kept, a)
		}
	}
	return kept
}

// set gives an attribute its value.
func (e *Event) set(name, value string) error {
	switch name {
	case "specversion":
		if value != specVersion {
			return fmt.Errorf("%w of version %s: specversion is %q", ErrEvent, specVersion, value)
		}
	case "id":
		e.ID = value
	case "source":
		e.Source = value
	case "type":
		e.Type = value
	case "subject":
		e.Subject = value
	case "datacontenttype":
		e.DataContentType = value
	case "dataschema":
		e.DataSchema = value
	case "time":
		t, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return fmt.Errorf("%w: attribute time: %w", ErrEvent, err)
		}
		e.Time = t
	default:
		if e.Extensions == nil {
			e.Extensions = make(map[string]string)
		}
		e.Extensions[name] = value
	}
	return nil
}

// isJSON reports whether data of a media type is JSON; so is data of none.
func isJSON(media string) bool {
	if media == "" {
		return true
	}
	t, _, err := mime.ParseMediaType(media)
	return err == nil && (strings.HasSuffix(t, "/json") || strings.HasSuffix(t, "+json"))
}

// MarshalJSON writes e in CloudEvents' JSON format.
func (e Event) MarshalJSON() ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	fields := make(map[string]any)
	for _, a := range e.attributes() {
		fields[a.name] = a.value
	}
	media, _, _ := mime.ParseMediaType(e.DataContentType)
	switch {
	case e.Data == nil:
	case isJSON(e.DataContentType) && json.Valid(e.Data):
		fields["data"] = json.RawMessage(e.Data)
	case isJSON(e.DataContentType):
		return nil, fmt.Errorf("%w: its data is said to be JSON and is not; set DataContentType", ErrEvent)
	case strings.HasPrefix(media, "text/") && utf8.Valid(e.Data):
		fields["data"] = string(e.Data)
	default:
		fields["data_base64"] = base64.StdEncoding.EncodeToString(e.Data)
	}
	return json.Marshal(fields)
}

// UnmarshalJSON reads an event in CloudEvents' JSON format.
func (e *Event) UnmarshalJSON(b []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return fmt.Errorf("%w: %w", ErrEvent, err)
	}
	if version, ok := fields["specversion"]; !ok || string(version) == "null" {
		return fmt.Errorf("%w: it has no specversion", ErrEvent)
	}
	var read Event
	data, plain := fields["data"]
	coded, binary := fields["data_base64"]
	delete(fields, "data")
	delete(fields, "data_base64")
	for name, raw := range fields {
		value, ok, err := text(raw)
		switch {
		case err != nil:
			return fmt.Errorf("%w: attribute %s: %w", ErrEvent, name, err)
		case ok:
			if err := read.set(name, value); err != nil {
				return err
			}
		}
	}
	if err := read.setData(data, plain && string(data) != "null", coded, binary && string(coded) != "null"); err != nil {
		return err
	}
	if err := read.Validate(); err != nil {
		return err
	}
	*e = read
	return nil
}

// text is an attribute's value as text; ok is false for null, which is none.
func text(raw json.RawMessage) (value string, ok bool, err error) {
	switch raw[0] {
	case 'n':
		return "", false, nil
	case '"':
		err = json.Unmarshal(raw, &value)
		return value, true, err
	case '{', '[':
		return "", false, errors.New("it is neither a string nor a number nor a truth value")
	}
	return string(raw), true, nil
}

// setData takes the payload from the field data or data_base64.
func (e *Event) setData(data json.RawMessage, plain bool, coded json.RawMessage, binary bool) error {
	switch {
	case plain && binary:
		return fmt.Errorf("%w: it has data and data_base64", ErrEvent)
	case binary:
		if err := json.Unmarshal(coded, &e.Data); err != nil {
			return fmt.Errorf("%w: data_base64: %w", ErrEvent, err)
		}
	case plain && !isJSON(e.DataContentType) && data[0] == '"':
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return fmt.Errorf("%w: data: %w", ErrEvent, err)
		}
		e.Data = []byte(s)
	case plain:
		e.Data = bytes.Clone(data)
	}
	return nil
}
