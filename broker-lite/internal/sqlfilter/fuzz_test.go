package sqlfilter

import (
	"errors"
	"testing"
)

// Whatever the expression and the properties are, nothing panics; what compiles
// means the same when it is printed and compiled again.
func FuzzCompile(f *testing.F) {
	for _, c := range cases {
		f.Add(c.expr, encode(c.properties))
	}
	g := newGenerator(7, true)
	for range 50 {
		f.Add(g.expression(), g.properties())
	}
	f.Fuzz(func(t *testing.T, expr string, properties []byte) {
		e, err := Compile(expr)
		if err != nil {
			var refused *Error
			if !errors.As(err, &refused) || refused.Offset > len(expr) || refused.Line < 1 || refused.Column < 1 || len(err.Error()) > 400 {
				t.Fatalf("%q: %#v", expr, err)
			}
			return
		}
		truth, failure := e.Evaluate(properties)
		if e.Match(properties) != (truth == True) || failure != nil && truth != Unknown {
			t.Fatalf("%q: Match is %t, Evaluate %v, %v", expr, e.Match(properties), truth, failure)
		}
		printed := e.String()
		if len(printed) > MaxLength {
			return
		}
		again, err := Compile(printed)
		if err != nil {
			t.Fatalf("%q is printed as %q: %v", expr, printed, err)
		}
		if again.String() != printed || again.Ignored() != "" {
			t.Fatalf("%q is printed as %q, and that as %q, %q", expr, printed, again, again.Ignored())
		}
		if same, sameFailure := again.Evaluate(properties); same != truth || (sameFailure == nil) != (failure == nil) {
			t.Fatalf("%q is %v, %v; printed it is %v, %v", expr, truth, failure, same, sameFailure)
		}
	})
}

// A number is read or refused, and a double that is read is one that Go prints and
// reads.
func FuzzNumber(f *testing.F) {
	for _, s := range someValues {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		narrow, isInteger := javaInteger(s, 32)
		wide, isLong := javaInteger(s, 64)
		if isInteger && (!isLong || narrow != wide || int64(int32(narrow)) != narrow) {
			t.Fatalf("%q is %d, %t in 32 bits, and %d, %t in 64", s, narrow, isInteger, wide, isLong)
		}
		d, ok := javaDouble(s)
		if ok && compareDoubles(d, d) != 0 {
			t.Fatalf("%q is %v, which is unequal to itself", s, d)
		}
		for _, c := range s {
			if c >= 0x80 {
				return // Long.valueOf reads digits of other scripts
			}
		}
		if isLong && (!ok || d != float64(wide)) {
			t.Fatalf("%q is the integer %d and the double %v, %t", s, wide, d, ok)
		}
	})
}
