package rocketkittest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/message"
)

// updateVariable is the environment variable that has Golden write its files.
const updateVariable = "ROCKETKIT_UPDATE"

// Golden compares a message, before it is sent or as it was received, with
// testdata/<name>.golden: the topic, the tag, the keys, the sharding key, the delay of one that
// is to be sent, the user's properties, and the body, JSON with indents. What differs from run
// to run is left out: ids, times, hosts, and the context of a trace.
//
// The file is written instead where the environment has ROCKETKIT_UPDATE=1, or where the test's
// package has a flag of the name update that is set:
//
//	var _ = flag.Bool("update", false, "write testdata")
func Golden[M *message.Message | *message.Delivery](t testing.TB, name string, m M) {
	t.Helper()
	var got string
	switch m := any(m).(type) {
	case *message.Message:
		got = goldenMessage(m)
	case *message.Delivery:
		got = golden(m.OriginTopic(), m.Tag, m.Keys(), m.ShardingKey(), "", usersOwn(m.Properties()), m.Body)
	}
	path := filepath.Join("testdata", name+".golden")
	if updating() {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with %s=1", err, updateVariable)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Fatalf("the message differs from %s (-want +got); if it is right, write it with %s=1:\n%s", path, updateVariable, diff)
	}
}

func updating() bool {
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		return true
	}
	return os.Getenv(updateVariable) == "1"
}

func goldenMessage(m *message.Message) string {
	delay := ""
	switch {
	case m.Delay.Level > 0:
		delay = fmt.Sprintf("level %d", m.Delay.Level)
	case m.Delay.After > 0:
		delay = m.Delay.After.String()
	case !m.Delay.At.IsZero():
		delay = "to a moment"
	}
	return golden(m.Topic, m.Tag, m.Keys, m.ShardingKey, delay, usersOwn(func(yield func(string, string) bool) {
		for k, v := range m.Properties {
			if !yield(k, v) {
				return
			}
		}
	}), m.Body)
}

// usersOwn are the properties that the user has set, sorted.
func usersOwn(all iter.Seq2[string, string]) []string {
	var own []string
	for k, v := range all {
		if message.CheckProperty(k, v) != nil || strings.HasPrefix(k, "TIMER_") ||
			slices.Contains([]string{"CLUSTER", "INSTANCE_ID", "traceparent", "tracestate", "baggage"}, k) {
			continue
		}
		own = append(own, k+"="+v)
	}
	slices.Sort(own)
	return own
}

func golden(topic, tag string, keys []string, sharding, delay string, properties []string, body []byte) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	line("topic", topic)
	line("tag", tag)
	line("keys", strings.Join(keys, " "))
	line("sharding key", sharding)
	line("delay", delay)
	for _, p := range properties {
		line("property", p)
	}
	var indented bytes.Buffer
	switch {
	case json.Indent(&indented, body, "", "  ") == nil:
		body = indented.Bytes()
	case bytes.ContainsFunc(body, func(r rune) bool { return r == 0 || r == '\uFFFD' }):
		body = fmt.Appendf(nil, "%x", body)
	}
	fmt.Fprintf(&b, "\n%s\n", body)
	return b.String()
}
