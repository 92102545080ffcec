package load_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/rocketkit/rocketkit/config/load"
)

func TestPropertiesAreReadAsJavaReadsThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"producer.group=a":                     "a",
		"  producer.group = a b ":              "a b ",
		"producer.group:a":                     "a",
		"producer.group a=b":                   "a=b",
		"producer.group\t=\ta":                 "a",
		"producer.group=a\\\n   b":             "ab",
		"producer.group=a\\\\\nx.y=ignored":    "", // an even number does not continue: x.y is unknown
		"producer.group=\\u8ba2\\u5355":        "订单",
		"producer.group=\\uD83D\\ude80\\u0041": "🚀A",
		"producer.group=\\uD83D\\u0041":        "\ufffdA",
		"producer.group=\\ud83d\\x":            "\ufffdx",
		"producer.group=\\t\\n\\r\\f\\=\\:":    "\t\n\r\f=:",
		"producer.gr\\oup=a":                   "a",
		"# c\r\n!c\r\nproducer.group=a\r\n":    "a",
		"producer.group=a\\":                   "a",
		"producer.group=1\nproducer.group=2":   "2",
		"producer.group=\\u12":                 "",
		"producer.group=\\uzzzz":               "",
	} {
		got, err := load.Load(load.Data("test", "properties", []byte(text)), load.Environ(nil))
		if (err == nil) != (want != "") || err == nil && got.Producer.Group != want {
			t.Errorf("%q: %q, %v", text, got.Producer.Group, err)
		}
	}
}

// Every text comes back as Java's Properties.store writes it.
func FuzzPropertiesRoundTrip(f *testing.F) {
	for _, s := range []string{"a", " a\t=:b\\", "#订单\n!", "🚀", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if s == "" || !utf8.ValidString(s) || strings.Contains(s, "${") {
			t.Skip("is no value")
		}
		text := "producer.group="
		for _, u := range utf16.Encode([]rune(s)) {
			if u < '0' || u > 'z' || u == '\\' {
				text += fmt.Sprintf("\\u%04X", u)
				continue
			}
			text += string(rune(u))
		}
		got, err := load.Load(load.Data("fuzz", "properties", []byte(text)), load.Environ(nil))
		if err != nil || got.Producer.Group != s {
			t.Errorf("%q as %q: %q, %v", s, text, got.Producer.Group, err)
		}
	})
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte(fullProperties))
	f.Add([]byte("a\\"))
	f.Add([]byte("a=\\u12"))
	f.Add([]byte("consumers[999999999].group=x"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = load.Load(load.Data("fuzz", "properties", data), load.Environ(nil))
	})
}
