package sqlfilter

import (
	"errors"
	"strings"
	"testing"
)

// encode makes a record's properties of "a=1;b=2".
func encode(properties string) []byte {
	if properties == "" {
		return nil
	}
	return []byte(strings.NewReplacer("=", "\x01", ";", "\x02").Replace(properties) + "\x02")
}

// cases are the rules of the package comment, with Apache's answers: T true, F
// false, N unknown, E an exception, X does not compile. v4 is 4.9.7's where it
// differs.
var cases = []struct{ expr, properties, want, v4 string }{
	// Strings and case.
	{expr: "a = 'eu'", properties: "a=eu", want: "T"},
	{expr: "a = 'eu'", properties: "a=us", want: "F"},
	{expr: "a = 'EU'", properties: "a=eu", want: "F"},
	{expr: "A = 'eu'", properties: "a=eu", want: "N"},
	{expr: "a = 'it''s'", properties: "a=it's", want: "T"},
	{expr: "a = '标签'", properties: "a=标签", want: "T"},
	{expr: "a = 'x' aNd NoT (b iS nUlL)", properties: "a=x;b=1", want: "T"},
	{expr: "$a_1 = 'x'", properties: "$a_1=x", want: "T"},
	{expr: "a-b = 'x'", properties: "a=x", want: "F"}, // a, and an end
	{expr: "a = \"x\"", want: "X"},
	{expr: "a = 'x", want: "X"},
	{expr: "a ' x", want: "X"},
	{expr: "a ' '' x", properties: "a=1", want: "F"}, // the string ' ' is behind an end

	// Numbers.
	{expr: "a > 5", properties: "a=6", want: "T"},
	{expr: "a > 5", properties: "a=5", want: "F"},
	{expr: "a >= 5", properties: "a=+5", want: "T"},
	{expr: "5 < a", properties: "a=6", want: "T"},
	{expr: "a <= -5", properties: "a=-5", want: "T"},
	{expr: "a = - - 5", properties: "a=5", want: "T"},
	{expr: "a = --5", properties: "a=5", want: "T"}, // no comment without a line's end
	{expr: "a = --5\n", want: "X"},
	{expr: "a = --5\n6", properties: "a=6", want: "T"},
	{expr: "a > 5", properties: "a=5.5", want: "E"},
	{expr: "a > 5", properties: "a=x", want: "E"},
	{expr: "a > 5", properties: "a= 6", want: "E"},
	{expr: "a > 5", properties: "a=٦", want: "T"}, // Arabic digits
	{expr: "a > 5", properties: "a=2147483648", want: "E"},
	{expr: "a > 5L", properties: "a=2147483648", want: "E"},
	{expr: "a = 2147483647", properties: "a=2147483648", want: "E"},
	{expr: "a > -2147483647", properties: "a=-2147483648", want: "F"},
	{expr: "a > -2147483647", properties: "a=-2147483649", want: "E"},
	{expr: "a < 2147483648", properties: "a=-9223372036854775808", want: "T"},
	{expr: "a < 2147483648", properties: "a=9223372036854775808", want: "E"},
	{expr: "a < 5.5", properties: "a=5D", want: "T"},
	{expr: "a < 5.5", properties: "a=5L", want: "E"},
	{expr: "a > 2147483648", properties: "a=2147483649", want: "T"},
	{expr: "a > 5.0", properties: "a=2147483649", want: "T"},
	{expr: "a > 5.5", properties: "a= 5.6f ", want: "T"},
	{expr: "a = 8.0", properties: "a=0x1p3", want: "T"},
	{expr: "a > 5.5", properties: "a=NaN", want: "T"},
	{expr: "a < 5.5", properties: "a=-Infinity", want: "T"},
	{expr: "a > 1e308", properties: "a=1e309", want: "T"},
	{expr: "a > 5.5", properties: "a=inf", want: "E"},
	{expr: "a > b", properties: "a=10;b=9", want: "T"},
	{expr: "a = b", properties: "a=1.0;b=1", want: "F"},
	{expr: "a >= b", properties: "a=1.0;b=1", want: "T"},
	{expr: "a > b", properties: "a=x;b=y", want: "E"},
	{expr: "a >= b", properties: "a=-0.0;b=0", want: "F"},
	{expr: "a = 9223372036854775807", properties: "a=9223372036854775807", want: "T"},
	{expr: "a = -9223372036854775807", properties: "a=-9223372036854775807", want: "T"},
	{expr: "a = 9223372036854775808", want: "X"},
	{expr: "a = 0.0", want: "X"},
	{expr: "a = 1e309", want: "X"},
	{expr: "a = 1e-400", want: "X"},
	{expr: "a = 007", properties: "a=0", want: "T"}, // 0, and an end
	{expr: "a = 0x10", properties: "a=0", want: "T"},
	{expr: "a = 5.e1", properties: "a=50", want: "T"},
	{expr: "3 = 3.0", want: "T"},
	{expr: "- 'x' IS NULL", want: "T"},
	{expr: "a > 'x'", want: "X"},
	{expr: "a > NULL", want: "X"},
	{expr: "a > TRUE", want: "X"},
	{expr: "a > 1 > 2", want: "X"},

	// Booleans.
	{expr: "TRUE", want: "T"},
	{expr: "false OR true", want: "T"},
	{expr: "NULL", want: "N"},
	{expr: "5", want: "X"},
	{expr: "'x'", want: "X"},
	{expr: "-a", want: "X"},
	{expr: "a", properties: "a=true", want: "F"},
	{expr: "NOT a", properties: "a=true", want: "T"},
	{expr: "a", want: "N"},
	{expr: "a = TRUE", properties: "a=True", want: "T"},
	{expr: "a = TRUE", properties: "a=yes", want: "F"},
	{expr: "a = FALSE", properties: "a=yes", want: "T"},
	{expr: "TRUE = a", properties: "a=true", want: "E"},
	{expr: "TRUE = 1", want: "X"},
	{expr: "1 = TRUE", want: "F"},
	{expr: "TRUE = -1", want: "F"},
	{expr: "a = 1 = TRUE", properties: "a=1", want: "T"},
	{expr: "NOT a = 1", properties: "a=1", want: "F"}, // (NOT a) = 1
	{expr: "NOT (a = 1)", properties: "a=2", want: "T"},

	// What is missing.
	{expr: "a = 1", want: "N"},
	{expr: "a <> 1", want: "N"},
	{expr: "1 = a", want: "F"},
	{expr: "1 <> a", want: "T"},
	{expr: "a = b", want: "T"},
	{expr: "a > 1", want: "N"},
	{expr: "1 > a", want: "N"},
	{expr: "a = NULL", want: "X"},
	{expr: "a IS NULL", want: "T"},
	{expr: "a IS NULL", properties: "a=1", want: "F"},
	{expr: "a IS NOT NULL", properties: "a=1", want: "T"},
	{expr: "a IS NOT NULL", want: "F"},
	{expr: "a = 1 IS NULL", want: "T"},
	{expr: "a IS 5", want: "X"},
	{expr: "a = 1 OR TRUE", want: "T"},
	{expr: "a = 1 OR FALSE", want: "N"},
	{expr: "a = 1 AND FALSE", want: "F"},
	{expr: "a = 1 AND TRUE", want: "N"},
	{expr: "NOT (a = 1)", want: "N"},

	// Exceptions and what is not evaluated.
	{expr: "FALSE AND a > 1", properties: "a=x", want: "F"},
	{expr: "TRUE OR a > 1", properties: "a=x", want: "T"},
	{expr: "a > 1 OR TRUE", properties: "a=x", want: "E"},
	{expr: "a > 1 AND FALSE", properties: "a=x", want: "E"},
	{expr: "NOT (a > 1)", properties: "a=x", want: "E"},
	{expr: "a > 1 IS NULL", properties: "a=x", want: "E"},
	{expr: "- (a > 1) IS NULL", properties: "a=x", want: "E"},

	// BETWEEN.
	{expr: "a BETWEEN 1 AND 3", properties: "a=3", want: "T"},
	{expr: "a BETWEEN 1 AND 3", properties: "a=4", want: "F"},
	{expr: "a NOT BETWEEN 1 AND 3", properties: "a=4", want: "T"},
	{expr: "a NOT BETWEEN 1 AND 3", properties: "a=1", want: "F"},
	{expr: "a BETWEEN 3 AND 1", want: "X"},
	{expr: "a NOT BETWEEN 3 AND 1", properties: "a=2", want: "T"},
	{expr: "a BETWEEN 3 AND -1", properties: "a=2", want: "F"}, // -1 is no literal
	{expr: "a BETWEEN b AND 3", properties: "a=4", want: "F"},
	{expr: "a BETWEEN b AND 3", properties: "a=2", want: "N"},
	{expr: "a BETWEEN 5 AND 7.5", properties: "a=5.5", want: "E"},
	{expr: "a BETWEEN 5.0 AND 7", properties: "a=5.5", want: "E"},
	{expr: "a BETWEEN 6.0 AND 7", properties: "a=5.5", want: "F"},
	{expr: "a BETWEEN 1 AND 3 AND b = 1", properties: "a=2;b=1", want: "T"},
	{expr: "a BETWEEN 'a' AND 'b'", want: "X"},
	{expr: "a BETWEEN 1 3", want: "X"},

	// IN.
	{expr: "a IN ('x', 'y')", properties: "a=y", want: "T"},
	{expr: "a IN ('x', 'y')", properties: "a=z", want: "F"},
	{expr: "a IN ('x', 'y')", want: "N"},
	{expr: "a NOT IN ('x', 'y')", properties: "a=z", want: "T"},
	{expr: "a NOT IN ('x', 'y')", want: "N"},
	{expr: "(a) IN ('1','2','3','4','5','6','7','8','9','it''s')", properties: "a=it's", want: "T"},
	{expr: "a IN ('1','2','3','4','5','6','7','8','9')", properties: "a=10", want: "F"},
	{expr: "a IN (1, 2)", want: "X"},
	{expr: "a IN ()", want: "X"},
	{expr: "a IN 'x'", want: "X"},
	{expr: "'x' IN ('x')", want: "X"},
	{expr: "a NOT = 1", want: "X"},

	// Text.
	{expr: "a CONTAINS 'b'", properties: "a=abc", want: "T", v4: "F"},
	{expr: "a CONTAINS 'x'", properties: "a=abc", want: "F"},
	{expr: "a NOT CONTAINS 'x'", properties: "a=abc", want: "T", v4: "X"},
	{expr: "a CONTAINS 'x'", want: "F", v4: "N"},
	{expr: "a NOT CONTAINS 'x'", want: "F", v4: "X"},
	{expr: "a NOT CONTAINS ''", properties: "a=abc", want: "F", v4: "X"},
	{expr: "a StartsWith 'ab'", properties: "a=abc", want: "T", v4: "F"},
	{expr: "a NOT STARTSWITH 'bc'", properties: "a=abc", want: "T", v4: "X"},
	{expr: "a ENDSWITH 'bc'", properties: "a=abc", want: "T", v4: "F"},
	{expr: "a NOT ENDSWITH 'bc'", properties: "a=abc", want: "F", v4: "X"},
	{expr: "a ENDSWITH 'abcd'", properties: "a=abc", want: "F"},
	{expr: "5 CONTAINS '5'", want: "F", v4: "X"},
	{expr: "(a = 1) CONTAINS 'x'", properties: "a=x", want: "E"},
	{expr: "(a = 1) CONTAINS ''", properties: "a=x", want: "F", v4: "E"},
	{expr: "a CONTAINS b", want: "X", v4: "N"},
	{expr: "contains = 'x'", properties: "contains=x", want: "X", v4: "T"},

	// Text that is no part of the expression.
	{expr: "a LIKE 'x%'", properties: "a=x1", want: "F"},
	{expr: "a = 1)", properties: "a=1", want: "T"},
	{expr: "a = 1 b ;", properties: "a=1", want: "T"},
	{expr: "a = 1 ; b", want: "X"},
	{expr: "a = 1 AND", want: "X"},
	{expr: "a /* b\n* c **/ = -- d\r\n1", properties: "a=1", want: "T"},
	{expr: "a = 1 /* b", want: "X"},
	{expr: "", want: "X"},
	{expr: "/**/ --\n", want: "X"},
	{expr: "a\v= 1", want: "X"},
}

func TestExpressionsMeanWhatTheTableSays(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		if got := answer(question{c.expr, [][]byte{encode(c.properties)}}); got != c.want {
			t.Errorf("%s with %s is %s, want %s", c.expr, c.properties, got, c.want)
		}
	}
}

func mustCompile(t testing.TB, expr string) *Expr {
	t.Helper()
	e, err := Compile(expr)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestOfAPropertyThatIsThereTwiceTheLastOneCounts(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{"a = '2'", manyNames + " OR a = '2'"} {
		e := mustCompile(t, expr)
		if !e.Match([]byte("a\x011\x02a\x012\x02")) {
			t.Errorf("%s does not match the last", expr)
		}
		if e.Match([]byte("a\x012\x02a\x011")) {
			t.Errorf("%s matches the first", expr)
		}
	}
}

// manyNames names more properties than are looked up one by one.
const manyNames = "n1 = 1 OR n2 = 2 OR n3 = 3 OR n4 = 4 OR n5 = 5 OR n6 = 6 OR n7 = 7 OR n8 = 8 OR n9 = 9"

func TestEntriesWithoutANameOrAValueAreNone(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{"a IS NULL", "(" + manyNames + ") IS NULL AND a IS NULL"} {
		e := mustCompile(t, expr)
		for _, p := range []string{"", "\x02", "a", "a\x02", "a\x01", "a\x01\x02", "\x01a\x02", "a\x01\x02\x02b\x01a\x011\x02"} {
			if !e.Match([]byte(p)) {
				t.Errorf("%s: a is there in %q", expr, p)
			}
		}
	}
}

func TestAFailureNamesTheOperatorAndTheValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expr, want string }{
		{"b = 1 OR NOT (a > 5)", `a > 5: "x" is no 32-bit integer`},
		{"3000000000 = a", `3000000000 = a: "x" is no 64-bit integer`},
		{"a BETWEEN 1.5 AND 2", `a BETWEEN 1.5 AND 2: "x" is no number`},
		{"n < a", `n < a: "x" is no number`},
		{"a < n", `a < n: "x" is no number`},
		{"TRUE = a", `TRUE = a: "x" is a string with a boolean before it`},
	} {
		truth, err := mustCompile(t, c.expr).Evaluate(encode("a=x;b=2;n=1"))
		if truth != Unknown || !errors.Is(err, ErrEvaluation) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want an error with %q", c.expr, truth, err, c.want)
		}
	}
}

func TestTextBehindTheExpressionIsTold(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"a LIKE 'x%'":       "LIKE 'x%'",
		"a = 1 ) OR b = 2":  ") OR b = 2",
		"a = 1 -- b\n":      "",
		"a = 1 /* b */ ":    "",
		"a = 007":           "07",
		"a = 1 b = 2 AND ;": "b = 2 AND ;",
	} {
		if got := mustCompile(t, expr).Ignored(); got != want {
			t.Errorf("%q ignores %q, want %q", expr, got, want)
		}
	}
}

// Where Apache's filter takes 2^n steps for n BETWEENs inside each other, this one
// takes n: with Apache's it would not end.
func TestNestedBetweenIsEvaluatedOnce(t *testing.T) {
	t.Parallel()
	const depth = 100
	expr := "a"
	for range depth {
		expr = "-(" + expr + " BETWEEN 1 AND 2)"
	}
	truth, err := mustCompile(t, expr+" IS NULL").Evaluate(encode("a=1"))
	if truth != True || err != nil {
		t.Errorf("%v, %v", truth, err)
	}
}
