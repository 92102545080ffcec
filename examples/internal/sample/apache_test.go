package sample_test

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/conformance/apache"
)

// samples are the programs that end by themselves, and what each says at last, as a
// regular expression.
var samples = map[string]string{
	"broadcast":     `server-[12]: (log-level=debug|rate-limit=100)\n$`,
	"filters":       `(careful_group: (passport|vase)|heavy_group: (piano|vase))\n$`,
	"logs":          `received 100 lines of ERROR\nreceived 900 lines of INFO\n$`,
	"ordered":       `order [ABC]: delivered\n$`,
	"outbox":        `shipping: order-[134]\n$`,
	"pull":          `FOUND, (.|\n)+ NO_MATCHED_MSG, (.|\n)+ OFFSET_ILLEGAL, .*\n$`,
	"query":         `by id: .*\n(by key: .*\n){10}$`,
	"quickstart":    `Received: "Hello RocketMQ", .*\n$`,
	"replay":        `back to the release\n(handled: payment-[6-9]\n){4}$`,
	"request-reply": `answer: apple costs 0.40\n(.|\n)*answer: pear costs 0.55\n(.|\n)*no answer for unicorn within 5 seconds; .*\n$`,
	"retry-dlq":     `1 of 1 dead letters were sent back\n$`,
	"tracing":       `all spans have the trace .*\n$`,
	"transaction":   `RocketMQ asks about order-[34]: (.|\n)*\n$`,
}

// built builds the samples as users do, and returns their folder.
func built(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"build", "-ldflags=-s -w", "-o", dir}
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		args = append(args, "../../"+name)
	}
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// said is what a sample has said until it ended.
type said struct {
	stdout, stderr string
	err            error
	took           time.Duration
}

// runAll runs samples on a cluster, all at the same time.
func runAll(t *testing.T, dir, nameServer string, names []string) map[string]said {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	type ended struct {
		name string
		said said
	}
	ends := make(chan ended, len(names))
	for _, name := range names {
		go func() {
			cmd := exec.CommandContext(ctx, filepath.Join(dir, name))
			cmd.Env = append(os.Environ(), "NAMESRV_ADDR="+nameServer)
			var out, errs strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &errs
			begun := time.Now()
			err := cmd.Run()
			ends <- ended{name, said{out.String(), errs.String(), err, time.Since(begun).Round(time.Millisecond)}}
		}()
	}
	all := map[string]said{}
	for range names {
		e := <-ends
		all[e.name] = e.said
	}
	return all
}

// Every sample runs on a cluster, too, and again where it has run before.
func TestEverySampleRunsOnApacheRocketMQ(t *testing.T) {
	t.Parallel()
	apache.Require(t)
	dir := built(t)
	for _, version := range []string{apache.V5, apache.V4} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			// Apache asks about transactions every 30 or 60 seconds by default.
			nameServer := apache.StartFor(t, apache.Options{Version: version, TransactionCheck: 2 * time.Second}).NameServer()
			times := []string{"first"}
			if version == apache.V4 { // 5.x takes 20 seconds to move a group back
				times = append(times, "second")
			}
			for _, which := range times {
				for name, got := range runAll(t, dir, nameServer, slices.Collect(maps.Keys(samples))) {
					if got.err != nil || !regexp.MustCompile(samples[name]).MatchString(got.stdout) {
						t.Errorf("%s, the %s time, after %s: %v\n%s\n%s", name, which, got.took, got.err, got.stderr, got.stdout)
					}
				}
			}
		})
	}
}
