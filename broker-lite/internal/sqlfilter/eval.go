package sqlfilter

import (
	"bytes"
	"math"
)

// class of a value. Apache evaluates to a Boolean, Integer, Long, Double, String
// or null, or throws.
type class uint8

const (
	null class = iota
	boolean
	integer // of 32 bits
	long    // of 64
	double
	text
	failed
)

// value of a node for one message.
type value struct {
	kind class
	bits int64  // the boolean (1 is true), the integer, the double's bits, or the failure's reason
	text []byte // the string, or what failed
	at   *node  // what failed
}

func truth(b bool) value {
	if b {
		return value{kind: boolean, bits: 1}
	}
	return value{kind: boolean}
}

func (v value) isBoolean() bool { return v.kind == boolean }
func (v value) isNumber() bool  { return integer <= v.kind && v.kind <= double }

// inverse is SQL's NOT, of a condition's value.
func (v value) inverse() value {
	if v.kind == boolean {
		v.bits ^= 1
	}
	return v
}

// double of a number.
func (v value) double() float64 {
	if v.kind == double {
		return math.Float64frombits(uint64(v.bits))
	}
	return float64(v.bits)
}

// eval answers the node's value; values has those of the properties, by slot, nil
// for a missing one.
func (n *node) eval(values [][]byte) value {
	switch n.op {
	case opConst:
		return n.value
	case opProperty:
		return property(values[n.slot])
	case opCast:
		if values[n.slot] == nil {
			return value{}
		}
		return truth(false) // every property is a string
	case opNegate:
		return negative(n.kids[0].eval(values))
	case opNot:
		return n.kids[0].eval(values).inverse()
	case opAnd, opOr:
		return n.logic(values)
	case opEqual:
		return n.equal(n.kids[0].eval(values), values)
	case opIsNull:
		v := n.kids[0].eval(values)
		if v.kind == failed {
			return v
		}
		return truth((v.kind == null) != n.not)
	case opBetween:
		return n.between(values)
	case opIn:
		return n.isIn(values[n.slot])
	case opContains, opStartsWith, opEndsWith:
		return n.search(values)
	}
	left := n.kids[0].eval(values)
	if left.kind == null || left.kind == failed {
		return left
	}
	return n.order(n.op, left, n.kids[1].eval(values))
}

func literal(s string) value { return value{kind: text, text: []byte(s)} }

func property(s []byte) value {
	if s == nil {
		return value{}
	}
	return value{kind: text, text: s}
}

func negative(v value) value {
	switch v.kind {
	case integer, long: // literals have no sign, so that this overflows never
		v.bits = -v.bits
		return v
	case double:
		v.bits = int64(math.Float64bits(-v.double()))
		return v
	case failed:
		return v
	}
	return value{}
}

// logic: AND ends at the first false, OR at the first true, both at a failure.
func (n *node) logic(values [][]byte) value {
	end := int64(0)
	if n.op == opOr {
		end = 1
	}
	result := value{kind: boolean, bits: 1 - end}
	for _, kid := range n.kids {
		switch v := kid.eval(values); {
		case v.kind == failed, v.kind == boolean && v.bits == end:
			return v
		case v.kind == null:
			result = v
		}
	}
	return result
}

func (n *node) equal(left value, values [][]byte) value {
	if left.kind == failed {
		return left
	}
	right := n.kids[1].eval(values)
	switch {
	case right.kind == failed:
		return right
	case left.kind == null && right.kind == null:
		return truth(!n.not)
	case left.kind == null:
		return left
	case right.kind == null:
		return truth(n.not)
	case left.kind == text && right.kind == text: // only ordered as numbers
		return truth(bytes.Equal(left.text, right.text) != n.not)
	}
	c, why := compare(left, right)
	if why != 0 {
		return n.fail(why, left, right)
	}
	return truth((c == 0) != n.not)
}

// order evaluates left o right; left is neither missing nor failed.
func (n *node) order(o op, left, right value) value {
	if right.kind == null || right.kind == failed {
		return right
	}
	c, why := compare(left, right)
	if why != 0 {
		return n.fail(why, left, right)
	}
	switch o {
	case opGreater:
		return truth(c > 0)
	case opGreaterEqual:
		return truth(c >= 0)
	case opLess:
		return truth(c < 0)
	}
	return truth(c <= 0)
}

// between is v >= low AND v <= high, or v < low OR v > high. Apache evaluates v
// twice, which takes it 2^n steps for n nested ones.
func (n *node) between(values [][]byte) value {
	v := n.kids[0].eval(values)
	if v.kind == null || v.kind == failed {
		return v
	}
	lower, upper := opGreaterEqual, opLessEqual
	if n.not {
		lower, upper = opLess, opGreater
	}
	first := n.order(lower, v, n.kids[1].eval(values))
	if first.kind == failed || first.kind == boolean && (first.bits != 0) == n.not {
		return first
	}
	second := n.order(upper, v, n.kids[2].eval(values))
	if second.kind == failed || second.kind == boolean && (second.bits != 0) == n.not || first.kind != null {
		return second
	}
	return first
}

func (n *node) isIn(s []byte) value {
	if s == nil {
		return value{}
	}
	return truth(n.in.contains(s) != n.not)
}

// search: CONTAINS, STARTSWITH and ENDSWITH are never unknown.
func (n *node) search(values [][]byte) value {
	if len(n.value.text) == 0 {
		return truth(false) // before the operand is evaluated
	}
	v := n.kids[0].eval(values)
	if v.kind != text {
		if v.kind == failed {
			return v
		}
		return truth(false)
	}
	found := false
	switch n.op {
	case opContains:
		found = bytes.Contains(v.text, n.value.text)
	case opStartsWith:
		found = bytes.HasPrefix(v.text, n.value.text)
	case opEndsWith:
		found = bytes.HasSuffix(v.text, n.value.text)
	}
	return truth(found != n.not)
}
