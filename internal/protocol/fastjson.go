package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrMalformedBody is wrapped by every error about a body that cannot be read.
// The frame around it was whole, so the connection is still good.
var ErrMalformedBody = errors.New("malformed body")

// EncodeBody renders a JSON body compactly, without escaping HTML. It serves
// every body but those whose maps have keys that only fastjson can write; these
// have functions of their own.
func EncodeBody(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b.Bytes()[:b.Len()-1], nil // without Encode's newline
}

// DecodeBody reads a JSON body, standard or in fastjson's dialect, into v.
// Unknown members are ignored, null leaves a value as it is.
func DecodeBody(data []byte, v any) error {
	return decodeBody(fmt.Sprintf("%T", v), data, v)
}

func decodeBody(what string, data []byte, v any) error {
	std, err := NormalizeJSON(data)
	if err != nil {
		return fmt.Errorf("decode %s: %w", what, err)
	}
	if err := json.Unmarshal(std, v); err != nil {
		return fmt.Errorf("decode %s: %w: %w", what, ErrMalformedBody, err)
	}
	return nil
}

// maxBodyDepth bounds nesting in a body.
const maxBodyDepth = 64

// minElementSize is how many bytes of a body there are, at the least and beyond
// freeElements, for each object that is an element of an array. Real bodies have
// far more. It bounds how much memory a hostile body can ask for: a Go struct is
// larger than the "{}" that makes it. Entries of a map have a key, which is
// bound enough.
const (
	minElementSize = 24
	freeElements   = 256
)

// unmarshalElement reads an array element into a struct. It serves the
// UnmarshalJSON of such elements, since encoding/json goes on after a wrong type
// and would make a struct of each of a million zeros.
func unmarshalElement(b []byte, v any) error {
	if len(b) == 0 || b[0] != '{' {
		return fmt.Errorf("%.16q: want an object", b)
	}
	return json.Unmarshal(b, v)
}

// NormalizeJSON turns fastjson's dialect into standard JSON. fastjson writes
// the keys of Java maps as they are: {0:"a"} becomes {"0":"a"}, and
// {{"queueId":0}:5} becomes {"{\"queueId\":0}":5}. Standard JSON is returned as
// it is, without a copy. Values are not checked here; encoding/json does that.
func NormalizeJSON(data []byte) ([]byte, error) {
	n := normalizer{src: data}
	return n.run()
}

// normalizer copies what is standard in runs and rewrites keys between them.
type normalizer struct {
	src    []byte
	dst    []byte
	copied int // src before this is in dst; 0 and dst nil: nothing rewritten
	i      int

	stack    [maxBodyDepth]byte // '{' or '[' of each open value
	depth    int
	wantKey  bool
	elements int // objects and arrays inside arrays
}

func (n *normalizer) fail(what string) error {
	return fmt.Errorf("%w: JSON, byte %d: %s", ErrMalformedBody, n.i, what)
}

func (n *normalizer) run() ([]byte, error) {
	for n.i < len(n.src) {
		c := n.src[n.i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			n.i++
		case c == '"':
			if !n.str() {
				return nil, n.fail("a string with a control character or without an end")
			}
			n.wantKey = false
		case n.wantKey && c != '}':
			if err := n.key(c); err != nil {
				return nil, err
			}
		default:
			if err := n.token(c); err != nil {
				return nil, err
			}
		}
	}
	if n.depth > 0 {
		return nil, n.fail("unexpected end")
	}
	if n.dst == nil {
		return n.src, nil
	}
	return append(n.dst, n.src[n.copied:]...), nil
}

// token passes over one character that is not part of a string or a key.
func (n *normalizer) token(c byte) error {
	n.i++
	switch c {
	case '{', '[':
		if n.depth == maxBodyDepth {
			return n.fail("nested too deeply")
		}
		if n.depth > 0 && n.stack[n.depth-1] == '[' {
			if n.elements++; n.elements > freeElements+len(n.src)/minElementSize {
				return n.fail("too many small elements")
			}
		}
		n.stack[n.depth] = c
		n.depth++
		n.wantKey = c == '{'
	case '}', ']':
		if n.depth == 0 || n.stack[n.depth-1] != c-2 {
			return n.fail("unexpected " + string(rune(c)))
		}
		n.depth--
		n.wantKey = false
	case ',':
		n.wantKey = n.depth > 0 && n.stack[n.depth-1] == '{'
	}
	return nil
}

// key rewrites a key that is not a string.
func (n *normalizer) key(c byte) error {
	start := n.i
	switch {
	case c == '{':
		if !n.flatObject() {
			return n.fail("want a flat object as key")
		}
	case c == '-' || c >= '0' && c <= '9':
		for n.i < len(n.src) && (n.src[n.i] == '-' || n.src[n.i] >= '0' && n.src[n.i] <= '9') {
			n.i++
		}
	default:
		return n.fail("want a key")
	}
	if n.dst == nil {
		n.dst = make([]byte, 0, len(n.src)+len(n.src)/4+16)
	}
	n.dst = append(n.dst, n.src[n.copied:start]...)
	n.dst = appendJSONString(n.dst, n.src[start:n.i])
	n.copied = n.i
	n.wantKey = false
	return nil
}

// flatObject passes over an object at n.i that holds no object or array.
func (n *normalizer) flatObject() bool {
	n.i++
	for n.i < len(n.src) {
		switch n.src[n.i] {
		case '}':
			n.i++
			return true
		case '{', '[', ']':
			return false
		case '"':
			if !n.str() {
				return false
			}
		default:
			if c := n.src[n.i]; c < ' ' && c != '\t' && c != '\n' && c != '\r' {
				return false
			}
			n.i++
		}
	}
	return false
}

// str passes over the string at n.i.
func (n *normalizer) str() bool {
	for n.i++; n.i < len(n.src); n.i++ {
		switch c := n.src[n.i]; {
		case c == '\\':
			n.i++
		case c == '"':
			n.i++
			return true
		case c < ' ':
			return false
		}
	}
	n.i = len(n.src)
	return false
}

// flexInt64 is a number that some peers write as a string.
type flexInt64 int64

func (f *flexInt64) UnmarshalJSON(b []byte) error {
	s := string(b)
	if s == "null" {
		return nil
	}
	if len(s) >= 2 && s[0] == '"' {
		s = s[1 : len(s)-1]
		if s == "" {
			*f = 0
			return nil
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return fmt.Errorf("%.64q: want an integer", b)
	}
	*f = flexInt64(n)
	return nil
}

// enumText is a constant of a Java enum: its name, or its place among the names.
type enumText struct {
	text  string
	place int // from 1 on; 0: text is the name
}

func (e *enumText) UnmarshalJSON(b []byte) error {
	*e = enumText{}
	if len(b) == 0 || b[0] < '0' || b[0] > '9' {
		return json.Unmarshal(b, &e.text)
	}
	n, err := strconv.ParseUint(string(b), 10, 8)
	if err != nil {
		return fmt.Errorf("%.64q: want a name or its place in the enum", b)
	}
	e.place = int(n) + 1
	return nil
}

// name is the constant's name, or "" for none: as in Java, where fastjson makes null of
// it. Neither case nor underscores matter, so that client-go's BroadCasting is found.
func (e enumText) name(names ...string) string {
	if e.place > 0 {
		if e.place <= len(names) {
			return names[e.place-1]
		}
		return ""
	}
	if slices.Contains(names, e.text) {
		return e.text
	}
	bare := strings.NewReplacer("_", "", "-", "", " ", "")
	for _, name := range names {
		if strings.EqualFold(bare.Replace(e.text), bare.Replace(name)) {
			return name
		}
	}
	return ""
}
