package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/rocketkit/rocketkit"

// mayImport lists, for each package, the module's other packages that its
// non-test code may import directly. A trailing /... allows a subtree. A
// package that is not listed fails the test: say where it belongs first.
var mayImport = map[string][]string{
	"":                           {"config", "producer", "consumer", "txn", "retry", "driver", "driver/native", "trace", "message", "admin", "internal/nearest"},
	"config":                     {"message"},
	"config/load":                {"config", "message", "internal/nearest"},
	"message":                    {},
	"codec":                      {"message"},
	"codec/cloudevents":          {"codec", "message"},
	"codec/protobuf":             {"codec"},
	"producer":                   {"message", "codec", "driver", "trace", "internal/pacing"},
	"consumer":                   {"message", "codec", "dedup", "driver", "retry", "trace", "internal/setting", "internal/nearest", "internal/pacing"},
	"outbox":                     {"dedup", "internal/dialect", "message"},
	"txn":                        {"producer", "message", "codec", "driver", "trace", "internal/setting"},
	"delay":                      {"message", "driver", "trace"},
	"wireset":                    {"", "producer", "consumer"},
	"retry":                      {"message"},
	"trace":                      {"message", "internal/protocol"},
	"admin":                      {"message", "internal/answer", "internal/compression", "internal/remoting", "internal/protocol"},
	"health":                     {"", "consumer", "producer", "driver", "message", "trace"},
	"dlq":                        {"message", "admin"},
	"dedup":                      {"message"},
	"dedup/deduptest":            {"dedup"},
	"dedup/redis":                {"dedup"},
	"dedup/sql":                  {"dedup", "internal/dialect"},
	"driver":                     {"message"},
	"driver/native":              {"driver", "message", "internal/answer", "internal/remoting", "internal/protocol", "internal/compression"},
	"internal/answer":            {"message", "internal/protocol", "internal/compression"},
	"internal/compression":       {"internal/protocol"},
	"internal/nearest":           {},
	"internal/pacing":            {},
	"driver/clientgo":            {"driver", "message"},
	"internal/dialect":           {},
	"internal/protocol":          {},
	"internal/setting":           {"internal/nearest", "internal/pacing"},
	"internal/generate":          {"message", "internal/setting", "internal/nearest"},
	"internal/remoting":          {"internal/protocol"},
	"internal/remoting/memnet":   {},
	"broker-lite":                {"broker-lite/internal/...", "internal/remoting", "internal/remoting/memnet", "internal/protocol"},
	"broker-lite/internal/vfs":   {},
	"broker-lite/internal/store": {"broker-lite/internal/vfs", "internal/protocol"},
	"broker-lite/internal/...":   {"broker-lite/internal/...", "internal/remoting", "internal/protocol", "internal/nearest"},
	"rocketkittest":              {"", "admin", "message", "producer", "consumer", "broker-lite"},
	"cmd/...":                    {"..."},
	"conformance/...":            {"", "admin", "dlq", "config", "message", "codec", "producer", "consumer", "txn", "delay", "retry", "trace", "driver", "driver/...", "broker-lite", "conformance/..."},
	"bench/...":                  {"", "admin", "dlq", "config", "message", "codec", "producer", "consumer", "txn", "delay", "retry", "trace", "driver", "driver/...", "broker-lite", "conformance/...", "bench/..."},
	"examples/...":               {"", "wireset", "admin", "dlq", "config", "config/load", "message", "codec", "producer", "consumer", "txn", "delay", "retry", "trace", "broker-lite", "dedup/...", "outbox", "health", "examples/..."},
	"internal/archtest":          {},
	"internal/dbserver":          {},
	"internal/testall":           {"internal/dbserver"},
	"internal/testcert":          {},
	"internal/testdb":            {"internal/dbserver", "internal/dialect"},
}

// sdkMustNotLink are import path prefixes that a program which imports only the
// root, producer and consumer must not link.
var sdkMustNotLink = []string{
	"github.com/spf13/viper", "github.com/fsnotify/fsnotify", "github.com/spf13/cobra", "github.com/google/wire",
	"github.com/apache/rocketmq-client-go", "database/sql", "modernc.org/sqlite", "google.golang.org/protobuf",
	"go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters",
	module + "/broker-lite", module + "/driver/clientgo",
}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps,Standard"}, args...)...)
	cmd.Dir = "../.."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(out); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	if len(pkgs) == 0 {
		t.Fatal("go list returned no packages")
	}
	return pkgs
}

// local turns an import path of this module into its folder; ok is false for
// any other path.
func local(path string) (string, bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

func matches(pattern, dir string) bool {
	if pattern == "..." {
		return true
	}
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return dir == prefix || strings.HasPrefix(dir, prefix+"/")
	}
	return pattern == dir
}

// rule finds the most specific entry for a folder.
func rule(dir string) ([]string, bool) {
	if allowed, ok := mayImport[dir]; ok {
		return allowed, true
	}
	best := ""
	for pattern := range mayImport {
		if strings.HasSuffix(pattern, "/...") && matches(pattern, dir) && len(pattern) > len(best) {
			best = pattern
		}
	}
	return mayImport[best], best != ""
}

func TestImportsGoDownwardOnly(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		dir, ok := local(p.ImportPath)
		if !ok {
			t.Fatalf("%s is not of this module", p.ImportPath)
		}
		allowed, ok := rule(dir)
		if !ok {
			t.Errorf("%s has no import rule; add it to mayImport and to docs/design.md", dir)
			continue
		}
		for _, imp := range p.Imports {
			target, ok := local(imp)
			if ok && !slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, target) }) {
				t.Errorf("%q must not import %q; allowed: %q", dir, target, allowed)
			}
		}
	}
}

func TestTheSDKLinksNoHeavyDependency(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, module, module+"/producer", module+"/consumer") {
		for _, dep := range p.Deps {
			for _, bad := range sdkMustNotLink {
				if dep == bad || strings.HasPrefix(dep, bad+"/") {
					t.Errorf("a program that imports %s links %s", p.ImportPath, dep)
				}
			}
		}
	}
}

func TestOnlyTestsUseTheTestKit(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		if slices.Contains(p.Deps, module+"/rocketkittest") {
			t.Errorf("%s links rocketkittest", p.ImportPath)
		}
	}
}

func TestEveryPackageHasADocFile(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "list", "-f", "{{if not .Doc}}{{.ImportPath}} has no package comment;{{end}}{{.Dir}}", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if mistake, dir, found := strings.Cut(line, ";"); found {
			t.Errorf("%s (%s)", mistake, dir)
		} else if _, err := os.Stat(filepath.Join(line, "doc.go")); err != nil {
			t.Errorf("the package comment belongs into doc.go: %v", err)
		}
	}
}
