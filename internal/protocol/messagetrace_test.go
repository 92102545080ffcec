package protocol

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTraceRecordsAreThoseOfTraceDataEncoder(t *testing.T) {
	t.Parallel()
	eachGolden(t, "trace", "", func(t *testing.T, g *goldenCase) {
		var v struct {
			TraceRecord          // its names are the values'
			TransKeys   []string `json:"transKeys"`
		}
		if err := json.Unmarshal(g.Values, &v); err != nil {
			t.Fatal(err)
		}
		if got := AppendTraceRecord(nil, &v.TraceRecord); string(got) != string(g.data) {
			t.Errorf("written:\n got %q\nJava %q", got, g.data)
		}
		if diff := cmp.Diff([]TraceRecord{v.TraceRecord}, ParseTraceRecords(string(g.data))); diff != "" {
			t.Errorf("read (-Java +ours):\n%s", diff)
		}
		keys := append([]string{v.MsgID}, strings.Fields(v.Keys)...)
		slices.Sort(keys)
		if diff := cmp.Diff(v.TransKeys, keys); diff != "" {
			t.Errorf("keys of the message (-Java +ours):\n%s", diff)
		}
	})
}

func TestOlderAndCutOffTraceRecordsAreRead(t *testing.T) {
	t.Parallel()
	line := func(words ...string) string { return strings.Join(words, "\x01") + "\x02" }
	for name, c := range map[string]struct {
		text string
		want []TraceRecord
	}{
		"a SubAfter without time and group": {
			line("SubAfter", "r1", "ID1", "30", "true", "k", "0"),
			[]TraceRecord{{Type: TraceSubAfter, RequestID: "r1", MsgID: "ID1", Cost: 30, Success: true, Keys: "k"}},
		},
		"a Pub without the offset id": {
			line("Pub", "1", "r", "g", "t", "ID1", "null", "k", "h", "5", "12", "0", "true"),
			[]TraceRecord{{Type: TracePub, Timestamp: 1, Region: "r", Group: "g", Topic: "t", MsgID: "ID1", Keys: "k", StoreHost: "h", BodyLength: 5, Cost: 12, Success: true}},
		},
		"a Pub with the client's host": {
			line("Pub", "1", "r", "g", "t", "ID1", "null", "k", "h", "5", "12", "0", "o", "true", "client"),
			[]TraceRecord{{Type: TracePub, Timestamp: 1, Region: "r", Group: "g", Topic: "t", MsgID: "ID1", Keys: "k", StoreHost: "h", BodyLength: 5, Cost: 12, OffsetMsgID: "o", Success: true}},
		},
		"unknown types":   {line("Future", "1") + line(""), nil},
		"cut off":         {"SubBefore\x01x\x01", []TraceRecord{{Type: TraceSubBefore}}},
		"negative number": {line("SubBefore", "-1", "r", "g", "q", "ID1", "-2"), []TraceRecord{{Type: TraceSubBefore, Region: "r", Group: "g", RequestID: "q", MsgID: "ID1"}}},
		"nothing":         {"", nil},
	} {
		if diff := cmp.Diff(c.want, ParseTraceRecords(c.text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSeparatorsCannotBreakATraceRecord(t *testing.T) {
	t.Parallel()
	r := TraceRecord{Type: TraceSubBefore, Timestamp: 1, Region: "r", Group: "g", RequestID: "q", MsgID: "ID", Keys: "a\x01b\x02SubAfter"}
	text := AppendTraceRecord(AppendTraceRecord(nil, &r), &TraceRecord{Type: "Future"})
	want := r
	want.Keys = "a b SubAfter"
	if diff := cmp.Diff([]TraceRecord{want}, ParseTraceRecords(string(text))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzTraceRecords(f *testing.F) {
	for _, g := range golden(f, "trace", "") {
		f.Add(string(g.data))
	}
	f.Add("SubBefore\x011\x02SubAfter\x02EndTransaction\x01\x02Recall")
	f.Fuzz(func(t *testing.T, text string) {
		records := ParseTraceRecords(text)
		if n := len(records); n > len(text)/3 { // none is shorter than its type
			t.Errorf("%d records of %d bytes", n, len(text))
		}
		for _, r := range records {
			again := ParseTraceRecords(string(AppendTraceRecord(nil, &r)))
			if diff := cmp.Diff([]TraceRecord{r}, again); diff != "" {
				t.Errorf("written and read (-before +after):\n%s", diff)
			}
		}
	})
}
