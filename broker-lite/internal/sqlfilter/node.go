package sqlfilter

import (
	"math"
	"strconv"
	"strings"
)

type op uint8

const (
	opConst op = iota
	opProperty
	opCast // a property where a condition is due
	opNegate
	opNot
	opAnd // of two or more
	opOr
	opEqual
	opIsNull
	opGreater
	opGreaterEqual
	opLess
	opLessEqual
	opBetween // of value, low and high
	opIn
	opContains
	opStartsWith
	opEndsWith
)

// node of a compiled expression. None changes once Compile has returned.
type node struct {
	op    op
	not   bool  // of opEqual, opIsNull, opBetween, opIn and the text operators
	depth int32 // 1 for a leaf
	slot  int   // of opProperty, opCast and opIn: index in Expr.names
	value value // of opConst; what the text operators look for
	kids  []*node
	in    *list // of opIn
}

// list of an IN.
type list struct {
	strings []string
	set     map[string]struct{} // the same, where there are many; else nil
}

// longList is from how many strings on a list has a set.
const longList = 9

func (l *list) contains(s []byte) bool {
	if l.set != nil {
		_, ok := l.set[string(s)]
		return ok
	}
	for _, one := range l.strings {
		if one == string(s) {
			return true
		}
	}
	return false
}

func (n *node) isConst() bool { return n.op == opConst }

// isCondition says what Apache's "instanceof BooleanExpression" does.
func (n *node) isCondition() bool {
	switch n.op {
	case opConst:
		return n.value.kind == null || n.value.isBoolean()
	case opProperty, opNegate:
		return false
	}
	return true
}

// infix is how the operators with two operands are written.
var infix = [...]string{
	opAnd: " AND ", opOr: " OR ", opGreater: " > ", opGreaterEqual: " >= ", opLess: " < ", opLessEqual: " <= ",
	opContains: " CONTAINS ", opStartsWith: " STARTSWITH ", opEndsWith: " ENDSWITH ",
}

// print writes n such that it compiles to n again.
func (n *node) print(b *strings.Builder, names []string) {
	switch n.op {
	case opConst:
		n.value.print(b)
	case opProperty, opCast:
		b.WriteString(names[n.slot])
	case opNegate:
		b.WriteByte('-')
		n.kids[0].printOperand(b, names)
	case opNot:
		b.WriteString("NOT ")
		n.kids[0].printOperand(b, names)
	case opAnd, opOr, opGreater, opGreaterEqual, opLess, opLessEqual:
		for i, kid := range n.kids {
			if i > 0 {
				b.WriteString(infix[n.op])
			}
			kid.printOperand(b, names)
		}
	case opEqual:
		n.kids[0].printOperand(b, names)
		b.WriteString(choose(n.not, " <> ", " = "))
		n.kids[1].printOperand(b, names)
	case opIsNull:
		n.kids[0].printOperand(b, names)
		b.WriteString(choose(n.not, " IS NOT NULL", " IS NULL"))
	case opBetween:
		n.kids[0].printOperand(b, names)
		b.WriteString(choose(n.not, " NOT BETWEEN ", " BETWEEN "))
		n.kids[1].printOperand(b, names)
		b.WriteString(" AND ")
		n.kids[2].printOperand(b, names)
	case opIn:
		b.WriteString(names[n.slot])
		b.WriteString(choose(n.not, " NOT IN (", " IN ("))
		for i, s := range n.in.strings {
			if i > 0 {
				b.WriteString(", ")
			}
			printString(b, s)
		}
		b.WriteByte(')')
	default: // the text operators
		n.kids[0].printOperand(b, names)
		b.WriteString(choose(n.not, " NOT", ""))
		b.WriteString(infix[n.op])
		n.value.print(b)
	}
}

func (n *node) printOperand(b *strings.Builder, names []string) {
	if n.op <= opCast {
		n.print(b, names)
		return
	}
	b.WriteByte('(')
	n.print(b, names)
	b.WriteByte(')')
}

func choose(not bool, yes, no string) string {
	if not {
		return yes
	}
	return no
}

func printString(b *strings.Builder, s string) {
	b.WriteByte('\'')
	b.WriteString(strings.ReplaceAll(s, "'", "''"))
	b.WriteByte('\'')
}

// print writes a literal.
func (v value) print(b *strings.Builder) {
	switch v.kind {
	case null:
		b.WriteString("NULL")
	case boolean:
		b.WriteString(choose(v.bits != 0, "TRUE", "FALSE"))
	case integer, long:
		b.WriteString(strconv.FormatInt(v.bits, 10))
	case double:
		s := strconv.FormatFloat(math.Float64frombits(uint64(v.bits)), 'g', -1, 64)
		b.WriteString(s)
		if !strings.ContainsAny(s, ".e") {
			b.WriteString(".0") // or it would be an integer
		}
	case text:
		printString(b, string(v.text))
	}
}
