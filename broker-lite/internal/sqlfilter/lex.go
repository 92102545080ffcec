package sqlfilter

import "strings"

type kind uint8

const (
	tokEnd kind = iota
	tokBad      // no token; the lexer has the error
	tokName
	tokString
	tokInteger
	tokFloat
	tokEqual
	tokNotEqual
	tokGreater
	tokGreaterEqual
	tokLess
	tokLessEqual
	tokOpen
	tokClose
	tokComma
	tokPlus
	tokMinus
	tokNot
	tokAnd
	tokOr
	tokBetween
	tokIn
	tokTrue
	tokFalse
	tokNull
	tokIs
	tokContains
	tokStartsWith
	tokEndsWith
)

// token is text[at:end] of the expression.
type token struct {
	kind    kind
	at, end int
}

// lexer cuts an expression into tokens as Apache's generated SelectorParser does:
// always the longest one, and lazily, so that an error behind the end of the
// expression is never seen.
type lexer struct {
	text string
	pos  int
	// lastLineEnd is the last line end in text, or -1: behind it "--" begins no
	// comment. It keeps many of them from searching to the end each.
	lastLineEnd int
	err         *Error // of a tokBad
}

func newLexer(text string) *lexer {
	return &lexer{text: text, lastLineEnd: strings.LastIndexAny(text, "\r\n")}
}

func (l *lexer) next() token {
	if !l.skip() {
		return token{kind: tokBad, at: l.pos, end: l.pos}
	}
	at := l.pos
	if at == len(l.text) {
		return token{kind: tokEnd, at: at, end: at}
	}
	k, n := l.scan(l.text[at:])
	if k == tokBad {
		l.refuse(at)
	}
	l.pos += n
	return token{kind: k, at: at, end: l.pos}
}

// skip passes over white space and comments; false is an unclosed comment.
func (l *lexer) skip() bool {
	for l.pos < len(l.text) {
		rest := l.text[l.pos:]
		switch {
		case strings.IndexByte(" \t\n\r\f", rest[0]) >= 0:
			l.pos++
		case strings.HasPrefix(rest, "--") && l.pos < l.lastLineEnd:
			l.pos += strings.IndexAny(rest, "\r\n") + 1 // the \n of a \r\n is space
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				l.err = errorAt(l.text, l.pos, ErrSyntax, "the comment has no end", "close it with */")
				return false
			}
			l.pos += 2 + end + 2
		default:
			return true
		}
	}
	return true
}

// scan answers the token that s begins with, and its length.
func (l *lexer) scan(s string) (kind, int) {
	switch c := s[0]; {
	case isNameStart(c):
		n := 1
		for n < len(s) && (isNameStart(s[n]) || isDigit(s[n])) {
			n++
		}
		return keyword(s[:n]), n
	case isDigit(c) || c == '.':
		return scanNumber(s)
	case c == '\'':
		return scanString(s)
	}
	if len(s) > 1 {
		switch s[:2] {
		case "<>":
			return tokNotEqual, 2
		case ">=":
			return tokGreaterEqual, 2
		case "<=":
			return tokLessEqual, 2
		}
	}
	switch s[0] {
	case '=':
		return tokEqual, 1
	case '>':
		return tokGreater, 1
	case '<':
		return tokLess, 1
	case '(':
		return tokOpen, 1
	case ')':
		return tokClose, 1
	case ',':
		return tokComma, 1
	case '+':
		return tokPlus, 1
	case '-':
		return tokMinus, 1
	}
	return tokBad, 0
}

// scanString: a quote inside is doubled. What has no end is still a string up to
// its last doubled quote: Apache refuses the rest only where it reads on.
func scanString(s string) (kind, int) {
	doubled := 0 // length up to the last one
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			i++
			doubled = i
			continue
		}
		return tokString, i + 1
	}
	if doubled > 0 {
		return tokString, doubled
	}
	return tokBad, 0
}

// scanNumber: 0, 12, 12L; 1.5, 1., .5, each with an exponent, and 1E5. 007 is
// three integers.
func scanNumber(s string) (kind, int) {
	whole := digits(s)
	n := whole
	if n < len(s) && s[n] == '.' {
		fraction := digits(s[n+1:])
		if whole+fraction == 0 {
			return tokBad, 0
		}
		n += 1 + fraction
		return tokFloat, n + exponent(s[n:])
	}
	if e := exponent(s[n:]); e > 0 {
		return tokFloat, n + e
	}
	if s[0] == '0' {
		return tokInteger, 1
	}
	if n < len(s) && s[n]|0x20 == 'l' {
		n++
	}
	return tokInteger, n
}

// digits answers how many decimal digits s begins with.
func digits[T string | []byte](s T) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// exponent answers the length of the exponent that s begins with, or 0.
func exponent[T string | []byte](s T) int {
	if len(s) == 0 || s[0]|0x20 != 'e' {
		return 0
	}
	n := 1
	if len(s) > 1 && (s[1] == '+' || s[1] == '-') {
		n++
	}
	if d := digits(s[n:]); d > 0 {
		return n + d
	}
	return 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isNameStart(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c == '$'
}

// keywords by their upper case.
func keyword(name string) kind {
	switch len(name) {
	case 2, 3, 4, 5, 7, 8, 10:
	default:
		return tokName
	}
	switch strings.ToUpper(name) {
	case "NOT":
		return tokNot
	case "AND":
		return tokAnd
	case "OR":
		return tokOr
	case "BETWEEN":
		return tokBetween
	case "IN":
		return tokIn
	case "TRUE":
		return tokTrue
	case "FALSE":
		return tokFalse
	case "NULL":
		return tokNull
	case "IS":
		return tokIs
	case "CONTAINS":
		return tokContains
	case "STARTSWITH":
		return tokStartsWith
	case "ENDSWITH":
		return tokEndsWith
	}
	return tokName
}

// refuse notes why no token begins at offset.
func (l *lexer) refuse(offset int) {
	rest := l.text[offset:]
	reason, remedy := "no token begins with "+quoted(firstRune(rest)), ""
	switch rest[0] {
	case '\'':
		reason, remedy = "the string has no end", "close it with ', and write a quote inside it as ''"
	case '"', '`':
		remedy = "put strings in single quotes, and names in none"
	case '!':
		remedy = "unequal is <>, the negation is NOT"
	case '&':
		remedy = "write AND"
	case '|':
		remedy = "write OR"
	case '.':
		remedy = "names are of letters, digits, _ and $"
	case '*', '/', '%':
		remedy = "there is no arithmetic in a filter"
	case ';':
		remedy = "leave it out"
	}
	l.err = errorAt(l.text, offset, ErrSyntax, reason, remedy)
}

func firstRune(s string) string {
	for i := range s {
		if i > 0 {
			return s[:i]
		}
	}
	return s
}
