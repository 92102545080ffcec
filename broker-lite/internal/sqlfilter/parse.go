package sqlfilter

import (
	"math"
	"strconv"
	"strings"
)

// parser follows Apache's grammar rule for rule; it needs one token of lookahead.
type parser struct {
	lex   *lexer
	tok   token
	nest  int // parentheses, signs and NOTs that are open
	names []string
	slots map[string]int
}

func (p *parser) advance() { p.tok = p.lex.next() }

// text of the current token.
func (p *parser) text() string { return p.lex.text[p.tok.at:p.tok.end] }

// take passes over a token of the kind, if it is the current one.
func (p *parser) take(k kind) bool {
	if p.tok.kind != k {
		return false
	}
	p.advance()
	return true
}

func (p *parser) or() (*node, error) {
	return p.chain(opOr, tokOr, (*parser).and)
}

func (p *parser) and() (*node, error) {
	return p.chain(opAnd, tokAnd, (*parser).equality)
}

// chain parses operands with a logical operator between them. Three in a row are
// one node, which means the same as Apache's two.
func (p *parser) chain(o op, k kind, operand func(*parser) (*node, error)) (*node, error) {
	at := p.tok.at
	left, err := operand(p)
	if err != nil || p.tok.kind != k {
		return left, err
	}
	if left, err = p.condition(left, at); err != nil {
		return nil, err
	}
	kids := []*node{left}
	if left.op == o {
		kids = left.kids
	}
	opAt := p.tok.at
	for p.take(k) {
		at = p.tok.at
		right, err := operand(p)
		if err != nil {
			return nil, err
		}
		if right, err = p.condition(right, at); err != nil {
			return nil, err
		}
		kids = append(kids, right)
	}
	return p.node(opAt, &node{op: o, kids: kids})
}

func (p *parser) equality() (*node, error) {
	at := p.tok.at
	left, err := p.comparison()
	for err == nil {
		opAt := p.tok.at
		switch k := p.tok.kind; k {
		case tokEqual, tokNotEqual:
			p.advance()
			rightAt := p.tok.at
			var right *node
			if right, err = p.comparison(); err != nil {
				return nil, err
			}
			if err = p.checkEqual(left, at, right, rightAt); err != nil {
				return nil, err
			}
			left, err = p.node(opAt, &node{op: opEqual, not: k == tokNotEqual, kids: []*node{left, right}})
		case tokIs:
			p.advance()
			not := p.take(tokNot)
			if !p.take(tokNull) {
				return nil, p.unexpected("NULL or NOT NULL after IS", "compare with = or <>")
			}
			left, err = p.node(opAt, &node{op: opIsNull, not: not, kids: []*node{left}})
		default:
			return left, nil
		}
	}
	return nil, err
}

func (p *parser) comparison() (*node, error) {
	at := p.tok.at
	left, err := p.unary()
	for err == nil {
		opAt := p.tok.at
		not := p.take(tokNot)
		switch k := p.tok.kind; k {
		case tokGreater, tokGreaterEqual, tokLess, tokLessEqual:
			if not {
				return nil, p.notBeforeOperator()
			}
			left, err = p.order(left, at, opGreater+op(k-tokGreater))
		case tokContains, tokStartsWith, tokEndsWith:
			p.advance()
			var s string
			if s, err = p.string(); err != nil {
				return nil, err
			}
			left, err = p.node(opAt, &node{op: opContains + op(k-tokContains), not: not, kids: []*node{left}, value: literal(s)})
		case tokBetween:
			left, err = p.between(left, at, not)
		case tokIn:
			left, err = p.in(left, at, not)
		default:
			if not {
				return nil, p.notBeforeOperator()
			}
			return left, nil
		}
	}
	return nil, err
}

func (p *parser) notBeforeOperator() error {
	return p.unexpected("BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH after NOT", "NOT goes before a condition in parentheses, or write <>")
}

func (p *parser) order(left *node, at int, o op) (*node, error) {
	opAt := p.tok.at
	p.advance()
	rightAt := p.tok.at
	right, err := p.unary()
	if err != nil {
		return nil, err
	}
	if err := p.checkOrder(left, at); err != nil {
		return nil, err
	}
	if err := p.checkOrder(right, rightAt); err != nil {
		return nil, err
	}
	return p.node(opAt, &node{op: o, kids: []*node{left, right}})
}

func (p *parser) between(value *node, at int, not bool) (*node, error) {
	opAt := p.tok.at
	p.advance()
	lowAt := p.tok.at
	low, err := p.unary()
	if err != nil {
		return nil, err
	}
	if !p.take(tokAnd) {
		return nil, p.unexpected("AND between the limits of BETWEEN", "")
	}
	highAt := p.tok.at
	high, err := p.unary()
	if err != nil {
		return nil, err
	}
	for _, operand := range []struct {
		n  *node
		at int
	}{{value, at}, {low, lowAt}, {high, highAt}} {
		if err := p.checkOrder(operand.n, operand.at); err != nil {
			return nil, err
		}
	}
	if !not && low.isConst() && high.isConst() {
		if c, _ := compare(high.value, low.value); c < 0 {
			return nil, p.errorAt(lowAt, ErrOperand, "the limits of BETWEEN are in the wrong order", "put the smaller one first")
		}
	}
	return p.node(opAt, &node{op: opBetween, not: not, kids: []*node{value, low, high}})
}

func (p *parser) in(left *node, at int, not bool) (*node, error) {
	opAt := p.tok.at
	p.advance()
	if !p.take(tokOpen) {
		return nil, p.unexpected("( after IN", "")
	}
	var in list
	for {
		s, err := p.string()
		if err != nil {
			return nil, err
		}
		in.strings = append(in.strings, s)
		if !p.take(tokComma) {
			break
		}
	}
	if !p.take(tokClose) {
		return nil, p.unexpected(", or ) in the list of IN", "")
	}
	if left.op != opProperty {
		return nil, p.errorAt(at, ErrOperand, "IN takes a property on its left", "")
	}
	n := &node{op: opIn, not: not, slot: left.slot, in: &in}
	if len(in.strings) >= longList {
		in.set = make(map[string]struct{}, len(in.strings))
		for _, s := range in.strings {
			in.set[s] = struct{}{}
		}
	}
	return p.node(opAt, n)
}

func (p *parser) unary() (*node, error) {
	for p.take(tokPlus) {
	}
	k, at := p.tok.kind, p.tok.at
	if k != tokMinus && k != tokNot {
		return p.primary()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	p.advance()
	operandAt := p.tok.at
	operand, err := p.unary()
	if err != nil {
		return nil, err
	}
	p.nest--
	if k == tokMinus {
		return p.node(at, &node{op: opNegate, kids: []*node{operand}})
	}
	if operand, err = p.condition(operand, operandAt); err != nil {
		return nil, err
	}
	return p.node(at, &node{op: opNot, kids: []*node{operand}})
}

func (p *parser) primary() (*node, error) {
	switch p.tok.kind {
	case tokString:
		s, err := p.string()
		return leaf(literal(s)), err
	case tokInteger, tokFloat:
		return p.number()
	case tokTrue, tokFalse:
		v := truth(p.tok.kind == tokTrue)
		p.advance()
		return leaf(v), nil
	case tokNull:
		p.advance()
		return leaf(value{}), nil
	case tokName:
		n := &node{op: opProperty, depth: 1, slot: p.slot(p.text())}
		p.advance()
		return n, nil
	case tokOpen:
		if err := p.enter(); err != nil {
			return nil, err
		}
		p.advance()
		n, err := p.or()
		if err != nil {
			return nil, err
		}
		if !p.take(tokClose) {
			return nil, p.unexpected(") or an operator", "")
		}
		p.nest--
		return n, nil
	}
	return nil, p.unexpected("a property, a literal, NOT or (", "")
}

func leaf(v value) *node { return &node{op: opConst, depth: 1, value: v} }

// enter is called before a recursion; the caller takes it back by p.nest--.
func (p *parser) enter() error {
	if p.nest++; p.nest > 2*MaxDepth {
		return p.tooDeep(p.tok.at)
	}
	return nil
}

// number: an integer of 32 bits where it fits, else of 64; or a double.
func (p *parser) number() (*node, error) {
	s := p.text()
	if p.tok.kind == tokFloat {
		d, err := strconv.ParseFloat(s, 64) // the lexer's syntax is Go's too: an error says out of range
		if err != nil {
			return nil, p.errorAt(p.tok.at, ErrLimit, quoted(s)+" is greater than any double", "")
		}
		if d == 0 {
			return nil, p.errorAt(p.tok.at, ErrLimit, quoted(s)+" is less than the smallest double above zero", "write 0 for zero")
		}
		p.advance()
		return leaf(value{kind: double, bits: int64(math.Float64bits(d))}), nil
	}
	n, err := strconv.ParseInt(strings.TrimRight(s, "lL"), 10, 64)
	if err != nil {
		return nil, p.errorAt(p.tok.at, ErrLimit, quoted(s)+" is greater than 9223372036854775807", "write it as a float")
	}
	p.advance()
	if n <= math.MaxInt32 {
		return leaf(value{kind: integer, bits: n}), nil
	}
	return leaf(value{kind: long, bits: n}), nil
}

func (p *parser) string() (string, error) {
	if p.tok.kind != tokString {
		return "", p.unexpected("a string", "put it in single quotes")
	}
	s := p.text()
	p.advance()
	return strings.ReplaceAll(s[1:len(s)-1], "''", "'"), nil
}

func (p *parser) slot(name string) int {
	slot, ok := p.slots[name]
	if !ok {
		slot = len(p.names)
		p.slots[name] = slot
		p.names = append(p.names, name)
	}
	return slot
}
