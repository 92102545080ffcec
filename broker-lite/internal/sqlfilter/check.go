package sqlfilter

import (
	"strconv"
	"strings"
)

// node completes a node that has operands, and holds it to the limit.
func (p *parser) node(at int, n *node) (*node, error) {
	for _, kid := range n.kids {
		n.depth = max(n.depth, kid.depth)
	}
	if n.depth++; n.depth > MaxDepth {
		return nil, p.tooDeep(at)
	}
	return n, nil
}

func (p *parser) tooDeep(at int) error {
	return p.errorAt(at, ErrLimit, "the expression is nested too deeply, more than "+strconv.Itoa(MaxDepth)+" operators",
		"leave out parentheses, or use IN")
}

// condition makes n something that is true or false: Apache's
// asBooleanExpression. n begins at offset at.
func (p *parser) condition(n *node, at int) (*node, error) {
	if n.isCondition() {
		return n, nil
	}
	if n.op == opProperty {
		n.op = opCast
		return n, nil
	}
	return nil, p.errorAt(at, ErrOperand, p.printed(n)+" is not true or false", "compare it with something")
}

// checkOrder: Apache's checkLessThanOperand.
func (p *parser) checkOrder(n *node, at int) error {
	switch {
	case n.isConst() && n.value.isNumber() || !n.isConst() && !n.isCondition():
		return nil
	case n.isConst() && n.value.kind == text:
		return p.errorAt(at, ErrOperand, "the string "+p.printed(n)+" has no order", "compare with a number, or use =, <> or IN")
	}
	return p.errorAt(at, ErrOperand, p.printed(n)+" has no order", "compare numbers and properties, and join conditions with AND")
}

// checkEqual: Apache's checkEqualOperand and checkEqualOperandCompatability.
func (p *parser) checkEqual(left *node, at int, right *node, rightAt int) error {
	if left.isConst() && left.value.kind == null {
		return p.errorAt(at, ErrOperand, "NULL is equal to nothing", "use IS NULL or IS NOT NULL")
	}
	if right.isConst() && right.value.kind == null {
		return p.errorAt(rightAt, ErrOperand, "nothing is equal to NULL", "use IS NULL or IS NOT NULL")
	}
	if left.isConst() && right.isConst() && left.value.isBoolean() && !right.value.isBoolean() {
		return p.errorAt(rightAt, ErrOperand, p.printed(right)+" cannot be compared with "+p.printed(left), "")
	}
	return nil
}

// printed shows a node in an error.
func (p *parser) printed(n *node) string {
	switch {
	case n.isConst():
		var b strings.Builder
		n.value.print(&b)
		return cut(b.String())
	case n.op == opNegate:
		return "the number"
	}
	return "the condition"
}

// cut shortens text for an error.
func cut(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuoted], "") + "…"
}

func (p *parser) errorAt(at int, kind error, reason, remedy string) error {
	return errorAt(p.lex.text, at, kind, reason, remedy)
}

// unexpected says that the current token is not what was expected.
func (p *parser) unexpected(expected, remedy string) error {
	if p.tok.kind == tokBad {
		return p.lex.err
	}
	found := "the end"
	if p.tok.kind != tokEnd {
		found = quoted(p.text())
	}
	return p.errorAt(p.tok.at, ErrSyntax, "found "+found+", expected "+expected, remedy)
}
