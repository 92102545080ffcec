package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// ErrMalformedFrame is wrapped by every error about bytes that are not a frame
// of this protocol. The connection they came from cannot be read any further.
var ErrMalformedFrame = errors.New("malformed frame")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformedFrame, fmt.Sprintf(format, args...))
}

// FrameSize reads the length field at the start of b and returns the size of
// the whole frame, length field included. It is 0 while b is shorter than the
// length field. The cap is checked here, before anyone allocates.
func FrameSize(b []byte) (int, error) {
	if len(b) < 4 {
		return 0, nil
	}
	n := binary.BigEndian.Uint32(b)
	if n > MaxFrameSize-4 {
		return 0, fmt.Errorf("%w: length field says %d bytes, at most %d", ErrFrameTooLarge, n, MaxFrameSize-4)
	}
	if n < 4 {
		return 0, malformed("length field says %d bytes, at least 4", n)
	}
	return int(n) + 4, nil
}

// DecodeFrame reads one whole frame, length field included, into c. c.Fields is
// reused. All strings share one copy of the header, unless that is large, and
// stay valid; c.Body aliases frame.
func DecodeFrame(frame []byte, c *Command) error {
	size, err := FrameSize(frame)
	if err != nil {
		return err
	}
	if size == 0 || size != len(frame) {
		return malformed("frame of %d bytes in a buffer of %d", size, len(frame))
	}
	if len(frame) < 8 {
		return malformed("no header length")
	}
	word := binary.BigEndian.Uint32(frame[4:])
	codec, headerLen := Codec(word>>24), int(word&maxHeaderSize)
	if headerLen > len(frame)-8 {
		return malformed("header of %d bytes in a frame of %d", headerLen, len(frame))
	}
	*c = Command{Codec: codec, Fields: c.Fields[:0]}
	header := string(frame[8 : 8+headerLen])
	switch codec {
	case JSON:
		err = decodeJSONHeader(header, c)
	case Binary:
		err = decodeBinaryHeader(header, c)
	default:
		err = malformed("unknown header codec %d", codec)
	}
	if err != nil {
		return err
	}
	if headerLen > maxSharedHeader {
		c.unshare()
	}
	if body := frame[8+headerLen:]; len(body) > 0 {
		c.Body = body
	}
	return nil
}

// maxSharedHeader is the largest header that its strings may keep in memory. Who
// keeps one of them, a topic's name say, must not keep megabytes with it.
const maxSharedHeader = 8 << 10

// unshare gives each string its own memory.
func (c *Command) unshare() {
	c.Remark = strings.Clone(c.Remark)
	for i, f := range c.Fields {
		c.Fields[i] = Field{strings.Clone(f.Key), strings.Clone(f.Value)}
	}
}

func decodeBinaryHeader(h string, c *Command) error {
	const fixed = 2 + 1 + 2 + 4 + 4 + 4
	if len(h) < fixed {
		return malformed("binary header of %d bytes, at least %d", len(h), fixed)
	}
	code := int16(be16(h))
	c.Language = Language(h[2])
	c.Version = int32(int16(be16(h[3:])))
	c.Opaque = int32(be32(h[5:]))
	c.Flag = int32(be32(h[9:]))
	if c.IsResponse() {
		c.Code = Code(code)
	} else {
		c.Code = widenCode(code)
	}
	remark, rest, err := cut(h[13:], 4, "remark")
	if err != nil {
		return err
	}
	c.Remark = remark
	ext, rest, err := cut(rest, 4, "extFields")
	if err != nil {
		return err
	}
	if rest != "" {
		return malformed("%d bytes after extFields", len(rest))
	}
	for ext != "" {
		var f Field
		if f.Key, ext, err = cut(ext, 2, "field name"); err != nil {
			return err
		}
		if f.Value, ext, err = cut(ext, 4, "field value"); err != nil {
			return err
		}
		if f.Key == "" || f.Value == "" {
			continue // Java reads a string of length 0 as null, and null as absent
		}
		if err := c.addField(f); err != nil {
			return err
		}
	}
	return nil
}

// maxFields bounds what a hostile header can make us allocate. Real headers
// have about twenty fields.
const maxFields = 512

func (c *Command) addField(f Field) error {
	if len(c.Fields) == maxFields {
		return malformed("more than %d fields", maxFields)
	}
	c.Fields = append(c.Fields, f)
	return nil
}

// cut takes a string that is prefixed with its length in size bytes.
func cut(s string, size int, what string) (value, rest string, err error) {
	if len(s) < size {
		return "", "", malformed("%s: no room for its length", what)
	}
	var n int64
	if size == 2 {
		n = int64(int16(be16(s)))
	} else {
		n = int64(int32(be32(s)))
	}
	if n < 0 || n > int64(len(s)-size) {
		return "", "", malformed("%s of %d bytes where %d are left", what, n, len(s)-size)
	}
	return s[size : size+int(n)], s[size+int(n):], nil
}

func be16(s string) uint16 { return uint16(s[0])<<8 | uint16(s[1]) }

func be32(s string) uint32 {
	return uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3])
}
