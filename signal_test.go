package rocketkit_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
)

// signalled is set in the process that TestASecondSignalEndsAtOnce starts.
const signalled = "ROCKETKIT_TEST_SIGNALLED"

// slow is a Runner that tells what happens to it, and drains for as long as it is said.
type slow time.Duration

func (slow) Start(context.Context) error {
	fmt.Println("started")
	return nil
}

func (s slow) Drain(ctx context.Context) error {
	fmt.Println("draining")
	select {
	case <-time.After(time.Duration(s)):
		fmt.Println("drained")
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The test starts this test in a process of its own, to which it sends signals.
func TestASignalDrainsAndASecondEndsAtOnce(t *testing.T) {
	if takes, err := time.ParseDuration(os.Getenv(signalled)); err == nil {
		if err := rocketkit.RunUntilSignal(context.Background(), slow(takes)); err != nil {
			t.Error(err)
		}
		return
	}
	t.Parallel()
	for name, tc := range map[string]struct {
		drain  string
		second bool
	}{"one signal": {"1ms", false}, "two": {"20s", true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestASignalDrainsAndASecondEndsAtOnce$")
			cmd.Env = append(os.Environ(), signalled+"="+tc.drain)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines, last := bufio.NewScanner(out), ""
			for lines.Scan() {
				switch lines.Text() {
				case "started":
					err = cmd.Process.Signal(syscall.SIGTERM)
				case "draining":
					if tc.second {
						err = cmd.Process.Signal(syscall.SIGINT)
					}
				case "drained":
					last = "drained"
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			err = cmd.Wait()
			var exit *exec.ExitError
			if !tc.second && (err != nil || last != "drained") {
				t.Errorf("it ended with %v after %q", err, last)
			}
			if tc.second && (!errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT || last != "") {
				t.Errorf("it ended with %v after %q", err, last)
			}
		})
	}
}
