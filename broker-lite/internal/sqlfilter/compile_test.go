package sqlfilter

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestAnErrorSaysWhereAndWhatInstead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expr         string
		kind         error
		offset       int
		line, column int
		text         string
	}{
		{"", ErrSyntax, 0, 1, 1, "found the end, expected a property, a literal, NOT or ("},
		{"a = \n  b &&\n c", ErrSyntax, 9, 2, 5, `no token begins with "&"; write AND`},
		{"标签 = 1", ErrSyntax, 0, 1, 1, `no token begins with "标"`},
		{"a = '标签' AND\r\nb == 1", ErrSyntax, 21, 2, 4, `found "=", expected a property`},
		{"a = 'x\ny", ErrSyntax, 4, 1, 5, "the string has no end; close it with '"},
		{"a /* b", ErrSyntax, 2, 1, 3, "the comment has no end"},
		{"a != 1", ErrSyntax, 2, 1, 3, "unequal is <>"},
		{`a = "x"`, ErrSyntax, 4, 1, 5, "put strings in single quotes"},
		{"a.b = 1", ErrSyntax, 1, 1, 2, "names are of letters, digits, _ and $"},
		{"a IN (1)", ErrSyntax, 6, 1, 7, `found "1", expected a string; put it in single quotes`},
		{"a IN ('x'", ErrSyntax, 9, 1, 10, "expected , or ) in the list of IN"},
		{"a IS 5", ErrSyntax, 5, 1, 6, "expected NULL or NOT NULL after IS"},
		{"a NOT = 1", ErrSyntax, 6, 1, 7, "expected BETWEEN, IN, CONTAINS"},
		{"a BETWEEN 1 OR 2", ErrSyntax, 12, 1, 13, "expected AND between the limits"},
		{"(a = 1", ErrSyntax, 6, 1, 7, "found the end, expected ) or an operator"},
		{"a CONTAINS 5", ErrSyntax, 11, 1, 12, "expected a string"},
		{"b = 1 AND a > 'x'", ErrOperand, 14, 1, 15, "the string 'x' has no order; compare with a number"},
		{"a > TRUE", ErrOperand, 4, 1, 5, "TRUE has no order"},
		{"(a = 1) < 2", ErrOperand, 0, 1, 1, "the condition has no order"},
		{"a = NULL", ErrOperand, 4, 1, 5, "nothing is equal to NULL; use IS NULL"},
		{"NULL <> a", ErrOperand, 0, 1, 1, "use IS NULL"},
		{"TRUE = 1", ErrOperand, 7, 1, 8, "1 cannot be compared with TRUE"},
		{" a = 1 OR 5.5", ErrOperand, 10, 1, 11, "5.5 is not true or false; compare it"},
		{" 'x'", ErrOperand, 1, 1, 2, "'x' is not true or false"},
		{"NOT -a", ErrOperand, 4, 1, 5, "the number is not true or false"},
		{"a BETWEEN 3 AND 1", ErrOperand, 10, 1, 11, "wrong order; put the smaller one first"},
		{"5 IN ('5')", ErrOperand, 0, 1, 1, "IN takes a property"},
		{"a > 9223372036854775808", ErrLimit, 4, 1, 5, "is greater than 9223372036854775807"},
		{"a > 1e309", ErrLimit, 4, 1, 5, "is greater than any double"},
		{"a > 0.0", ErrLimit, 4, 1, 5, "write 0 for zero"},
	} {
		_, err := Compile(c.expr)
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, c.kind) {
			t.Errorf("%q: %v, want %v", c.expr, err, c.kind)
			continue
		}
		if e.Offset != c.offset || e.Line != c.line || e.Column != c.column {
			t.Errorf("%q: %v is at %d, line %d column %d; want %d, %d, %d", c.expr, err, e.Offset, e.Line, e.Column, c.offset, c.line, c.column)
		}
		if !strings.Contains(err.Error(), c.text) {
			t.Errorf("%q: %q does not say %q", c.expr, err, c.text)
		}
	}
}

func TestAnErrorIsShortWhateverTheExpression(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 20000)
	for _, expr := range []string{"a > '" + long + "'", "a IS '" + long + "'", "a IS " + strings.Repeat("n", 40000), "a > " + strings.Repeat("9", 40000)} {
		if _, err := Compile(expr); err == nil || len(err.Error()) > 400 {
			t.Errorf("error of %d bytes: %.500v", len(err.Error()), err)
		}
	}
	_, err := mustCompile(t, "a > 5 OR a IN ('"+long+"') OR b > 5").Evaluate(encode("b=1;a=" + long))
	if err == nil || len(err.Error()) > 400 {
		t.Errorf("evaluation error: %.500v", err)
	}
}

func TestTheLimitsAreExact(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what  string
		make  func(n int) string
		limit int
	}{
		{"length", func(n int) string { return "a = 1" + strings.Repeat(" ", n-5) }, MaxLength},
		{"parentheses", func(n int) string { return strings.Repeat("(", n) + "a" + strings.Repeat(")", n) }, 2 * MaxDepth},
		{"NOT", func(n int) string { return strings.Repeat("NOT ", n) + "a" }, MaxDepth - 1}, // a is one
		{"minus", func(n int) string { return strings.Repeat("- ", n) + "a = 1" }, MaxDepth - 2},
		{"IS NULL", func(n int) string { return "a" + strings.Repeat(" IS NULL", n) }, MaxDepth - 1},
		{"=", func(n int) string { return "a" + strings.Repeat(" = a", n) }, MaxDepth - 1},
		{"CONTAINS", func(n int) string { return "a" + strings.Repeat(" CONTAINS 'x'", n) }, MaxDepth - 1},
	} {
		if _, err := Compile(c.make(c.limit)); err != nil {
			t.Errorf("%s: %d is refused: %v", c.what, c.limit, err)
		}
		if _, err := Compile(c.make(c.limit + 1)); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %d gives %v", c.what, c.limit+1, err)
		}
	}
	for _, expr := range []string{
		"a = 1" + strings.Repeat(" AND a = 1", 5000),
		"a = 1" + strings.Repeat(" OR a = 1", 5000),
		"a = " + strings.Repeat("+", 5000) + "1",
		"a = " + strings.Repeat("--\n", 5000) + "1",
		"a IN (" + strings.Repeat("'x',", 5000) + "'x')",
		strings.Repeat("(a) OR NOT a AND -5 = a OR ", 2000) + "a",
	} {
		if _, err := Compile(expr); err != nil {
			t.Errorf("%s…: %v", expr[:20], err)
		}
	}
}

// hostile expressions are as long as one may be.
func hostile() map[string]string {
	fill := func(s string) string { return strings.Repeat(s, MaxLength/len(s)) }
	return map[string]string{
		"parentheses":       fill("("),
		"NOT":               fill("NOT "),
		"signs":             fill("+-"),
		"plus":              fill("+"),
		"minus":             "a = " + fill("-")[4:],
		"minus and lines":   fill("-\n"),
		"comments":          fill("--\n"),
		"unclosed comments": fill("/*"),
		"quotes":            fill("'"),
		"names":             fill("a OR b OR "),
		"IS NULL":           "a " + fill("IS NULL ")[8:],
		"list":              "a IN (" + fill("'x',")[12:] + "'')",
		"unclosed list":     "a IN (" + fill("'x',")[8:],
		"between":           fill("-(a BETWEEN "),
		"lines":             fill("\n"),
	}
}

// The longest expressions take milliseconds, where their square is 4 billion steps.
func TestHostileExpressionsCostNoMoreThanTheirLength(t *testing.T) {
	for what, expr := range hostile() {
		if len(expr) > MaxLength {
			t.Fatalf("%s: %d bytes", what, len(expr))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		e, err := Compile(expr)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if bytes := after.TotalAlloc - before.TotalAlloc; took > time.Second || bytes > 64*MaxLength {
			t.Errorf("%s: %v, %d bytes allocated", what, took, bytes)
		}
		if err != nil {
			continue
		}
		if start = time.Now(); e.Match(encode("a=y;b=2")) {
			t.Errorf("%s matches", what)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: Match took %v", what, took)
		}
	}
}

func TestThePrintedExpressionIsTheSame(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"a":                                          "a",
		"not(a)or b":                                 "(NOT a) OR b",
		"a=1 and b<>'it''s' AND c>-5.50":             "(a = 1) AND (b <> 'it''s') AND (c > (-5.5))",
		"a=1 or b=1 and c=1 or d=1":                  "(a = 1) OR ((b = 1) AND (c = 1)) OR (d = 1)",
		"(a OR b) OR (c OR d)":                       "a OR b OR (c OR d)",
		"a not between 1 and - 2":                    "a NOT BETWEEN 1 AND (-2)",
		"a between 1l and 1e21":                      "a BETWEEN 1 AND 1e+21",
		"+a in('x' , '')":                            "a IN ('x', '')",
		"a not in ('x')":                             "a NOT IN ('x')",
		"a is null is not null":                      "(a IS NULL) IS NOT NULL",
		"- - 5 = a":                                  "(-(-5)) = a",
		"a = 5. /* five */":                          "a = 5.0",
		"a = true = FALSE":                           "(a = TRUE) = FALSE",
		"null OR 'x' = a":                            "NULL OR ('x' = a)",
		"a contains 'x' not startswith 'y'":          "(a CONTAINS 'x') NOT STARTSWITH 'y'",
		"a endswith 'z' and a >= 9999999999":         "(a ENDSWITH 'z') AND (a >= 9999999999)",
		"a <= 1 LIKE 'x'":                            "a <= 1",
		"- (a = 1) < b":                              "(-(a = 1)) < b",
		"a = 1.7976931348623157E308":                 "a = 1.7976931348623157e+308",
		"a IN ('1','2','3','4','5','6','7','8','9')": "a IN ('1', '2', '3', '4', '5', '6', '7', '8', '9')",
	} {
		e := mustCompile(t, expr)
		if got := e.String(); got != want {
			t.Errorf("%s prints as %s, want %s", expr, got, want)
		}
		if got := mustCompile(t, want).String(); got != want {
			t.Errorf("%s prints as %s", want, got)
		}
	}
}
