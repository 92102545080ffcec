package apache

import (
	"encoding/binary"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestResultLinesAreFoundAmongOthers(t *testing.T) {
	t.Parallel()
	got := parseResults("PASS send-sync\n2026 WARN PASS nothing\nFAIL retry: no delivery: 2 so far\r\n\nSKIP timer: 4.9\nPASSED x\n")
	want := []CaseResult{
		{Name: "send-sync", Outcome: Pass},
		{Name: "retry", Outcome: Fail, Why: "no delivery: 2 so far"},
		{Name: "timer", Outcome: Skip, Why: "4.9"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got)\n%s", diff)
	}
}

func TestOutputsOfCommandsAreApart(t *testing.T) {
	t.Parallel()
	got, err := parseAdmin("ok 12 =YQo= =\nlate 0 = =eA==\nrefused 0 = =\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []AdminOutput{{Out: "a\n", Took: 12 * time.Millisecond}, {Err: "x", Late: true}, {Refused: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outputs (-want +got)\n%s", diff)
	}
	for _, text := range []string{"ok 1 =YQ==\n", "ok 1 =!! =\n", "ok x = =\n"} {
		if _, err := parseAdmin(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestTakenPortIsNotFree(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, text, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	if free(port) {
		t.Errorf("port %d is in use and called free", port)
	}
	nameServer, broker, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []int{nameServer, broker - 2, broker, broker + 1} {
		if p < 20000 || p >= 32006 {
			t.Errorf("port %d is outside of the range", p)
		}
	}
	if d := broker - 2 - nameServer; d <= 0 {
		t.Errorf("the VIP port is %d above the name server's", d)
	}
}

func TestVersionsAreNoPaths(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"", "../5.4.0", "a/b", `a\b`} {
		if dir, err := cacheDir(version); err == nil {
			t.Errorf("version %q has the cache directory %s", version, dir)
		}
	}
}

func FuzzReadBody(f *testing.F) {
	frame := func(header, body string) string {
		b := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)+len(body)))
		return string(binary.BigEndian.AppendUint32(b, uint32(len(header)))) + header + body
	}
	f.Add(frame(`{"code":0}`, `{"brokerAddrTable":{}}`))
	f.Add(frame("", ""))
	f.Add("\xff\xff\xff\xff")
	f.Add("\x00\x00\x00\x04\x00\xff\xff\xff")
	f.Fuzz(func(t *testing.T, in string) {
		body, err := readBody(strings.NewReader(in))
		if err == nil && !strings.HasSuffix(in[:4+binary.BigEndian.Uint32([]byte(in))], body) {
			t.Errorf("the body %q is not the end of the frame %q", body, in)
		}
	})
}
