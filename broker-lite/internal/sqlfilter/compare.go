package sqlfilter

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"strings"
)

// reason why two values cannot be compared; 0 is none.
type reason int64

const (
	notInteger reason = iota + 1
	notLong
	notDouble
	booleanFirst
)

var reasons = [...]string{
	notInteger:   "is no 32-bit integer; compare with a float, or send an integer",
	notLong:      "is no 64-bit integer; compare with a float, or send an integer",
	notDouble:    "is no number; only numbers have an order",
	booleanFirst: "is a string with a boolean before it; write the property first",
}

// compare orders two values as Apache's ComparisonExpression.__compare does, two
// strings as numbers. Neither is null. Values that have nothing in common are
// unequal, the left one being less.
func compare(left, right value) (int, reason) {
	if left.kind == text || right.kind == text {
		return compareText(left, right)
	}
	switch {
	case left.kind == boolean && right.kind == boolean:
		return cmp.Compare(left.bits, right.bits), 0
	case left.kind == boolean || right.kind == boolean:
		return -1, 0
	case left.kind == double || right.kind == double:
		return compareDoubles(left.double(), right.double()), 0
	}
	return cmp.Compare(left.bits, right.bits), 0
}

// compareText compares when one value is a string, or both are.
func compareText(left, right value) (int, reason) {
	if left.kind == boolean {
		return 0, booleanFirst // Apache casts the boolean to a string, which Java refuses
	}
	as := left.kind
	if as == text {
		as = right.kind
	}
	if as == text {
		as = double
	}
	l, ok := left.as(as)
	if ok {
		right, ok = right.as(as)
	}
	switch {
	case ok:
		return compare(l, right)
	case as == integer:
		return 0, notInteger
	case as == long:
		return 0, notLong
	}
	return 0, notDouble
}

// as reads a string as something else; what is no string stays what it is.
func (v value) as(k class) (value, bool) {
	if v.kind != text {
		return v, true
	}
	ok := true
	switch k {
	case boolean:
		return truth(len(v.text) == 4 && bytes.EqualFold(v.text, []byte("true"))), true
	case integer:
		v.bits, ok = javaInteger(v.text, 32)
	case long:
		v.bits, ok = javaInteger(v.text, 64)
	default:
		var d float64
		d, ok = javaDouble(v.text)
		v.bits = int64(math.Float64bits(d))
	}
	v.kind = k
	return v, ok
}

// fail is the value of a node that compared left with right.
func (n *node) fail(why reason, left, right value) value {
	v := value{kind: failed, bits: int64(why), at: n, text: right.text}
	if left.kind == text {
		if _, ok := left.as(double); !ok || right.kind != text {
			v.text = left.text
		}
	}
	return v
}

// failure is the error that a failed value stands for.
func (e *Expr) failure(v value) error {
	var b strings.Builder
	v.at.print(&b, e.names)
	return fmt.Errorf("%w: %s: %s %s", ErrEvaluation, cut(b.String()), quoted(v.text), reasons[v.bits])
}
