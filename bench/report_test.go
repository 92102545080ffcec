package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func rated(perSecond float64) sample { return sample{Messages: int64(perSecond), Seconds: 1} }

func TestMedianAndRange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   []float64
		want spread
	}{
		{nil, spread{}},
		{[]float64{3}, spread{1, 3, 3, 3}},
		{[]float64{9, 1, 4}, spread{3, 4, 1, 9}},
		{[]float64{4, 1, 2, 9}, spread{4, 3, 1, 9}},
	} {
		if diff := cmp.Diff(c.want, spreadOf(c.in)); diff != "" {
			t.Errorf("%v (-want +got)\n%s", c.in, diff)
		}
	}
}

func TestPercentiles(t *testing.T) {
	t.Parallel()
	var v []time.Duration
	for i := range 200 {
		v = append(v, time.Duration(i))
	}
	if p50, p99 := percentile(v, 50), percentile(v, 99); p50 != 100 || p99 != 198 {
		t.Errorf("p50 %d, p99 %d", p50, p99)
	}
	if got := percentile(v[:1], 99); got != 0 {
		t.Errorf("p99 of one is %d", got)
	}
}

func TestRoundsGoThereAndBack(t *testing.T) {
	t.Parallel()
	there := cells([]string{rowSync, rowLatency}, allClients(), allServers(), 0)
	back := cells([]string{rowSync, rowLatency}, allClients(), allServers(), 1)
	if len(there) != 10 { // client-go does not run embedded
		t.Fatalf("%d cells: %v", len(there), there)
	}
	slices.Reverse(there[:5])
	slices.Reverse(there[5:])
	if diff := cmp.Diff(there, back); diff != "" {
		t.Errorf("the second round (-want +got)\n%s", diff)
	}
}

// full is a result in which everything holds exactly, by ours against 1000.
func full(ours float64) *results {
	r := &results{Startup: &startup{ReadyMs: []float64{100}, ResidentMB: []float64{40}}}
	for _, row := range allRows() {
		their, our := rated(1000), rated(ours*1000)
		their.P50, their.P99, our.P50, our.P99 = 100, 200, 100/ours, 200/ours
		r.add(cell{row, clientGoName, apacheName}, their)
		r.add(cell{row, nativeName, apacheName}, our)
		r.add(cell{row, nativeName, brokerLite}, rated(5000*ours))
	}
	return r
}

func TestFloorHoldsAndBreaks(t *testing.T) {
	t.Parallel()
	if checks := floor(full(1)); broken(checks) || len(checks) != 12 {
		t.Errorf("%d checks, %+v", len(checks), checks)
	}
	checks := floor(full(0.99))
	var failed []string
	for _, c := range checks {
		if !c.Held {
			failed = append(failed, c.What)
		}
	}
	// Consuming 4.95 times as fast holds 2, and starting does not depend on it.
	if len(failed) != 9 || !broken(checks) {
		t.Errorf("broken: %q", failed)
	}
	slow := full(1)
	slow.Startup.ReadyMs = []float64{90, 100.1, 200}
	if !broken(floor(slow)) {
		t.Error("a start of 100.1 ms holds")
	}
	fat := full(1)
	fat.Startup.ResidentMB = []float64{40.1}
	if !broken(floor(fat)) {
		t.Error("40.1 MiB hold")
	}
}

func TestWhatWasLeftOutBreaksNothingAndIsListed(t *testing.T) {
	t.Parallel()
	r := new(results)
	r.add(cell{rowSync, nativeName, brokerLite}, rated(1))
	r.Floor = floor(r)
	if broken(r.Floor) {
		t.Errorf("%+v", r.Floor)
	}
	var out bytes.Buffer
	printTables(&out, r)
	if n := strings.Count(out.String(), "left out"); n != 12 {
		t.Errorf("%d lines are left out:\n%s", n, &out)
	}
}

func TestCrashesAreShownAndNotAveraged(t *testing.T) {
	t.Parallel()
	c := cell{rowAsync, clientGoName, apacheName}
	r := new(results)
	r.add(c, sample{Crash: "panic: nil pointer"})
	r.add(cell{rowAsync, nativeName, apacheName}, rated(2000))
	if checks := floor(r); !broken(checks) || !strings.Contains(checks[1].Got, "client-go crashed in all rounds") {
		t.Errorf("%+v", checks[1])
	}
	r.add(c, rated(1000))
	r.Floor = floor(r)
	if got := r.Floor[1]; !got.Held || got.Got != "2.00" {
		t.Errorf("%+v", got)
	}
	var out bytes.Buffer
	printTables(&out, r)
	for _, want := range []string{"crashed in 1 of 2 rounds (panic: nil pointer)", "1,000 (1,000–1,000)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestRemarksTellWhatFailedAndWhatWasLost(t *testing.T) {
	t.Parallel()
	c := cellResult{Samples: []sample{{Messages: 900, Lost: 100, Failed: 2, FirstErr: "a|b"}, {Messages: 1000}}}
	if got, want := c.remarks(), `2 failed; 100 of 2,000 lost; first error: a\|b`; got != want {
		t.Errorf("remarks %q, want %q", got, want)
	}
}

func TestNumbersHaveCommas(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567.6: "1,234,568", -1234: "-1,234"} {
		if got := thousands(v, 0); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
	if got := thousands(12345.67, 1); got != "12,345.7" {
		t.Errorf("with a decimal: %q", got)
	}
}

func TestLatencyThatWasNotMeasuredBreaksTheFloor(t *testing.T) {
	t.Parallel()
	r := full(1)
	r.find(cell{rowLatency, nativeName, apacheName}).Samples[0].P99 = 0
	for _, c := range floor(r) {
		if wrong := c.What == "latency p99: native on apache to client-go on apache"; c.Held == wrong {
			t.Errorf("%+v", c)
		}
	}
}

func TestQuickIsShortButForWhatIsGiven(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"-quick", "-seconds", "7"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.rounds != 1 || o.seconds != 7*time.Second || o.apacheWarm != 6*time.Second || o.startups >= startups {
		t.Errorf("options %+v", o)
	}
}

func TestResultsReplaceTheMarkedPartOfADocument(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bench.md")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# Before\n" + docBegin + "old\n" + docEnd + "after\n")
	d, err := readDocument(path)
	if err != nil {
		t.Fatal(err)
	}
	r := full(1)
	r.Conditions = []condition{{"flush mode", "asynchronous"}}
	r.Floor = floor(r)
	if err := d.write(r); err != nil {
		t.Fatal(err)
	}
	var tables bytes.Buffer
	printTables(&tables, r)
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("# Before\n"+docBegin+"\n"+tables.String()+docEnd+"after\n", string(got)); diff != "" {
		t.Errorf("document (-want +got)\n%s", diff)
	}
	if !strings.Contains(tables.String(), "asynchronous") {
		t.Errorf("the conditions are missing:\n%s", &tables)
	}
	for _, text := range []string{"", docBegin, docEnd + docBegin} {
		write(text)
		if _, err := readDocument(path); err == nil {
			t.Errorf("%q is taken for a document", text)
		}
	}
}

func TestProgressTellsWhatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &progress{Writer: &out}
		p.begin(4)
		<-time.After(10 * time.Second)
		s := rated(1000)
		p.cell(cell{rowSync, nativeName, brokerLite}, &s)
		if want := "1 of 4, 30s left: sync     native     broker-lite "; !strings.HasPrefix(out.String(), want) {
			t.Errorf("got %q, want %q…", &out, want)
		}
	})
}

func TestFlagsAreChecked(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"-servers", "embedded,broker-lite", "-seconds", "0.5"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{brokerLite, embedded}, o.servers); diff != "" || o.seconds != 500*time.Millisecond {
		t.Errorf("servers (-want +got)\n%s, %v", diff, o.seconds)
	}
	for _, args := range [][]string{{"-rows", "sync,quick"}, {"-clients", ""}, {"-rounds", "0"}, {"-seconds", "0"}, {"-body", "0"}, {"x"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}
