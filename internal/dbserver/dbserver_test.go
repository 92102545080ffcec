package dbserver_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/internal/dbserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The tests in outbox and dedup/sql use what a run of tests has started; this is about
// how servers end.
func TestAServerLeavesNothingBehind(t *testing.T) {
	for _, k := range dbserver.Kinds() {
		t.Run(k.Variable, func(t *testing.T) {
			if os.Getenv(k.Variable) == "" {
				t.Skip(dbserver.LeftOut(k.Variable))
			}
			temp := t.TempDir()
			if err := os.Chmod(filepath.Dir(temp), 0o711); err != nil { // for nobody
				t.Fatal(err)
			}
			t.Setenv("TMPDIR", temp)
			s, err := k.Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if left, err := filepath.Glob(filepath.Join(temp, "*", "data", "*")); err != nil || len(left) == 0 || !strings.Contains(s.DSN, temp) {
				t.Errorf("no data in %s (%v), of which it says %s", temp, err, s.DSN)
			}
			for range 2 {
				if err := s.Stop(); err != nil {
					t.Error(err)
				}
			}
			cancelled, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := k.Start(cancelled); !errors.Is(err, context.Canceled) {
				t.Errorf("started although its context is over: %v", err)
			}
			cache := t.TempDir()
			t.Setenv("XDG_CACHE_HOME", cache)
			if err := os.MkdirAll(filepath.Join(cache, "rocketkit", k.Folder(), "bin"), 0o755); err != nil {
				t.Fatal(err)
			}
			if _, err := k.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "binaries are in "+cache) {
				t.Errorf("of binaries that are gone: %v", err)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
		})
	}
}

func TestWithoutMavenNothingStarts(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, k := range dbserver.Kinds() {
		if _, err := k.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "java is not on the PATH") {
			t.Errorf("%s: %v", k.Variable, err)
		}
	}
}
