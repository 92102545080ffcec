package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/conformance/apache"
)

// condition is one thing that a reader of the results must know.
type condition struct {
	What string `json:"what"`
	Is   string `json:"is"`
}

// conditions are those of this machine and these options.
func (o *options) conditions(ctx context.Context) []condition {
	on := fmt.Sprintf("%s, %d CPUs", machine(), runtime.NumCPU())
	if mib := memoryMiB(); mib > 0 {
		on += fmt.Sprintf(", %.0f GiB of memory", float64(mib)/1024)
	}
	out := []condition{
		{"machine", on + "; clients and server share it, over loopback"},
		{"rocketkit", "this repository, " + runtime.Version()},
		{"rocketmq-client-go", linked("github.com/apache/rocketmq-client-go/v2")},
	}
	if slices.Contains(o.servers, apacheName) {
		out = append(out, condition{"Apache RocketMQ", fmt.Sprintf("%s, %s, its defaults and a heap of %s", apache.V5, javaVersion(ctx), apacheHeap)})
	}
	return append(out,
		condition{"flush mode", "asynchronous, on both servers (flushDiskType=ASYNC_FLUSH)"},
		condition{"messages", fmt.Sprintf("bodies of %d bytes, neither tags nor keys, topics with %d queues", o.body, topicQueues)},
		condition{"rounds", fmt.Sprintf("%d, each of all cells; a cell is %v after a warm-up of %v, and Apache's JVM had %v of load before the first", o.rounds, o.seconds, o.warm, o.apacheWarm)},
	)
}

// linked is the version of a module in this program.
func linked(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == path {
				return dep.Version
			}
		}
	}
	return "version unknown"
}

// javaVersion is the first line in which java names itself.
func javaVersion(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "java", "-version").CombinedOutput()
	if err != nil {
		return "Java of an unknown version"
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(first)
}

func printConditions(w io.Writer, r *results) {
	fmt.Fprintf(w, "Measured on %s.\n\n", r.Date.Format("2006-01-02"))
	tb := table{{"", "what it was measured with"}}
	for _, c := range r.Conditions {
		tb = append(tb, []string{c.What, c.Is})
	}
	tb.print(w)
}
