package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
)

// patient bounds every wait for something that takes an instant.
const patient = 30 * time.Second

// cli runs commands in this process.
type cli struct {
	t          *testing.T
	nameServer string
}

// withServer starts a server for a test's commands.
func withServer(t *testing.T, opts ...brokerlite.Option) (cli, *brokerlite.Broker) {
	t.Helper()
	b, err := brokerlite.Start(t.Context(), append(opts, brokerlite.InMemory())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return cli{t, b.NameServer()}, b
}

// outcome is what a command printed and how it ended.
type outcome struct {
	out, notes string
	err        error
}

// buffer may be read while it is written to.
type buffer struct {
	mu sync.Mutex // guards the following
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// runWith runs a command with an input, until ctx ends.
func (c cli) runWith(ctx context.Context, in io.Reader, out, notes io.Writer, args ...string) error {
	root := newRoot()
	root.SetArgs(append(args, "-n", c.nameServer))
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(notes)
	return root.ExecuteContext(ctx)
}

// run runs a command to its end.
func (c cli) run(args ...string) outcome {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patient)
	defer cancel()
	var out, notes buffer
	err := c.runWith(ctx, strings.NewReader(""), &out, &notes, args...)
	return outcome{out.String(), notes.String(), err}
}

// must runs a command that has to succeed, and returns what it printed.
func (c cli) must(args ...string) string {
	c.t.Helper()
	o := c.run(args...)
	if o.err != nil {
		c.t.Fatalf("rocketkit %q: %v\n%s%s", args, o.err, o.out, o.notes)
	}
	return o.out
}

var sendResult = regexp.MustCompile(`^SendResult \[sendStatus=SEND_OK, msgId=(\w{32}), offsetMsgId=\w{32}, messageQueue=MessageQueue \[topic=(\S+), brokerName=broker-a, queueId=\d+\], queueOffset=\d+\]$`)

// ids are those in the result lines; every line must be one.
func ids(t *testing.T, out string) []string {
	t.Helper()
	var found []string
	for line := range strings.Lines(out) {
		m := sendResult.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			t.Fatalf("%q is no result", line)
		}
		found = append(found, m[1])
	}
	return found
}

// received reads the lines of "consume --json".
func received(t *testing.T, out string) map[string]view {
	t.Helper()
	vs := map[string]view{}
	for line := range strings.Lines(out) {
		var v view
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		vs[v.MsgID] = v
	}
	return vs
}
