package clientgo_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/driver/clientgo"
)

const aloneEnv = "ROCKETKIT_TEST_ALONE"

// alone runs the test in a process of its own, and reports whether this is it: for
// what rocketmq-client-go does to a whole process, and leaves running for good.
func alone(t *testing.T) bool {
	t.Helper()
	clientgo.NeedsQuiet(t)
	t.Parallel()
	if os.Getenv(aloneEnv) == t.Name() {
		return true
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), aloneEnv+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}
