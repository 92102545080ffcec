package sqlfilter

import (
	"bytes"
	"fmt"
	"strings"
)

// Limits that Apache does not have; package comment, "What differs from Apache".
const (
	MaxLength = 64 << 10 // of an expression, in bytes
	MaxDepth  = 256      // of operators, each an operand of the next; AND and OR chains count once
)

// Expr is a compiled expression. It never changes.
type Expr struct {
	root    *node
	names   []string       // each property once; a node's slot is an index
	slots   map[string]int // the same, when there are more than onStack; else nil
	ignored string
}

// Compile compiles an expression. The error is an [*Error].
func Compile(expr string) (*Expr, error) {
	if len(expr) > MaxLength {
		return nil, errorAt(expr, MaxLength, ErrLimit, fmt.Sprintf("the expression has more than %d bytes", MaxLength),
			"send a property that says which messages are meant")
	}
	p := &parser{lex: newLexer(expr), slots: make(map[string]int)}
	p.advance()
	start := p.tok.at
	root, err := p.or()
	if err == nil && p.tok.kind == tokBad {
		err = p.lex.err
	}
	if err != nil {
		return nil, err
	}
	if root, err = p.condition(root, start); err != nil {
		return nil, err
	}
	e := &Expr{root: root, names: p.names, ignored: expr[p.tok.at:]}
	if len(e.names) > onStack {
		e.slots = p.slots
	}
	return e, nil
}

// Ignored returns the text behind the end of the expression, which Apache never
// reads: what follows "a" in "a LIKE 'x%'". Where there is some, the expression
// hardly says what its author meant.
func (e *Expr) Ignored() string { return e.ignored }

// String returns the expression with all its parentheses and without comments and
// ignored text. It compiles to the same expression, unless it is too long.
func (e *Expr) String() string {
	var b strings.Builder
	e.root.print(&b, e.names)
	return b.String()
}

// Match says whether the expression is true for a message with these properties,
// which are a record's: name, \x01, value, \x02, and so on. As on Apache, a message
// for which the expression is unknown, or cannot be evaluated, does not match.
func (e *Expr) Match(properties []byte) bool {
	var stack [onStack][]byte
	v := e.run(properties, stack[:])
	return v.kind == boolean && v.bits != 0
}

// Truth is a value of SQL's logic.
type Truth uint8

// The values of [Truth].
const (
	Unknown Truth = iota
	False
	True
)

func (t Truth) String() string { return [...]string{"unknown", "false", "true"}[t] }

// Evaluate is Match with the reason: a message matches when it answers True. The
// error wraps [ErrEvaluation] and names the operator and the property's value.
func (e *Expr) Evaluate(properties []byte) (Truth, error) {
	var stack [onStack][]byte
	switch v := e.run(properties, stack[:]); {
	case v.kind == failed:
		return Unknown, e.failure(v)
	case v.kind == null:
		return Unknown, nil
	case v.bits == 0:
		return False, nil
	}
	return True, nil
}

// onStack is how many properties an expression can name without an allocation in
// every match.
const onStack = 8

// run reads the properties that the expression names, then evaluates it.
func (e *Expr) run(properties []byte, values [][]byte) value {
	if len(e.names) > len(values) {
		values = make([][]byte, len(e.names))
	}
	values = values[:len(e.names)]
	e.read(properties, values)
	return e.root.eval(values)
}

// read finds the values of e.names. As in Apache's decoder an entry with an empty
// name or value is none, and the last of a name wins.
func (e *Expr) read(properties []byte, values [][]byte) {
	for len(properties) > 0 {
		entry := properties
		if end := bytes.IndexByte(properties, '\x02'); end >= 0 {
			entry, properties = properties[:end], properties[end+1:]
		} else {
			properties = nil
		}
		at := bytes.IndexByte(entry, '\x01')
		if at <= 0 || at == len(entry)-1 {
			continue
		}
		name := entry[:at]
		if e.slots != nil {
			if slot, ok := e.slots[string(name)]; ok {
				values[slot] = entry[at+1:]
			}
			continue
		}
		for slot, n := range e.names {
			if n == string(name) {
				values[slot] = entry[at+1:]
				break
			}
		}
	}
}
