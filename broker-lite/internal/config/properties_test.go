package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The expected values are what java.util.Properties of JDK 17 gave for the same
// text.
func TestPropertiesReadAsJavaDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want map[string]string
	}{
		{"a=1\nb:2\nc 3\nd\t4\ne = 5\nf : 6\ng  =  7  \n", map[string]string{"a": "1", "b": "2", "c": "3", "d": "4", "e": "5", "f": "6", "g": "7  "}},
		{"# c\n  ! c\n\n \t\na=1 # not a comment\n#a=2\\\nb=3", map[string]string{"a": "1 # not a comment", "b": "3"}},
		{"a=1,\\\n  2,\\\r\n\t3\nb=4\\", map[string]string{"a": "1,2,3", "b": "4"}},
		{"a=x\\\\\nb=x\\\\\\\n y\n", map[string]string{"a": "x\\", "b": "x\\y"}},
		{"\\:\\=\\ k\\#=v\\n\\t\\r\\f\\\\\\z\\:", map[string]string{":= k#": "v\n\t\r\f\\z:"}},
		{"a==b\nc= =d\ne:=f\n=g\n:h\n", map[string]string{"": "h", "a": "=b", "c": "=d", "e": "=f"}},
		{"u=\\u4e2d\\u6587\\ud83d\\ude00x\n", map[string]string{"u": "中文😀x"}},
		{"a=1\ra2=2\r\na3=3", map[string]string{"a": "1", "a2": "2", "a3": "3"}},
		{"a\\\n  b=c", map[string]string{"ab": "c"}},
		{"path=C:\\\\store\\\\x", map[string]string{"path": `C:\store\x`}},
		{"\\\n#a=b\nc=d", map[string]string{"c": "d"}},
		{"x\\\n", map[string]string{"x": ""}},
		{"\\\n\\\n\nq=1", map[string]string{"q": "1"}},
		{"\f\fa\f=\fb", map[string]string{"a": "b"}},
		{"key\\ with\\ blank value words", map[string]string{"key with blank": "value words"}},
		{"a=1\na=2", map[string]string{"a": "2"}},
		{"a=\xe9", map[string]string{"a": "é"}},
		{"\ufeffa=中", map[string]string{"a": "中"}},
	} {
		props, errs := ParseProperties(c.text)
		if len(errs) > 0 {
			t.Errorf("%q: %v", c.text, errs)
		}
		got := map[string]string{}
		for _, p := range props {
			got[p.Key] = p.Value
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.text, diff)
		}
	}
}

func TestPropertiesNameTheLineWhereAnEntryStarts(t *testing.T) {
	t.Parallel()
	props, errs := ParseProperties("\n# x\na=1\\\n2\\\n3\n\nb=2\nc=\\u12\nd=C:\\users\n")
	want := []Property{{3, "a", "123"}, {7, "b", "2"}}
	if diff := cmp.Diff(want, props); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(errs) != 2 || lineOf(errs[0]) != 8 || lineOf(errs[1]) != 9 {
		t.Fatalf("errors %v, want one on line 8 and one on line 9", errs)
	}
	if !strings.Contains(errs[1].Error(), `\\`) {
		t.Errorf("%q does not say how to write a backslash", errs[1])
	}
}

func FuzzProperties(f *testing.F) {
	f.Add("a=1\n b : \\u4e2d \\\n  x\n#c\n", "brokerName", "a b\\c")
	f.Add("\\\n#a=b\r\r\n\f=", "k", " x")
	f.Add("\xff\\u00", "", "")
	f.Fuzz(func(t *testing.T, text, key, value string) {
		props, errs := ParseProperties(text)
		if got, most := len(props)+len(errs), strings.Count(text, "\n")+strings.Count(text, "\r")+1; got > most {
			t.Fatalf("%d entries out of %d lines", got, most)
		}
		// What EscapeValue writes reads back the same.
		value = strings.ToValidUTF8(value, "")
		props, errs = ParseProperties("key=" + EscapeValue(value) + "\n")
		if len(errs) > 0 || len(props) != 1 || props[0].Value != value {
			t.Fatalf("%q came back as %q, %v", value, props, errs)
		}
	})
}
