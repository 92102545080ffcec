package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/conformance/apache"
)

// The versions of rocketmq-client-go that can be run.
const (
	// ClientGoTag is the newest tag.
	ClientGoTag = "v2.1.2"
	// ClientGoLater is the newest state after it that the Go proxy serves.
	ClientGoLater = "v2.1.3-0.20250427084711-67ec50b93040"
)

// ClientGoVersions are all of them.
func ClientGoVersions() []string { return []string{ClientGoTag, ClientGoLater} }

// Case is the outcome of one case.
type Case = apache.CaseResult

// module is this module's path.
const module = "github.com/rocketkit/rocketkit"

// ClientGo runs cases of rocketmq-client-go against a name server; none means all
// of them, which takes about a minute. prefix begins the names of all topics and
// groups, so that runs on one server do not meet. Failed cases are results, not
// an error; the error says that the program could not be built, or did not run
// to its end.
func ClientGo(ctx context.Context, version, nameServer, prefix string, cases ...string) ([]Case, error) {
	dir, err := os.MkdirTemp("", "clientgo-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "clientgo")
	if err := BuildClientGo(ctx, version, program); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, "-name-server", nameServer, "-prefix", prefix, "-cases", strings.Join(cases, ","))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends its own children
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	results := parse(stdout.String())
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && ctx.Err() == nil && len(results) > 0 {
		return results, nil // the failures say it all
	}
	if err == nil && len(results) == 0 {
		err = errors.New("it printed no result")
	}
	if err != nil {
		return results, fmt.Errorf("rocketmq-client-go %s: %w\n%s", version, err, stderr.String())
	}
	return results, nil
}

// BuildClientGo builds the program of one version.
func BuildClientGo(ctx context.Context, version, target string) error {
	args := []string{"build", "-buildvcs=false", "-o", target}
	switch version {
	case ClientGoTag: // go.mod's
	case ClientGoLater:
		args = append(args, "-modfile=go-20250427.mod")
	default:
		return fmt.Errorf("rocketmq-client-go %s is not one of %s", version, strings.Join(ClientGoVersions(), ", "))
	}
	root, err := goCommand(ctx, "", "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return fmt.Errorf("find the sources of %s: %w", module, err)
	}
	target, err = filepath.Abs(target)
	if err != nil {
		return err
	}
	args[3] = target
	if _, err := goCommand(ctx, filepath.Join(strings.TrimSpace(root), "conformance", "peers", "clientgo"), append(args, ".")...); err != nil {
		return fmt.Errorf("build rocketmq-client-go %s: %w", version, err)
	}
	return nil
}

func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// parse reads the program's lines.
func parse(out string) []Case {
	var results []Case
	for line := range strings.Lines(out) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch o := apache.Outcome(word); o {
		case apache.Pass, apache.Fail, apache.Skip:
			name, why, _ := strings.Cut(rest, ": ")
			results = append(results, Case{Name: name, Outcome: o, Why: why})
		}
	}
	return results
}
