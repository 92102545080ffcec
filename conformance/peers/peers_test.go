package peers_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/conformance/peers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The program itself is in order when its cases pass where the judge is Apache.
func TestClientGoPassesOnApache(t *testing.T) {
	server := apache.StartFor(t, apache.Options{TransactionCheck: time.Second})
	for i, version := range peers.ClientGoVersions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			began := time.Now()
			results, err := peers.ClientGo(ctx, version, server.NameServer(), fmt.Sprintf("peer%d", i))
			if err != nil {
				t.Fatal(err)
			}
			passed := 0
			for _, r := range results {
				switch r.Outcome {
				case apache.Pass:
					passed++
				case apache.Fail:
					t.Errorf("%s: %s", r.Name, r.Why)
				case apache.Skip:
					t.Logf("left out: %s: %s", r.Name, r.Why)
				}
			}
			if passed < 20 && !t.Failed() {
				t.Errorf("%d cases passed, want all of them", passed)
			}
			t.Logf("%d cases passed in %s", passed, time.Since(began).Round(time.Millisecond))
		})
	}
}

// Both versions build, and are what their names say.
func TestClientGoLinksItsVersion(t *testing.T) {
	for _, version := range peers.ClientGoVersions() {
		t.Run(version, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "clientgo")
			if err := peers.BuildClientGo(t.Context(), version, program); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), "go", "version", "-m", program).Output()
			if err != nil {
				t.Fatal(err)
			}
			if want := "github.com/apache/rocketmq-client-go/v2\t" + version; !strings.Contains(string(out), want) {
				t.Errorf("it links something else than %s:\n%s", want, out)
			}
		})
	}
}

func TestClientGoReportsFailedCases(t *testing.T) {
	results, err := peers.ClientGo(t.Context(), peers.ClientGoTag, "127.0.0.1:1", "none", "send-sync", "request-reply")
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || results[0].Name != "send-sync" || results[0].Outcome != apache.Fail || results[0].Why == "" || results[1].Outcome != apache.Skip {
		t.Errorf("results %v, want a failure that says why and a case left out", results)
	}
}

func TestClientGoRefusesWhatItDoesNotKnow(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	if _, err := peers.ClientGo(t.Context(), "v1.0.0", "127.0.0.1:1", "none"); err == nil {
		t.Error("no error for an unknown version")
	}
	if _, err := peers.ClientGo(t.Context(), peers.ClientGoTag, "127.0.0.1:1", "none", "no-such-case"); err == nil {
		t.Error("no error for an unknown case")
	}
	if entries, err := os.ReadDir(temp); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v (%v)", entries, err)
	}
}
