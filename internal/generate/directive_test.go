package generate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParseDirective: what is read without a mistake says the same when each of its values
// is quoted.
func FuzzParseDirective(f *testing.F) {
	for _, text := range []string{
		`listener topic=orders tags="paid || refunded" concurrency=32`, "dlq", "transaction topic=`a b` group=", `listener topic="a"b=c`, "listener =", "listener a=\"\\\"\"\t b=c",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, errs := parseDirective(prefix + text)
		if errs != nil || d.name == "" {
			return
		}
		var again strings.Builder
		again.WriteString(prefix + d.name)
		for _, a := range d.args {
			fmt.Fprintf(&again, " %s=%q", a.key, a.value)
		}
		got, errs := parseDirective(again.String())
		if d := cmp.Diff(d, got, cmp.AllowUnexported(directive{}, arg{})); d != "" || errs != nil {
			t.Errorf("%s: %v\n%s", &again, errs, d)
		}
	})
}
