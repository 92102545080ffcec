package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

type options struct {
	race, requireAll  bool
	apache, databases string
	timeout           time.Duration
	packages          []string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	var o options
	fs := flag.NewFlagSet("testall", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.BoolVar(&o.race, "race", false, "run with the race detector")
	fs.BoolVar(&o.requireAll, "require-all", false, "fail when any test is left out")
	fs.StringVar(&o.apache, "apache", "auto", "legs against the real Apache RocketMQ: auto (when java and mvn are there), on, off")
	fs.StringVar(&o.databases, "databases", "auto", "tests on PostgreSQL and MariaDB: auto (where their binaries run, and java and mvn are there), on, off")
	fs.DurationVar(&o.timeout, "timeout", 15*time.Minute, "limit for each package")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if o.packages = fs.Args(); len(o.packages) == 0 {
		o.packages = []string{"./..."}
	}
	for flag, mode := range map[string]string{"apache": o.apache, "databases": o.databases} {
		if !slices.Contains([]string{"auto", "on", "off"}, mode) {
			fmt.Fprintf(stderr, "testall: -%s %s: auto, on or off\n", flag, mode)
			return 2
		}
	}
	r := &report{out: stdout, start: time.Now()}
	apache, why := apacheEnv(o.apache)
	r.without(why, o.apache)
	dbs, why, err := startDatabases(ctx, o.databases)
	if err != nil {
		fmt.Fprintln(stderr, "testall:", err)
		return 2
	}
	r.without(why, o.databases)
	defer func() {
		if err := dbs.stop(); err != nil {
			fmt.Fprintln(stderr, "testall:", err)
			code = 1
		}
	}()
	env := append([]string{apache}, dbs.env...)
	dirs, err := modules(".")
	if err != nil {
		fmt.Fprintln(stderr, "testall:", err)
		return 2
	}
	fmt.Fprintln(stdout, "testing", strings.Join(o.packages, " ")+"; a package is shown when its last test has ended, the first after minutes where nothing is built yet")
	for _, dir := range dirs {
		pkgs := o.packages
		if dir == "." && len(fs.Args()) == 0 && isDir("conformance") && isDir("broker-lite") {
			// What takes longest begins first, and waits while the others compute.
			pkgs = append([]string{"./conformance", "./broker-lite"}, pkgs...)
		}
		if dir != "." {
			if len(fs.Args()) > 0 {
				continue // packages were named, and they are the main module's
			}
			pkgs = []string{"./..."}
		}
		err := r.test(ctx, dir, o, env, pkgs)
		if ctx.Err() != nil {
			r.failed = append(r.failed, "interrupted; the packages that are not shown were not tested to their end")
			break
		}
		if err != nil {
			fmt.Fprintf(stderr, "testall: %s: %v\n", dir, err)
			r.failed = append(r.failed, dir)
		}
	}
	return r.finish(o.requireAll)
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// without notes that something is left out, perhaps because it was asked for.
func (r *report) without(why, mode string) {
	if why == "" {
		return
	}
	fmt.Fprintln(r.out, why)
	if mode == "auto" {
		r.leftOut = append(r.leftOut, why)
	}
}

// apacheEnv decides about the Apache legs; why is not empty when they are off.
func apacheEnv(mode string) (env, why string) {
	switch mode {
	case "off":
		return "ROCKETKIT_APACHE=", "left out: the legs against Apache RocketMQ (-apache off)"
	case "on":
		return "ROCKETKIT_APACHE=1", ""
	}
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "ROCKETKIT_APACHE=", fmt.Sprintf("left out: the legs against Apache RocketMQ need Java 17 and Maven, and %s is not on the PATH (Debian: apt-get install openjdk-17-jdk-headless maven)", tool)
		}
	}
	return "ROCKETKIT_APACHE=1", ""
}

// modules lists the folders with a go.mod, the main one first. Tools have no
// tests and are passed over.
func modules(root string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "tools"):
			return filepath.SkipDir
		case d.Name() == "go.mod":
			dirs = append(dirs, filepath.Dir(path))
		}
		return nil
	})
	slices.SortFunc(dirs, func(a, b string) int { return len(a) - len(b) })
	if err == nil && (len(dirs) == 0 || dirs[0] != root) {
		err = errors.New("no go.mod here; run it from the project's root")
	}
	return dirs, err
}

// event is a line of go test -json.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // build output
	Elapsed                       float64
}

type report struct {
	out             io.Writer
	start           time.Time
	passed          int
	failed, leftOut []string
}

func (r *report) test(ctx context.Context, dir string, o options, env, pkgs []string) error {
	args := []string{"test", "-json", "-timeout", o.timeout.String()}
	if o.race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkgs...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	before := len(r.failed)
	lines := bufio.NewReader(pipe)
	output := map[string][]string{} // of each test and package, until it ends
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line, output)
		}
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil && len(r.failed) == before {
		return fmt.Errorf("go test: %w\n%s", err, stderr.String())
	}
	return nil
}

func (r *report) line(line []byte, output map[string][]string) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		fmt.Fprintf(r.out, "%s", line)
		return
	}
	if e.Package == "" {
		e.Package = e.ImportPath
	}
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		output[key] = append(output[key], e.Output)
	case "pass":
		if e.Test == "" {
			fmt.Fprintf(r.out, "ok    %6.1fs  %s\n", e.Elapsed, e.Package)
		} else {
			r.passed++
			// The last words of a process are taken for those of the test that passed last.
			own := e.Package + " "
			output[own] = append(output[own], afterEnd(output[key])...)
		}
		delete(output, key)
	case "skip":
		if e.Test != "" {
			r.leftOut = append(r.leftOut, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(output[key])))
		}
		delete(output, key)
	case "fail", "build-fail":
		name := strings.TrimSpace(key)
		if e.Test == "" {
			fmt.Fprintf(r.out, "FAIL  %6.1fs  %s\n", e.Elapsed, e.Package)
		}
		r.failed = append(r.failed, strings.Join(append([]string{name}, complaints(output[key])...), "\n      "))
		for _, text := range output[key] {
			fmt.Fprintf(r.out, "      %s", text)
		}
		delete(output, key)
		if e.Test == "" {
			r.unended(e.Package, output)
		}
	}
}

// afterEnd is what follows the line that says that a test has passed.
func afterEnd(output []string) []string {
	for i, text := range output {
		if strings.HasPrefix(strings.TrimLeft(text, " "), "--- PASS: ") {
			return output[i+1:]
		}
	}
	return nil
}

// unended prints what the tests said that a package did not end: its process has died
// in one of them.
func (r *report) unended(pkg string, output map[string][]string) {
	for _, key := range slices.Sorted(maps.Keys(output)) {
		if !strings.HasPrefix(key, pkg+" ") {
			continue
		}
		for _, text := range output[key] {
			fmt.Fprintf(r.out, "      %s", text)
		}
		delete(output, key)
	}
}

// complaints are the first lines that a failed test wrote, to be read at the end of a
// long run.
func complaints(output []string) []string {
	const most, width = 4, 300
	var said []string
	for _, text := range output {
		text = strings.TrimSpace(text)
		if strings.Contains(text, "_test.go:") && len(said) < most {
			said = append(said, text[:min(len(text), width)])
		}
	}
	return said
}

// reason is what a skipped test said.
func reason(output []string) string {
	var said []string
	for _, text := range output {
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "=== ") || strings.HasPrefix(text, "--- ") {
			continue
		}
		if _, after, ok := strings.Cut(text, ".go:"); ok {
			if _, words, ok := strings.Cut(after, ": "); ok {
				text = words
			}
		}
		said = append(said, text)
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

func (r *report) finish(requireAll bool) int {
	fmt.Fprintf(r.out, "\n%d tests passed in %s\n", r.passed, time.Since(r.start).Round(time.Second))
	if len(r.leftOut) > 0 {
		fmt.Fprintf(r.out, "%d left out:\n", len(r.leftOut))
		for _, l := range r.leftOut {
			fmt.Fprintln(r.out, "  "+l)
		}
	}
	if len(r.failed) > 0 {
		fmt.Fprintf(r.out, "%d FAILED:\n", len(r.failed))
		for _, l := range r.failed {
			fmt.Fprintln(r.out, "  "+l)
		}
		return 1
	}
	if requireAll && len(r.leftOut) > 0 {
		fmt.Fprintln(r.out, "FAILED: nothing may be left out here (-require-all)")
		return 1
	}
	return 0
}
