package protocol

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decodeJSONHeader reads RemotingCommand's JSON. It is tolerant where peers
// differ: unknown members are skipped, extFields may be null, its values may be
// strings, numbers, booleans or null, and the language may be unknown.
func decodeJSONHeader(h string, c *Command) error {
	s := jsonScanner{s: h}
	err := s.object(func(key string) error {
		switch key {
		case "code":
			return s.int32((*int32)(&c.Code))
		case "flag":
			return s.int32(&c.Flag)
		case "opaque":
			return s.int32(&c.Opaque)
		case "version":
			return s.int32(&c.Version)
		case "language":
			v, err := s.scalar()
			c.Language = parseLanguage(v)
			return err
		case "remark":
			v, err := s.scalar()
			c.Remark = v
			return err
		case "extFields":
			if s.null() {
				return nil
			}
			return s.object(func(key string) error {
				v, err := s.scalar()
				if err == nil {
					c.Fields = append(c.Fields, Field{key, v})
				}
				return err
			})
		}
		return s.skip(0)
	})
	if err != nil {
		return err
	}
	if s.space(); s.i != len(s.s) {
		return s.fail("bytes after the header")
	}
	return nil
}

// maxJSONDepth bounds the nesting that skip follows, so that a hostile header
// cannot exhaust the stack.
const maxJSONDepth = 32

// jsonScanner walks a JSON text. Strings without escapes are slices of it.
type jsonScanner struct {
	s string
	i int
}

func (s *jsonScanner) fail(what string) error {
	return malformed("JSON header, byte %d: %s", s.i, what)
}

func (s *jsonScanner) space() {
	for s.i < len(s.s) {
		switch s.s[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

func (s *jsonScanner) eat(c byte) bool {
	s.space()
	if s.i < len(s.s) && s.s[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *jsonScanner) null() bool {
	s.space()
	if strings.HasPrefix(s.s[s.i:], "null") {
		s.i += 4
		return true
	}
	return false
}

// object calls member with each key; member must consume the value.
func (s *jsonScanner) object(member func(key string) error) error {
	if !s.eat('{') {
		return s.fail("want an object")
	}
	if s.eat('}') {
		return nil
	}
	for {
		s.space()
		key, err := s.string()
		if err != nil {
			return err
		}
		if !s.eat(':') {
			return s.fail("want ':'")
		}
		if err := member(key); err != nil {
			return err
		}
		if s.eat(',') {
			continue
		}
		if s.eat('}') {
			return nil
		}
		return s.fail("want ',' or '}'")
	}
}

// scalar reads a string, number, boolean or null as text; null is "".
func (s *jsonScanner) scalar() (string, error) {
	s.space()
	if s.i >= len(s.s) {
		return "", s.fail("want a value")
	}
	switch c := s.s[s.i]; {
	case c == '"':
		return s.string()
	case c == '{' || c == '[':
		// Some peers put objects there; nobody reads them, so keep the text.
		start := s.i
		err := s.skip(0)
		return s.s[start:s.i], err
	}
	start := s.i
	for s.i < len(s.s) && !strings.ContainsRune(",}] \t\r\n", rune(s.s[s.i])) {
		s.i++
	}
	word := s.s[start:s.i]
	if word == "null" {
		return "", nil
	}
	if word != "true" && word != "false" {
		if _, err := strconv.ParseFloat(word, 64); err != nil {
			return "", s.fail("want a value")
		}
	}
	return word, nil
}

func (s *jsonScanner) int32(dst *int32) error {
	v, err := s.scalar()
	if err != nil || v == "" {
		return err
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		return s.fail("want a 32-bit integer")
	}
	*dst = int32(n)
	return nil
}

// skip passes over any value.
func (s *jsonScanner) skip(depth int) error {
	if depth > maxJSONDepth {
		return s.fail("nested too deeply")
	}
	s.space()
	if s.i < len(s.s) && s.s[s.i] == '{' {
		return s.object(func(string) error { return s.skip(depth + 1) })
	}
	if !s.eat('[') {
		_, err := s.scalar()
		return err
	}
	if s.eat(']') {
		return nil
	}
	for {
		if err := s.skip(depth + 1); err != nil {
			return err
		}
		if s.eat(']') {
			return nil
		}
		if !s.eat(',') {
			return s.fail("want ',' or ']'")
		}
	}
}

func (s *jsonScanner) string() (string, error) {
	if s.i >= len(s.s) || s.s[s.i] != '"' {
		return "", s.fail("want a string")
	}
	s.i++
	start := s.i
	for s.i < len(s.s) {
		switch s.s[s.i] {
		case '"':
			v := s.s[start:s.i]
			s.i++
			return v, nil
		case '\\':
			return s.escaped(start)
		}
		s.i++
	}
	return "", s.fail("unterminated string")
}

// escaped finishes a string that has an escape at s.i.
func (s *jsonScanner) escaped(start int) (string, error) {
	b := make([]byte, 0, s.i-start+16)
	b = append(b, s.s[start:s.i]...)
	for s.i < len(s.s) {
		c := s.s[s.i]
		s.i++
		switch c {
		case '"':
			return string(b), nil
		default:
			b = append(b, c)
			continue
		case '\\':
		}
		if s.i >= len(s.s) {
			break
		}
		c = s.s[s.i]
		s.i++
		switch c {
		case '"', '\\', '/', '\'':
			b = append(b, c)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, err := s.unicode()
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, r)
		default:
			return "", s.fail("unknown escape")
		}
	}
	return "", s.fail("unterminated string")
}

// unicode reads the four digits after \u, and the second half of a pair.
func (s *jsonScanner) unicode() (rune, error) {
	r, ok := hex4(s.s[s.i:])
	if !ok {
		return 0, s.fail(`want four hex digits after \u`)
	}
	s.i += 4
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if strings.HasPrefix(s.s[s.i:], `\u`) {
		if low, ok := hex4(s.s[s.i+2:]); ok {
			if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
				s.i += 6
				return full, nil
			}
		}
	}
	return utf8.RuneError, nil
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 16)
	return rune(n), err == nil
}
