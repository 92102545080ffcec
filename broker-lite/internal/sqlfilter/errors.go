package sqlfilter

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The kinds of an [Error].
var (
	// ErrSyntax: the text is no expression.
	ErrSyntax = errors.New("syntax error in SQL92 filter")
	// ErrOperand: an operator cannot take what it was given.
	ErrOperand = errors.New("wrong operand in SQL92 filter")
	// ErrLimit: the expression or a number in it is too large.
	ErrLimit = errors.New("limit exceeded in SQL92 filter")
)

// ErrEvaluation is wrapped by what [Expr.Evaluate] returns for a property that
// cannot be compared as the expression says.
var ErrEvaluation = errors.New("SQL92 filter cannot be evaluated")

// Error says why an expression does not compile. It wraps [ErrSyntax],
// [ErrOperand] or [ErrLimit].
type Error struct {
	Kind   error  // one of the three
	Offset int    // in bytes, from 0
	Line   int    // from 1
	Column int    // in characters, from 1
	Reason string // what was found, and what was expected
	Remedy string // what to write instead
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%v: line %d column %d: %s", e.Kind, e.Line, e.Column, e.Reason)
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

func (e *Error) Unwrap() error { return e.Kind }

// errorAt makes an Error for the byte at offset of text.
func errorAt(text string, offset int, kind error, reason, remedy string) *Error {
	line, start := 1, 0
	for i := range offset {
		// A line ends with \n, \r or \r\n.
		if text[i] == '\n' || text[i] == '\r' && (i+1 >= len(text) || text[i+1] != '\n') {
			line, start = line+1, i+1
		}
	}
	return &Error{
		Kind: kind, Offset: offset, Line: line,
		Column: utf8.RuneCountInString(text[start:offset]) + 1,
		Reason: reason, Remedy: remedy,
	}
}

// maxQuoted is how many bytes of an expression or a property an error shows.
const maxQuoted = 40

// quoted shows text in an error, cut to a length.
func quoted[T string | []byte](text T) string {
	s, more := string(text[:min(len(text), maxQuoted)]), ""
	if len(text) > maxQuoted {
		more = "…"
	}
	return fmt.Sprintf("%q%s", strings.ToValidUTF8(s, ""), more)
}
