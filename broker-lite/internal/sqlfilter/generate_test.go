package sqlfilter

import (
	"math/rand/v2"
	"strings"
)

// generator makes expressions, most of which compile, and properties that make
// many of them true.
type generator struct {
	*rand.Rand
	// textOperators has CONTAINS, STARTSWITH and ENDSWITH made too, which are
	// names to 4.9.
	textOperators bool
}

func newGenerator(seed uint64, textOperators bool) generator {
	return generator{Rand: rand.New(rand.NewPCG(seed, 1)), textOperators: textOperators}
}

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

// one is true once in n times.
func (g generator) one(n int) bool { return g.IntN(n) == 0 }

var (
	someNames      = []string{"a", "b", "c", "d", "A", "TAGS", "$x_1", "missing"}
	someStrings    = []string{"5", "5.0", "eu", "it's", "", "true", "标签", "😀x", "e", "-3", "NaN", "a b", "%", "''"}
	someNumbers    = []string{"5", "0", "3", "10", "7L", "5l", "2147483647", "2147483648", "3000000000", "9223372036854775807", "9223372036854775808", "007"}
	someFloats     = []string{"5.0", "5.", ".5", "1e3", "1E-2", "5.5", "3e9", "9.223372036854775807E18", "0.0", "1e999", "4.9e-324", "1e-999", "0.1"}
	someValues     = []string{"5", "5.0", "5.5", "6", "eu", "it's", "true", "TRUE", "false", "标签", "😀x", "-3", "+3", "-0", "0", "-0.0", "0.0", "NaN", "-NaN", "Infinity", "-Infinity", "inf", " 5", "5 ", "\t5\n", "5f", "5D", "5L", "0x1p3", "0X.8P-1d", "0x10", "1e3", "1e999", "1e-999", "1_000", "٣", "５", "2147483647", "2147483648", "-2147483648", "-2147483649", "3000000000", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "00000000000000000005", "+", "-", ".", "1e", "a b", "e", "%", "''", "eu\x01x", "\u00a05", "x"}
	someComments   = []string{" ", "  ", "\n", "\t", "\r\n", "\f", "/**/", "/* a * b **/", "-- note\n", "--\r", "--\r\n"}
	someCharacters = []string{"a", "=", "1", ".", "e", "E", "L", "+", "-", "'", "<", ">", "(", ")", ",", " ", "\n", "\r", "/", "*", "in", "is", "not", "0", "x", "\v", "\u00a0", "é", "$", "_", "@", "[", "^"}
	someTokens     = []string{"NOT", "AND", "OR", "(", ")", "=", "<>", "<", ">=", "+", "-", "IS", "NULL", "BETWEEN", "IN", ",", "'x'", "5", "a", "TRUE", ".", ";", "--", "/*", "\"", "'", "é", "!=", "LIKE", "1.5f", "1e", "5d"}
)

func (g generator) space() string {
	if g.one(12) {
		return pick(g, someComments...) + pick(g, someComments...)
	}
	return " "
}

// word writes a keyword in some case.
func (g generator) word(s string) string {
	switch g.IntN(4) {
	case 0:
		return strings.ToLower(s)
	case 1:
		return s[:1] + strings.ToLower(s[1:])
	}
	return s
}

func (g generator) words(s ...string) string {
	for i := range s {
		s[i] = g.word(s[i])
	}
	return strings.Join(s, g.space())
}

func (g generator) name() string { return pick(g, someNames[:4]...) }

func (g generator) quoted() string {
	return "'" + strings.ReplaceAll(pick(g, someStrings...), "'", "''") + "'"
}

func (g generator) num() string {
	if g.one(8) {
		return pick(g, someNumbers...)
	}
	if g.one(8) {
		return pick(g, someFloats...)
	}
	return pick(g, "5", "3", "-3", "+5", "10", "3000000000", "5.5", "-5", "-3.0", "5e0", "1000L")
}

// operand of a comparison: mostly what can be one.
func (g generator) operand(depth int) string {
	switch g.IntN(14) {
	case 0:
		return pick(g, "-", "+", "- -", "- + ") + g.operand(depth-1)
	case 1:
		return pick(g, someNames...)
	case 2:
		return pick(g, "TRUE", "FALSE", "NULL", "true")
	case 3:
		return g.quoted()
	case 4:
		if depth > 0 {
			return "(" + g.space() + g.expr(depth-1) + ")"
		}
		return "(" + g.name() + ")"
	case 5, 6, 7, 8:
		return g.num()
	}
	return g.name()
}

func (g generator) expr(depth int) string {
	if depth <= 0 {
		return g.comparison(0)
	}
	switch g.IntN(8) {
	case 0, 1:
		return g.expr(depth-1) + g.space() + g.word("AND") + g.space() + g.expr(depth-1)
	case 2, 3:
		return g.expr(depth-1) + g.space() + g.word("OR") + g.space() + g.expr(depth-1)
	case 4:
		return g.word("NOT") + g.space() + pick(g, "", g.space()) + "(" + g.expr(depth-1) + ")"
	case 5:
		return "(" + g.expr(depth-1) + ")"
	case 6:
		return g.word("NOT") + " " + g.comparison(depth)
	}
	return g.comparison(depth)
}

func (g generator) comparison(depth int) string {
	not := ""
	if g.one(3) {
		not = g.word("NOT") + g.space()
	}
	n := 10
	if !g.textOperators {
		n = 8
	}
	switch g.IntN(n) {
	case 0:
		return g.operand(depth) + pick(g, "=", " = ", "<>", " <> ") + g.operand(depth)
	case 1:
		return g.name() + pick(g, "=", "<>") + pick(g, g.quoted(), g.quoted(), g.word("TRUE"), g.num())
	case 2:
		return g.name() + pick(g, " > ", ">=", "<", " <= ") + pick(g, g.num(), g.name())
	case 3:
		return g.operand(depth) + pick(g, " > ", ">=", "<", " <= ") + g.operand(depth)
	case 4:
		return g.operand(depth) + g.space() + not + g.word("BETWEEN") + g.space() + g.operand(depth) + g.space() + g.word("AND") + g.space() + g.operand(depth)
	case 5:
		list := g.quoted()
		for range g.IntN(pick(g, 3, 3, 14)) {
			list += pick(g, ",", " , ") + g.quoted()
		}
		return pick(g, g.name(), g.name(), g.name(), g.operand(depth)) + " " + not + g.word("IN") + "(" + list + ")"
	case 6:
		return g.operand(depth) + " " + pick(g, g.words("IS", "NULL"), g.words("IS", "NOT", "NULL"))
	case 7:
		return pick(g, g.name(), g.operand(depth), g.name()+" = "+g.num()+" = "+g.operand(depth), g.operand(depth)+" IS NULL = "+g.word("TRUE"))
	}
	return pick(g, g.name(), g.name(), g.operand(depth)) + g.space() + not + g.word(pick(g, "CONTAINS", "STARTSWITH", "ENDSWITH")) + g.space() + g.quoted()
}

// expression is one of the grammar, which may be damaged, or a few tokens, or a
// few characters.
func (g generator) expression() string {
	switch g.IntN(8) {
	case 0:
		return g.soup(pick(g, "", " "), func() string {
			return pick(g, g.someToken(), g.someToken(), pick(g, someNumbers...), pick(g, someFloats...), g.name(), pick(g, someComments...), g.quoted())
		})
	case 1:
		return "a = " + g.soup("", func() string { return pick(g, someCharacters...) })
	case 2:
		return g.damaged(g.expr(g.IntN(4)))
	}
	return g.expr(g.IntN(4))
}

func (g generator) soup(separator string, part func() string) string {
	parts := make([]string, 1+g.IntN(8))
	for i := range parts {
		parts[i] = part()
	}
	return strings.Join(parts, separator)
}

func (g generator) someToken() string {
	if g.textOperators && g.one(10) {
		return pick(g, "CONTAINS", "StartsWith", "endswith")
	}
	return pick(g, someTokens...)
}

func (g generator) damaged(s string) string {
	at := g.IntN(len(s) + 1)
	switch g.IntN(4) {
	case 0:
		s = s[:at]
	case 1:
		s += " " + g.someToken() + pick(g, "", " ") + g.someToken()
	case 2:
		s = s[:at] + g.someToken() + s[at:]
	default:
		s = s[:at] + s[min(len(s), at+1+g.IntN(4)):]
	}
	return strings.ToValidUTF8(s, "")
}

// properties, encoded, some of them damaged.
func (g generator) properties() []byte {
	var b []byte
	for _, name := range someNames[:7] {
		if g.one(4) {
			continue
		}
		value := pick(g, someValues...)
		if g.one(3) {
			value = pick(g, "5", "3", "true", "eu", "3000000000", "5.5")
		}
		b = append(b, name+"\x01"+value+"\x02"...)
		if g.one(20) {
			b = append(b, pick(g, "a\x01\x02", "\x01x\x02", "\x02", "b\x02", "a\x015\x02", "é\x015\x02")...)
		}
	}
	if g.one(10) && len(b) > 0 {
		b = b[:len(b)-1]
	}
	return b
}
