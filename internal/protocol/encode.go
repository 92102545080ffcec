package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// MaxFrameSize caps a whole frame, length field included, as Apache's decoder
// does (com.rocketmq.remoting.frameMaxLength, 16 MiB).
const MaxFrameSize = 16 << 20

// ErrFrameTooLarge reports a frame beyond the cap; nothing of it was allocated.
var ErrFrameTooLarge = errors.New("frame too large")

// maxHeaderSize is what 24 bits can say.
const maxHeaderSize = 1<<24 - 1

// AppendCommand appends c as one frame to dst: length, header, body. The
// fields of h, which may be nil, follow those of c.Fields. On error dst is
// returned as it was.
func AppendCommand(dst []byte, c *Command, h Header) ([]byte, error) {
	return AppendFrame(dst, c, h, c.Body)
}

// AppendFrame is AppendCommand for a body in several pieces, which saves the
// caller from joining them; c.Body is ignored.
func AppendFrame(dst []byte, c *Command, h Header, body ...[]byte) ([]byte, error) {
	var e Encoder
	return e.AppendFrame(dst, c, h, body...)
}

// Encoder appends frames without allocating: it keeps the FieldWriter, which
// would otherwise escape through Header's method on every call. The zero value
// is ready. An Encoder must not be used by two goroutines at once.
type Encoder struct{ w FieldWriter }

// AppendFrame is the function of that name.
func (e *Encoder) AppendFrame(dst []byte, c *Command, h Header, body ...[]byte) ([]byte, error) {
	return e.appendFrame(dst, c, h, nil, body)
}

// AppendSigned is AppendFrame for a request that s signs.
func (e *Encoder) AppendSigned(dst []byte, c *Command, h Header, s *Signer, body ...[]byte) ([]byte, error) {
	return e.appendFrame(dst, c, h, s, body)
}

// appendFrame signs unless sign is nil.
func (e *Encoder) appendFrame(dst []byte, c *Command, h Header, sign *Signer, body [][]byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	switch c.Codec {
	case JSON:
		dst = e.appendJSONHeader(dst, c, h, sign, body)
	case Binary:
		var err error
		if dst, err = e.appendBinaryHeader(dst, c, h, sign, body); err != nil {
			return dst[:start], err
		}
	default:
		return dst[:start], fmt.Errorf("unknown header codec %d", c.Codec)
	}
	header := len(dst) - start - 8
	total := 8 + header
	for _, b := range body {
		total += len(b)
	}
	if header > maxHeaderSize || total > MaxFrameSize {
		return dst[:start], fmt.Errorf("%w: %d bytes (header %d), at most %d", ErrFrameTooLarge, total, header, MaxFrameSize)
	}
	for _, b := range body {
		dst = append(dst, b...)
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(total-4))
	binary.BigEndian.PutUint32(dst[start+4:], uint32(c.Codec)<<24|uint32(header))
	return dst, nil
}

// FieldWriter writes extFields in the codec of the frame that is being built.
type FieldWriter struct {
	dst   []byte
	codec Codec
	count int
	notes notes // for a signature
}

// String writes a field. An empty value is written: in JSON Java tells "" from
// absent. In the binary codec it does not, so a peer sees no field.
func (w *FieldWriter) String(key, value string) {
	if w.notes.on && !note(w, key, value) {
		return
	}
	w.key(key)
	if w.codec == JSON {
		w.dst = appendJSONString(w.dst, value)
		return
	}
	w.dst = binary.BigEndian.AppendUint32(w.dst, uint32(len(value)))
	w.dst = append(w.dst, value...)
}

// OptString writes the field unless it is empty.
func (w *FieldWriter) OptString(key, value string) {
	if value != "" {
		w.String(key, value)
	}
}

// Int writes a number as Java does, in decimal.
func (w *FieldWriter) Int(key string, value int64) {
	if w.notes.on {
		var digits [20]byte
		note(w, key, strconv.AppendInt(digits[:0], value, 10))
	}
	w.key(key)
	if w.codec == JSON {
		w.dst = append(w.dst, '"')
		w.dst = strconv.AppendInt(w.dst, value, 10)
		w.dst = append(w.dst, '"')
		return
	}
	at := len(w.dst)
	w.dst = append(w.dst, 0, 0, 0, 0)
	w.dst = strconv.AppendInt(w.dst, value, 10)
	binary.BigEndian.PutUint32(w.dst[at:], uint32(len(w.dst)-at-4))
}

// Bool writes "true" or "false".
func (w *FieldWriter) Bool(key string, value bool) {
	if value {
		w.String(key, "true")
	} else {
		w.String(key, "false")
	}
}

// Bytes writes a value that the caller holds as bytes, such as the properties
// that it just built.
func (w *FieldWriter) Bytes(key string, value []byte) {
	if w.notes.on && !note(w, key, value) {
		return
	}
	w.key(key)
	if w.codec == JSON {
		w.dst = appendJSONString(w.dst, value)
		return
	}
	w.dst = binary.BigEndian.AppendUint32(w.dst, uint32(len(value)))
	w.dst = append(w.dst, value...)
}

func (w *FieldWriter) key(key string) {
	if w.codec == JSON {
		if w.count > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = appendJSONString(w.dst, key)
		w.dst = append(w.dst, ':')
	} else {
		w.dst = binary.BigEndian.AppendUint16(w.dst, uint16(len(key)))
		w.dst = append(w.dst, key...)
	}
	w.count++
}

// appendFields writes the fields of c, then those of h.
func (e *Encoder) appendFields(dst []byte, c *Command, h Header, sign *Signer, body [][]byte) []byte {
	w := &e.w
	*w = FieldWriter{dst: dst, codec: c.Codec, notes: w.notes}
	if sign != nil {
		w.notes.begin()
		defer w.notes.end()
	}
	for i := range c.Fields {
		w.String(c.Fields[i].Key, c.Fields[i].Value)
	}
	if h != nil {
		h.AppendFields(w)
	}
	if sign != nil {
		w.sign(sign, body)
	}
	dst, w.dst = w.dst, nil
	return dst
}

// appendJSONHeader writes the members in the order of Java's fastjson. ext is
// written even when empty: client-go 2.1 dereferences it.
func (e *Encoder) appendJSONHeader(dst []byte, c *Command, h Header, sign *Signer, body [][]byte) []byte {
	dst = append(dst, `{"code":`...)
	dst = strconv.AppendInt(dst, int64(c.Code), 10)
	dst = append(dst, `,"extFields":{`...)
	dst = e.appendFields(dst, c, h, sign, body)
	dst = append(dst, `},"flag":`...)
	dst = strconv.AppendInt(dst, int64(c.Flag), 10)
	dst = append(dst, `,"language":"`...)
	dst = append(dst, c.Language.String()...)
	dst = append(dst, `","opaque":`...)
	dst = strconv.AppendInt(dst, int64(c.Opaque), 10)
	if c.Remark != "" {
		dst = append(dst, `,"remark":`...)
		dst = appendJSONString(dst, c.Remark)
	}
	dst = append(dst, `,"serializeTypeCurrentRPC":"JSON","version":`...)
	dst = strconv.AppendInt(dst, int64(c.Version), 10)
	return append(dst, '}')
}

func (e *Encoder) appendBinaryHeader(dst []byte, c *Command, h Header, sign *Signer, body [][]byte) ([]byte, error) {
	for i := range c.Fields {
		if len(c.Fields[i].Key) > 32767 {
			return dst, fmt.Errorf("header field name of %d bytes, at most 32767", len(c.Fields[i].Key))
		}
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(c.Code))
	dst = append(dst, byte(c.Language))
	dst = binary.BigEndian.AppendUint16(dst, uint16(c.Version))
	dst = binary.BigEndian.AppendUint32(dst, uint32(c.Opaque))
	dst = binary.BigEndian.AppendUint32(dst, uint32(c.Flag))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(c.Remark)))
	dst = append(dst, c.Remark...)
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = e.appendFields(dst, c, h, sign, body)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst, nil
}

const hexDigits = "0123456789abcdef"

// appendJSONString quotes s. Everything but quotes, backslashes and control
// characters goes out as it is; bytes that are not UTF-8 become U+FFFD, since
// Java would refuse the frame.
func appendJSONString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[start:i]...), "\ufffd"...)
			i++
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
