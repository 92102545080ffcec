package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/message"
)

func TestWhatIsSentIsConsumed(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	sent := ids(t, c.must("send", "-t", "orders", "--body", "hello", "--tag", "paid", "--key", "1", "--key", "2", "--property", "region=eu", "--property", "eq=a=b"))
	got := received(t, c.must("consume", "-t", "orders", "-g", "look", "--from", "first", "--max", "1", "--json"))[sent[0]]
	if *got.Body != "hello" || got.Tags != "paid" || !slices.Equal(got.Keys, []string{"1", "2"}) || got.Properties["region"] != "eu" || got.Properties["eq"] != "a=b" || got.Topic != "orders" || got.Broker != "broker-a" {
		t.Errorf("%+v", got)
	}
	line := c.must("consume", "-t", "orders", "-g", "look2", "--from", "first", "--max", "1")
	if want := fmt.Sprintf(` queue=broker-a:%d offset=0 msgId=%s tags=paid keys=1,2 reconsumeTimes=0 msg="hello"`+"\n", got.QueueID, sent[0]); !strings.HasSuffix(line, want) || strings.Count(line, "\n") != 1 {
		t.Errorf("%q, want %q at the end", line, want)
	}
}

func TestBodiesComeFromFilesAndLines(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	file := filepath.Join(t.TempDir(), "body")
	binary := "\xff\x00 two\nlines\n"
	if err := os.WriteFile(file, []byte(binary), 0o600); err != nil {
		t.Fatal(err)
	}
	sent := ids(t, c.must("send", "-t", "files", "-f", file))
	got := received(t, c.must("consume", "-t", "files", "-g", "g", "--from", "first", "--max", "1", "--json"))[sent[0]]
	if got.Body != nil || got.BodyBase64 != "/wAgdHdvCmxpbmVzCg==" {
		t.Errorf("%+v", got)
	}
	if line := c.must("consume", "-t", "files", "-g", "g2", "--from", "first", "--max", "1"); !strings.HasSuffix(line, `msg="\xff\x00 two\nlines\n"`+"\n") {
		t.Errorf("%q is not one line", line)
	}

	for _, how := range []string{"sync", "async"} {
		args := []string{"send", "-t", how}
		if how == "async" {
			args = append(args, "--async")
		}
		var out, notes buffer
		if err := c.runWith(t.Context(), strings.NewReader("one\r\n\n two \nthree"), &out, &notes, args...); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(notes.String(), "line 2 is empty and left out") || !strings.Contains(notes.String(), "sent 3 in ") {
			t.Errorf("notes %q", notes.String())
		}
		bodies := []string{}
		for _, v := range received(t, c.must("consume", "-t", how, "-g", "g", "--from", "first", "--max", "3", "--json")) {
			bodies = append(bodies, *v.Body)
		}
		slices.Sort(bodies)
		if diff := cmp.Diff([]string{" two ", "one", "three"}, bodies); diff != "" || len(ids(t, out.String())) != 3 {
			t.Errorf("%s: (-want +got):\n%s%s", how, diff, out.String())
		}
	}
}

func TestManyMessagesAreSentWithProgress(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	for _, args := range [][]string{nil, {"--async"}} {
		o := c.run(append([]string{"send", "-t", "many", "--body", "x", "--count", "500"}, args...)...)
		if o.err != nil || len(ids(t, o.out)) != 500 || !regexp.MustCompile(`^sent 500 of 500 in \S+s, \d+/s\n$`).MatchString(o.notes) {
			t.Errorf("%v: %q, %d results, %v", args, o.notes, len(ids(t, o.out)), o.err)
		}
	}
	if out := c.must("topic", "status", "many"); !strings.Contains(out, "Messages: 1000") {
		t.Error(out)
	}
	// A long one says how far it is.
	cmd := newSend()
	var out, notes buffer
	cmd.SetOut(&out)
	cmd.SetErr(&notes)
	r := newResults(cmd, 3, time.Nanosecond)
	for range 2 {
		r.add(message.SendResult{})
	}
	if err := r.end(context.Canceled); err == nil || err.Error() != "interrupted; sent 2" {
		t.Error(err)
	}
	if got := regexp.MustCompile(`sent \d of 3`).FindAllString(notes.String(), -1); !slices.Equal(got, []string{"sent 1 of 3", "sent 2 of 3", "sent 2 of 3"}) {
		t.Errorf("%q", notes.String())
	}
}

func TestDelayedMessagesComeLater(t *testing.T) {
	t.Parallel()
	clock := brokerlite.NewManualClock(time.Now())
	c, _ := withServer(t, brokerlite.WithClock(clock))
	for _, d := range []string{"3", "10s", "12s"} { // a level, a time that is one, and one by the timer
		c.must("send", "-t", "later", "--body", d, "--delay", d)
	}
	clock.Advance(10 * time.Second)
	first := received(t, c.must("consume", "-t", "later", "-g", "g", "--from", "first", "--max", "2", "--json"))
	if o := c.run("consume", "-t", "later", "-g", "g", "--from", "first", "--max", "1", "--timeout", "1s"); o.err == nil || !strings.Contains(o.err.Error(), "received 0 of 1 messages; no more came for 1s") {
		t.Errorf("%+v", o)
	}
	clock.Advance(2 * time.Second)
	second := received(t, c.must("consume", "-t", "later", "-g", "g", "--from", "first", "--max", "1", "--json"))
	var bodies []string
	for _, vs := range []map[string]view{first, second} {
		for _, v := range vs {
			bodies = append(bodies, *v.Body)
		}
	}
	slices.Sort(bodies[:2])
	if diff := cmp.Diff([]string{"10s", "3", "12s"}, bodies); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is printed is acknowledged, and nothing else: a group that is looked at in
// portions shows every message once.
func TestAGroupGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	sent := ids(t, c.must("send", "-t", "orders", "--body", "x", "--count", "20"))
	seen := map[string]int{}
	for range 4 {
		for id, v := range received(t, c.must("consume", "-t", "orders", "-g", "g", "--from", "first", "--max", "5", "--json")) {
			seen[id]++
			if v.ReconsumeTimes != 0 {
				t.Errorf("%+v was retried", v)
			}
		}
	}
	for _, id := range sent {
		if seen[id] != 1 {
			t.Errorf("%s was printed %d times", id, seen[id])
		}
	}
	if out := c.must("consume", "-t", "orders", "-g", "g", "--from", "first", "--timeout", "500ms"); out != "" {
		t.Errorf("there was more: %s", out)
	}
}

func TestConsumeFiltersByTag(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	for _, tag := range []string{"paid", "refunded", "closed"} {
		c.must("send", "-t", "orders", "--body", tag, "--tag", tag)
	}
	var got []string
	for _, v := range received(t, c.must("consume", "-t", "orders", "-g", "g", "--from", "first", "--tag", "paid || closed", "--json", "--timeout", "1s")) {
		got = append(got, v.Tags)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"closed", "paid"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestConsumeWaitsForItsTopicAndEndsOnCtrlC(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var notes buffer
	lines, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- c.runWith(ctx, strings.NewReader(""), w, &notes, "consume", "-t", "orders", "-g", "g")
		_ = w.Close()
	}()
	c.must("topic", "list")
	c.must("send", "-t", "orders", "--body", "first")
	b := make([]byte, 4096)
	n, err := lines.Read(b)
	if err != nil || !strings.Contains(string(b[:n]), `msg="first"`) {
		t.Fatalf("%q, %v", b[:n], err)
	}
	begun := time.Now()
	stop()
	if err := <-ended; err != nil || time.Since(begun) > 3*time.Second {
		t.Errorf("ended after %v: %v", time.Since(begun), err)
	}
}

// refusing is an output that fails, as that of a pipe does whose reader has gone.
type refusing struct{}

var errRefusing = errors.New("broken pipe")

func (refusing) Write([]byte) (int, error) { return 0, errRefusing }

func TestWhatCannotBePrintedIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	c.must("send", "-t", "orders", "--body", "x")
	if err := c.runWith(t.Context(), strings.NewReader(""), refusing{}, io.Discard, "consume", "-t", "orders", "-g", "g", "--from", "first"); !errors.Is(err, errRefusing) {
		t.Errorf("consume: %v", err)
	}
	if out := c.must("consume", "-t", "orders", "-g", "g", "--from", "first", "--max", "1"); !strings.Contains(out, "reconsumeTimes=0") {
		t.Error(out)
	}
	if err := c.runWith(t.Context(), strings.NewReader(""), refusing{}, io.Discard, "send", "-t", "orders", "--body", "x"); !errors.Is(err, errRefusing) {
		t.Errorf("send: %v", err)
	}
}

func TestTheFirstFailureEndsASending(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--async"}} {
		c, b := withServer(t)
		c.must("topic", "create", "orders")
		passed := 0
		b.Intercept(func(q brokerlite.Request) (brokerlite.Reaction, bool) {
			if q.Code != 310 {
				return brokerlite.Reaction{}, false
			}
			passed++ // all by one connection's reader
			return brokerlite.Answer(13, "no more"), passed > 5
		})
		o := c.run(append([]string{"send", "-t", "orders", "--body", "x", "--count", "100000"}, args...)...)
		if o.err == nil || !strings.Contains(o.err.Error(), "MESSAGE_ILLEGAL") || !strings.Contains(o.err.Error(), "no more") || len(ids(t, o.out)) != 5 || !strings.Contains(o.notes, "sent 5 of 100000") {
			t.Errorf("%v: %v, %q", args, o.err, o.notes)
		}
	}
}

func TestCtrlCInterruptsASending(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	for _, args := range [][]string{nil, {"--async"}} {
		ctx, stop := context.WithCancel(t.Context())
		in, w := io.Pipe()
		out, outW := io.Pipe()
		ended := make(chan error, 1)
		var notes buffer
		go func() {
			ended <- c.runWith(ctx, in, outW, &notes, append([]string{"send", "-t", "orders"}, args...)...)
		}()
		if _, err := fmt.Fprintln(w, "first"); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 4096)); err != nil { // its result comes before the next line
			t.Fatal(err)
		}
		stop()
		if err := <-ended; err == nil || err.Error() != "interrupted; sent 1" {
			t.Errorf("%v: %v", args, err)
		}
		_ = w.Close() // lets go of who reads
	}
}
