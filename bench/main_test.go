package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is the child too: spawn starts this test program again.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(childMain(os.Stdin, os.Stdout, os.Stderr))
	}
	// rocketmq-client-go starts it when it is linked, and never ends it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/patrickmn/go-cache.(*janitor).Run"))
}
