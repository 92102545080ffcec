package sampletest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
)

// limit bounds a sample, in real time or a bubble's.
const limit = 10 * time.Minute

// Run runs a sample, which must be done without a failure, and returns what it said.
func Run(t testing.TB, client *rocketkit.Client, run sample.Run) []string {
	t.Helper()
	var mu sync.Mutex // guards lines
	var lines []string
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err := run(ctx, client, func(format string, args ...any) {
		line := fmt.Sprintf(format, args...)
		t.Log(line)
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	})
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(lines)
}
