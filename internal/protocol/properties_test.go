package protocol

import (
	"testing"
)

func TestPropertiesAreJoinedWhateverTheyEndWith(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":             "TAGS\x01a\x02",
		"K\x01v":       "K\x01v\x02TAGS\x01a\x02", // 4.9 leaves out the last separator
		"K\x01v\x02":   "K\x01v\x02TAGS\x01a\x02",
		"TAGS\x01b":    "TAGS\x01b\x02TAGS\x01a\x02",
		"\x02":         "\x02TAGS\x01a\x02",
		"novalue\x02":  "novalue\x02TAGS\x01a\x02",
		"K\x01v\x02\n": "K\x01v\x02\n\x02TAGS\x01a\x02",
	} {
		got := AppendProperty([]byte(in), PropTags, "a")
		if string(got) != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
		if v, ok := Property(got, PropTags); !ok || v != "a" {
			t.Errorf("%q: tags are %q", got, v)
		}
	}
	if got := AppendProperty(AppendProperty(nil, "", "v"), "k", ""); len(got) != 0 {
		t.Errorf("empty entries became %q", got)
	}
}

func TestSettingAPropertyReplacesItInACopy(t *testing.T) {
	t.Parallel()
	props := []byte("DELAY\x013\x02TAGS\x01a\x02DELAY\x014\x02")
	before := string(props)
	if got := string(SetProperty(props, PropDelayLevel, "5")); got != "TAGS\x01a\x02DELAY\x015\x02" {
		t.Errorf("got %q", got)
	}
	if got := string(SetProperty(props, PropDelayLevel, "")); got != "TAGS\x01a\x02" {
		t.Errorf("emptied: %q", got)
	}
	if got := string(RemoveProperty(nil, props, PropDelayLevel, PropTags)); got != "" {
		t.Errorf("without both: %q", got)
	}
	if string(props) != before {
		t.Errorf("the input became %q", props)
	}
	if v, ok := Property(props, PropDelayLevel); !ok || v != "4" {
		t.Errorf("the last of two is %q", v)
	}
	if v, ok := Property(props, "none"); ok || v != "" {
		t.Errorf("a missing one is %q, %t", v, ok)
	}
}

func TestIterationOverPropertiesStops(t *testing.T) {
	t.Parallel()
	for k := range EachProperty("a\x01b\x02c\x01d\x02") {
		if k != "a" {
			t.Errorf("went on to %q", k)
		}
		break
	}
}
