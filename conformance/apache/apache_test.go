package apache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/conformance/apache"
)

const golden = "../../internal/protocol/testdata/golden"

// versions runs f for both versions, one after the other: two cores do not carry
// four JVMs.
func versions(t *testing.T, f func(t *testing.T, version string)) {
	apache.Require(t)
	for _, version := range []string{apache.V5, apache.V4} {
		t.Run(version, func(t *testing.T) { f(t, version) })
	}
}

func TestDirectoryOfTheCallerSurvivesStop(t *testing.T) {
	apache.Require(t)
	dir := t.TempDir()
	server := apache.StartFor(t, apache.Options{Version: apache.V4, Dir: dir, Role: apache.RoleNameServer})
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if log, err := os.ReadFile(filepath.Join(dir, "namesrv.log")); err != nil || len(log) == 0 {
		t.Errorf("namesrv.log after Stop: %q (%v)", log, err)
	}
}

func TestCancelledStartLeavesNothingBehind(t *testing.T) {
	apache.Require(t)
	parent := t.TempDir()
	t.Setenv("TMPDIR", parent)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := apache.Start(ctx, apache.Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want the deadline's", err)
	}
	left, err := os.ReadDir(parent)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the temporary directory: %v (%v)", left, err)
	}
}

func TestBrokerConfReachesTheBroker(t *testing.T) {
	server := apache.StartFor(t, apache.Options{BrokerConf: map[string]string{"brokerName": "broker-x"}})
	if got := server.BrokerName(); got != "broker-x" {
		t.Errorf("BrokerName %q, want broker-x", got)
	}
	out, err := apache.Admin(t.Context(), apache.V5, "clusterList", "-n", server.NameServer())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "broker-x") || !strings.Contains(out, server.BrokerAddr()) {
		t.Errorf("clusterList shows neither broker-x nor %s:\n%s", server.BrokerAddr(), out)
	}
}

// A command line that is wrong ends neither the JVM nor the commands after it.
func TestOneJVMRunsManyCommands(t *testing.T) {
	apache.Require(t)
	versions(t, func(t *testing.T, version string) {
		names := apache.StartFor(t, apache.Options{Version: version, Role: apache.RoleNameServer})
		got, err := apache.AdminAll(t.Context(), version, [][]string{
			{"noSuchCommand"}, {"topicRoute"}, {"topicRoute", "-t", "no such", "-n", names.NameServer()}, {"clusterList", "-n", names.NameServer()},
		})
		if err != nil {
			t.Fatal(err)
		}
		if !got[0].Refused || !strings.Contains(got[0].Err, "noSuchCommand") {
			t.Errorf("an unknown command: %+v", got[0])
		}
		if !got[1].Refused || !strings.Contains(got[1].Err, "Missing required option: t") {
			t.Errorf("a command without its option: %+v", got[1])
		}
		if got[2].Refused || !strings.Contains(got[2].Err, "No topic route info in name server for the topic: no such") {
			t.Errorf("a command that fails: %+v", got[2])
		}
		if got[3].Err != "" || !strings.HasPrefix(got[3].Out, "#Cluster Name") {
			t.Errorf("clusterList: %+v", got[3])
		}
	})
}

// A second broker registers at the first server's name server.
func TestRolesRunApart(t *testing.T) {
	names := apache.StartFor(t, apache.Options{Version: apache.V4, Role: apache.RoleNameServer})
	if names.BrokerAddr() != "" {
		t.Errorf("a name server alone has the broker %q", names.BrokerAddr())
	}
	broker := apache.StartFor(t, apache.Options{Version: apache.V4, Role: apache.RoleBroker, NameServer: names.NameServer()})
	if broker.NameServer() != names.NameServer() {
		t.Errorf("NameServer %q, want %q", broker.NameServer(), names.NameServer())
	}
	conn, err := net.Dial("tcp", broker.BrokerAddr())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestPeerReportsFailedCases(t *testing.T) {
	apache.Require(t)
	results, err := apache.Peer(t.Context(), apache.PeerOptions{NameServer: "127.0.0.1:1", Cases: []string{"view-message"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || results[0].Outcome != apache.Fail || results[0].Why == "" {
		t.Errorf("results %v, want one failure that says why", results)
	}
	if _, err := apache.Peer(t.Context(), apache.PeerOptions{NameServer: "127.0.0.1:1", Cases: []string{"no-such"}}); err == nil {
		t.Error("an unknown case is no error")
	}
}

// The committed golden bytes are what Apache's classes write today.
func TestGoldenBytesAreCurrent(t *testing.T) {
	apache.Require(t)
	dir := filepath.Join(t.TempDir(), "golden")
	made, err := apache.Golden(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(golden, apache.GoldenManifest))
	if err != nil {
		t.Fatal(err)
	}
	var committed []apache.GoldenCase
	if err := json.Unmarshal(content, &committed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(names(committed), names(made)); diff != "" {
		t.Fatalf("cases (-committed +made now); run conformance/java/golden.sh\n%s", diff)
	}
	for _, c := range made {
		if c.Bytes == "compressed" {
			continue // another zlib writes other bytes
		}
		want, err := os.ReadFile(filepath.Join(golden, filepath.FromSlash(c.File)))
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(c.File)))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-committed +made now)\n%s", c.File, diff)
		}
	}
}

func names(cases []apache.GoldenCase) []string {
	var list []string
	for _, c := range cases {
		list = append(list, c.File+" "+strings.Join(c.Same, " "))
	}
	return list
}

func TestGoldenRefusesAForeignDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(file, []byte("irreplaceable"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := apache.Golden(t.Context(), dir); err == nil {
		t.Error("no error for a directory with other people's files")
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestStartRefusesWrongOptions(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]apache.Options{
		"unknown role":                 {Role: "king"},
		"broker without a name server": {Role: apache.RoleBroker},
		"negative duration":            {TransactionCheck: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if server, err := apache.Start(t.Context(), opts); err == nil {
				server.Kill()
				t.Error("no error")
			}
		})
	}
}

type recorder struct{ skipped, failed string }

func (*recorder) Helper()                     {}
func (r *recorder) Skip(args ...any)          { r.skipped = fmt.Sprint(args...) }
func (r *recorder) Fatalf(f string, a ...any) { r.failed = fmt.Sprintf(f, a...) }

func TestRequireSaysWhatIsLeftOut(t *testing.T) {
	t.Setenv(apache.EnvRequired, "")
	var r recorder
	apache.Require(&r)
	if want := "left out: Apache RocketMQ legs (set ROCKETKIT_APACHE=1)"; r.skipped != want {
		t.Errorf("skips with %q, want %q", r.skipped, want)
	}
}

func TestRequireFailsWithoutJava(t *testing.T) {
	t.Setenv(apache.EnvRequired, "1")
	t.Setenv("PATH", t.TempDir())
	var r recorder
	apache.Require(&r)
	if !strings.Contains(r.failed, string(apache.NoJava)) || r.skipped != "" {
		t.Errorf("fails with %q and skips with %q, want a failure that names Java", r.failed, r.skipped)
	}
	var unavailable *apache.UnavailableError
	if err := apache.Available(); !errors.As(err, &unavailable) || unavailable.Reason != apache.NoJava {
		t.Errorf("Available: %v, want the reason %q", err, apache.NoJava)
	}
}
