package protocol

import (
	"fmt"
	"math"
	"strconv"
)

// Codec says how a header is serialized. It travels in the top byte of the
// header length.
type Codec uint8

const (
	// JSON is fastjson's rendering of RemotingCommand; every peer reads it.
	JSON Codec = 0
	// Binary is Apache's "ROCKETMQ" serialization. It carries the code in 16
	// bits only, see widenCode.
	Binary Codec = 1
)

func (c Codec) String() string {
	switch c {
	case JSON:
		return "JSON"
	case Binary:
		return "ROCKETMQ"
	}
	return "codec " + strconv.Itoa(int(c))
}

// Flag bits of a Command.
const (
	flagResponse int32 = 1 << 0
	flagOneway   int32 = 1 << 1
)

// Command is one frame: a request, a oneway request or a response.
type Command struct {
	Codec    Codec
	Code     Code // request code, or response code when IsResponse
	Language Language
	Version  int32 // MQVersion ordinal of the sender
	Opaque   int32 // pairs a response with its request on one connection
	Flag     int32
	Remark   string
	Fields   Fields // "extFields"
	Body     []byte // after decoding it aliases the frame's buffer
}

// ClientRequest starts a request of this client: in the binary header where that has
// room for the code. It has not for those of POP: Apache's brokers would read another.
func ClientRequest(code Code) Command {
	codec := Binary
	if code > math.MaxInt16 {
		codec = JSON
	}
	return Command{Codec: codec, Code: code, Language: LanguageGo, Version: ClientVersion}
}

// IsResponse reports whether the frame answers an earlier request.
func (c *Command) IsResponse() bool { return c.Flag&flagResponse != 0 }

// IsOneway reports whether the sender expects no response.
func (c *Command) IsOneway() bool { return c.Flag&flagOneway != 0 }

// MarkOneway makes a request one that is not answered.
func (c *Command) MarkOneway() { c.Flag |= flagOneway }

// Response starts the answer to c: same codec and opaque, the response bit set.
func (c *Command) Response(code Code, remark string) Command {
	return Command{
		Codec: c.Codec, Code: code, Language: LanguageGo, Version: ServerVersion,
		Opaque: c.Opaque, Flag: flagResponse, Remark: remark,
	}
}

// Field is one entry of a header's extFields.
type Field struct{ Key, Value string }

// Fields are a header's extFields in the order they were read. Headers have at
// most about twenty, so a scan is faster than a map and allocates nothing.
type Fields []Field

// Get returns the value of key; the last one wins, as in Java's map.
func (f Fields) Get(key string) (string, bool) {
	for i := len(f) - 1; i >= 0; i-- {
		if f[i].Key == key {
			return f[i].Value, true
		}
	}
	return "", false
}

// Value returns the value of key, "" when absent.
func (f Fields) Value(key string) string {
	v, _ := f.Get(key)
	return v
}

// Header is the typed form of a request's or response's extFields.
type Header interface {
	// AppendFields writes every field that is set.
	AppendFields(w *FieldWriter)
}

// HeaderDecoder is a Header that reads itself.
type HeaderDecoder interface {
	// DecodeFields reads the fields it knows and ignores others. Its errors
	// name the field.
	DecodeFields(f Fields) error
}

// FieldError says which header field could not be used.
type FieldError struct {
	Field, Value, Want string
}

func (e *FieldError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("header field %q is missing, want %s", e.Field, e.Want)
	}
	v := e.Value
	if len(v) > 64 {
		v = v[:64] + "…"
	}
	return fmt.Sprintf("header field %q is %q, want %s", e.Field, v, e.Want)
}

// ParseInt64 reads a decimal field.
func (f Field) ParseInt64() (int64, error) {
	n, err := strconv.ParseInt(f.Value, 10, 64)
	if err != nil {
		return 0, &FieldError{f.Key, f.Value, "a 64-bit integer"}
	}
	return n, nil
}

// ParseInt32 reads a decimal field.
func (f Field) ParseInt32() (int32, error) {
	n, err := strconv.ParseInt(f.Value, 10, 32)
	if err != nil {
		return 0, &FieldError{f.Key, f.Value, "a 32-bit integer"}
	}
	return int32(n), nil
}

// ParseBool reads a field as Java's Boolean.parseBoolean does: "true" in any
// case is true, all else is false.
func (f Field) ParseBool() bool {
	return len(f.Value) == 4 && (f.Value == "true" || (f.Value[0]|0x20 == 't' && f.Value[1]|0x20 == 'r' && f.Value[2]|0x20 == 'u' && f.Value[3]|0x20 == 'e'))
}
