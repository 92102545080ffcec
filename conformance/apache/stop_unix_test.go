//go:build unix

package apache_test

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/conformance/apache"
)

func TestStopLeavesNoProcessBehind(t *testing.T) {
	versions(t, func(t *testing.T, version string) {
		server := apache.StartFor(t, apache.Options{Version: version})
		t.Logf("Apache RocketMQ %s was ready after %s", version, server.StartTook().Round(time.Millisecond))
		pids := server.PIDs()
		if len(pids) != 2 {
			t.Fatalf("%d processes, want a name server and a broker", len(pids))
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, 0); err != nil {
				t.Errorf("process %d while the server runs: %v", pid, err)
			}
		}
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d after Stop: %v, want it gone", pid, err)
			}
		}
		if _, err := os.Stat(server.Dir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the temporary directory %s is still there (%v)", server.Dir(), err)
		}
	})
}
