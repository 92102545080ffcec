package config

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Property is one entry of a properties file.
type Property struct {
	Line       int // where it starts, from 1
	Key, Value string
}

// ParseProperties reads the syntax of java.util.Properties: # and ! comments,
// '=', ':' or white space after the key, backslash escapes and lines continued
// by a backslash. Unlike Java, which takes each byte for a character, it reads
// UTF-8; bytes that are no UTF-8 are taken as Java does. The entries come in
// the file's order, duplicates included. What is wrong is a *SyntaxError; the
// other entries are returned all the same.
func ParseProperties(text string) ([]Property, []error) {
	if !utf8.ValidString(text) {
		text = latin1(text)
	}
	var props []Property
	var errs []error
	lines := lineReader{text: strings.TrimPrefix(text, "\ufeff")}
	for {
		line, number, ok := lines.next()
		if !ok {
			return props, errs
		}
		rawKey, rawValue := splitEntry(line)
		key, err := unescape(rawKey)
		if err == nil {
			var value string
			if value, err = unescape(rawValue); err == nil {
				props = append(props, Property{Line: number, Key: key, Value: value})
				continue
			}
		}
		errs = append(errs, &SyntaxError{Line: number, Problem: err.Error()})
	}
}

// SyntaxError is a line that is not in the syntax of java.util.Properties.
type SyntaxError struct {
	Line    int
	Problem string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

func latin1(s string) string {
	var b strings.Builder
	b.Grow(2 * len(s))
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// lineReader yields logical lines: without comments and blank lines,
// continuation lines joined.
type lineReader struct {
	text string
	line int // natural lines read so far
}

func (r *lineReader) natural() (string, bool) {
	if r.text == "" {
		return "", false
	}
	r.line++
	i := strings.IndexAny(r.text, "\r\n")
	if i < 0 {
		s := r.text
		r.text = ""
		return s, true
	}
	s := r.text[:i]
	if strings.HasPrefix(r.text[i:], "\r\n") {
		i++
	}
	r.text = r.text[i+1:]
	return s, true
}

const blanks = " \t\f"

func (r *lineReader) next() (string, int, bool) {
	for {
		s, ok := r.natural()
		if !ok {
			return "", 0, false
		}
		s = strings.TrimLeft(s, blanks)
		if s == "" || s[0] == '#' || s[0] == '!' || s == `\` { // Java takes a lone backslash for a blank line
			continue
		}
		number := r.line
		if !continues(s) {
			return s, number, true
		}
		var b strings.Builder
		for continues(s) {
			b.WriteString(s[:len(s)-1])
			next, more := r.natural()
			if !more {
				return b.String(), number, true
			}
			s = strings.TrimLeft(next, blanks)
		}
		b.WriteString(s)
		return b.String(), number, true
	}
}

// continues: an odd number of backslashes at the end.
func continues(s string) bool {
	n := len(s) - len(strings.TrimRight(s, `\`))
	return n%2 == 1
}

// splitEntry cuts a logical line at the first '=', ':' or white space that no
// backslash protects; white space around that separator belongs to neither.
func splitEntry(line string) (key, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
			continue
		}
		if strings.IndexByte("=:"+blanks, line[i]) >= 0 {
			end = i
			break
		}
	}
	key, value = line[:end], strings.TrimLeft(line[end:], blanks)
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], blanks)
	}
	return key, value
}

func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var b strings.Builder
	var units []uint16 // of a run of \u escapes, which may be surrogate pairs
	for i := 0; i < len(s); {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteString(utf16String(&units))
			if s[i] != '\\' {
				b.WriteByte(s[i])
			}
			i++
			continue
		}
		c := s[i+1]
		i += 2
		if c == 'u' {
			u, err := hexUnit(s[i:])
			if err != nil {
				return "", err
			}
			units = append(units, u)
			i += 4
			continue
		}
		b.WriteString(utf16String(&units))
		switch c {
		case 't':
			c = '\t'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 'f':
			c = '\f'
		}
		b.WriteByte(c)
	}
	b.WriteString(utf16String(&units))
	return b.String(), nil
}

func utf16String(units *[]uint16) string {
	if len(*units) == 0 {
		return ""
	}
	s := string(utf16.Decode(*units))
	*units = (*units)[:0]
	return s
}

func hexUnit(s string) (uint16, error) {
	if len(s) < 4 {
		return 0, fmt.Errorf(`\u%s is cut short, want four hex digits`, s)
	}
	var u uint16
	for i := range 4 {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, fmt.Errorf(`\u%.4s is not four hex digits; write a backslash in a path as \\`, s)
		}
		u = u<<4 | uint16(c)
	}
	return u, nil
}

// EscapeValue writes a value so that ParseProperties and Java read it back.
func EscapeValue(v string) string {
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		switch c := v[i]; c {
		case '\\':
			b.WriteString(`\\`)
		case '\t':
			b.WriteString(`\t`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\f':
			b.WriteString(`\f`)
		case ' ':
			if i == 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
