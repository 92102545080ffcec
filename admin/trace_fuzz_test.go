package admin

import "testing"

func FuzzTraceEvents(f *testing.F) {
	f.Add("Pub\x011000\x01r\x01g\x01t\x01id\x01tag\x01k\x01h\x015\x0112\x010\x01o\x01true\x02")
	f.Add("SubBefore\x011\x02SubAfter\x02EndTransaction\x01\x02Recall")
	f.Fuzz(func(t *testing.T, text string) {
		if n := len(traceEvents(text)); n > len(text)/3 { // no event is shorter than its type
			t.Errorf("%d events of %d bytes", n, len(text))
		}
	})
}
