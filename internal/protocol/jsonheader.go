package protocol

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decodeJSONHeader reads RemotingCommand's JSON. It is tolerant where peers
// differ: unknown members are skipped, extFields may be null, its values may be
// strings, numbers or booleans, a null value is an absent field, and the
// language may be unknown.
func decodeJSONHeader(h string, c *Command) error {
	s := jsonScanner{s: h}
	more, err := s.begin()
	for more && err == nil {
		var key string
		if key, err = s.key(); err != nil {
			return err
		}
		if err = s.headerMember(key, c); err == nil {
			more, err = s.more()
		}
	}
	if err != nil {
		return err
	}
	if s.space(); s.i != len(s.s) {
		return s.fail("bytes after the header")
	}
	return nil
}

// headerMember reads the value of one member of RemotingCommand into c.
func (s *jsonScanner) headerMember(key string, c *Command) (err error) {
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
		var name string
		name, err = s.scalar()
		c.Language = parseLanguage(name)
		return err
	case "remark":
		c.Remark, err = s.scalar()
		return err
	case "extFields":
		return s.extFields(c)
	}
	return s.skip()
}

func (s *jsonScanner) extFields(c *Command) error {
	if s.null() {
		return nil
	}
	more, err := s.begin()
	for more && err == nil {
		var f Field
		if f.Key, err = s.key(); err != nil {
			return err
		}
		if !s.null() {
			if f.Value, err = s.scalar(); err != nil {
				return err
			}
			if err = c.addField(f); err != nil {
				return err
			}
		}
		more, err = s.more()
	}
	return err
}

// maxJSONDepth bounds the nesting that skip follows.
const maxJSONDepth = 64

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

// begin passes over an object's opening brace; more is false when it is empty.
func (s *jsonScanner) begin() (more bool, err error) {
	if !s.eat('{') {
		return false, s.fail("want an object")
	}
	return !s.eat('}'), nil
}

// key reads a member's name and the colon.
func (s *jsonScanner) key() (string, error) {
	s.space()
	key, err := s.string()
	if err == nil && !s.eat(':') {
		err = s.fail("want ':'")
	}
	return key, err
}

// more passes over what follows a member's value.
func (s *jsonScanner) more() (bool, error) {
	switch {
	case s.eat(','):
		return true, nil
	case s.eat('}'):
		return false, nil
	}
	return false, s.fail("want ',' or '}'")
}

// scalar reads a string, number, boolean or null as text; null is "".
func (s *jsonScanner) scalar() (string, error) {
	s.space()
	start := s.i
	if s.i < len(s.s) {
		switch s.s[s.i] {
		case '"':
			return s.string()
		case '{', '[':
			// Some peers put objects there; nobody reads them, so keep the text.
			err := s.skip()
			return s.s[start:s.i], err
		}
	}
	if err := s.word(); err != nil || s.s[start:s.i] == "null" {
		return "", err
	}
	return s.s[start:s.i], nil
}

// word passes over a number, true, false or null.
func (s *jsonScanner) word() error {
	start := s.i
	digits := false
scan:
	for ; s.i < len(s.s); s.i++ {
		switch c := s.s[s.i]; {
		case c >= '0' && c <= '9':
			digits = true
		case c == ',' || c == '}' || c == ']' || c == ':' || c <= ' ':
			break scan
		}
	}
	switch word := s.s[start:s.i]; {
	case word == "true" || word == "false" || word == "null":
		return nil
	case digits && strings.Trim(word, "0123456789+-.eE") == "":
		return nil
	}
	s.i = start
	return s.fail("want a value")
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

// skip passes over any value without allocating.
func (s *jsonScanner) skip() error {
	var objects uint64 // bit d: the value open at depth d is an object
	for depth := 0; ; {
		// A value begins here, inside an object after its key.
		s.space()
		switch {
		case s.eat('{'), s.eat('['):
			if depth == maxJSONDepth {
				return s.fail("nested too deeply")
			}
			isObject := s.s[s.i-1] == '{'
			objects &^= 1 << depth
			if isObject {
				objects |= 1 << depth
			}
			depth++
			if s.peek() == '}' || s.peek() == ']' {
				break
			}
			if isObject {
				if err := s.skipKey(); err != nil {
					return err
				}
			}
			continue
		case s.i < len(s.s) && s.s[s.i] == '"':
			if err := s.skipString(); err != nil {
				return err
			}
		default:
			if err := s.word(); err != nil {
				return err
			}
		}
		// A value ended, or an empty one is about to.
		more, err := s.closeValues(&depth, objects)
		if err != nil || !more {
			return err
		}
	}
}

// closeValues passes over closing brackets and, when more is true, the comma
// and key before the next value.
func (s *jsonScanner) closeValues(depth *int, objects uint64) (more bool, err error) {
	for *depth > 0 {
		isObject := objects&(1<<(*depth-1)) != 0
		switch {
		case isObject && s.eat('}'), !isObject && s.eat(']'):
			*depth--
		case s.eat(','):
			if isObject {
				return true, s.skipKey()
			}
			return true, nil
		default:
			return false, s.fail("want ',' or a closing bracket")
		}
	}
	return false, nil
}

func (s *jsonScanner) peek() byte {
	s.space()
	if s.i < len(s.s) {
		return s.s[s.i]
	}
	return 0
}

func (s *jsonScanner) skipKey() error {
	s.space()
	if err := s.skipString(); err != nil {
		return err
	}
	if !s.eat(':') {
		return s.fail("want ':'")
	}
	return nil
}

func (s *jsonScanner) skipString() error {
	if s.i >= len(s.s) || s.s[s.i] != '"' {
		return s.fail("want a string")
	}
	s.i++
	if err := s.seekQuote(); err != nil {
		return err
	}
	s.i++
	return nil
}

func (s *jsonScanner) string() (string, error) {
	if s.i >= len(s.s) || s.s[s.i] != '"' {
		return "", s.fail("want a string")
	}
	s.i++
	// A loop is faster than strings.IndexByte on strings as short as these.
	for i := s.i; i < len(s.s); i++ {
		switch s.s[i] {
		case '"':
			v := s.s[s.i:i]
			s.i = i + 1
			return v, nil
		case '\\':
			return s.escaped()
		}
	}
	s.i = len(s.s)
	return "", s.fail("unterminated string")
}

// escaped reads the rest of a string that has escapes. What it makes is never
// longer than what it reads.
func (s *jsonScanner) escaped() (string, error) {
	start := s.i
	if err := s.seekQuote(); err != nil {
		return "", err
	}
	end := s.i
	s.i = start
	var b strings.Builder
	b.Grow(end - start)
	for run := start; s.i < end; {
		if s.s[s.i] != '\\' {
			if s.i++; s.i == end {
				b.WriteString(s.s[run:end])
			}
			continue
		}
		b.WriteString(s.s[run:s.i])
		if err := s.escape(&b); err != nil {
			return "", err
		}
		run = s.i
	}
	s.i = end + 1
	return b.String(), nil
}

// escape reads one escape, which seekQuote found to be inside the string.
func (s *jsonScanner) escape(b *strings.Builder) error {
	c := s.s[s.i+1]
	s.i += 2
	switch c {
	case '"', '\\', '/', '\'':
		b.WriteByte(c)
	case 'b':
		b.WriteByte('\b')
	case 'f':
		b.WriteByte('\f')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 't':
		b.WriteByte('\t')
	case 'u':
		r, err := s.unicode()
		if err != nil {
			return err
		}
		b.WriteRune(r)
	default:
		return s.fail("unknown escape")
	}
	return nil
}

// seekQuote moves to the closing quote of the string that s.i is in.
func (s *jsonScanner) seekQuote() error {
	for ; s.i < len(s.s); s.i++ {
		switch s.s[s.i] {
		case '\\':
			s.i++
		case '"':
			return nil
		}
	}
	s.i = len(s.s)
	return s.fail("unterminated string")
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
