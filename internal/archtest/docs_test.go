package archtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/faults.md names is in the package that it names before it.
func TestTheTableOfFaultsNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "faults.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| \d+ \|.*$`).FindAllString(string(text), -1)
	if len(rows) != 25 {
		t.Fatalf("%d rows, want one for each of the 25 faults", len(rows))
	}
	for _, row := range rows {
		dir, named := "", 0
		for _, m := range regexp.MustCompile("`([a-z/]+)` |(Test\\w+)").FindAllStringSubmatch(row, -1) {
			if m[1] != "" {
				dir = m[1]
				continue
			}
			named++
			if !declares(t, filepath.Join(root, filepath.FromSlash(dir)), m[2]) {
				t.Errorf("%s has no %s", dir, m[2])
			}
		}
		if named == 0 {
			t.Errorf("no test in %s", row)
		}
	}
}

// declares reports whether a test file of a folder has the function.
func declares(t *testing.T, dir, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?m)^func ` + test + `\(`).Match(source) {
			return true
		}
	}
	return false
}

// The program in README.md compiles, runs and receives what it sends.
func TestTheProgramInTheReadmeRuns(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?s)```go\n(.*?)```").FindSubmatch(text)
	if program == nil {
		t.Fatal("no program")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, program[1], 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "go", "run", file)
	run.Dir = root // the module that the imports are of
	var log strings.Builder
	run.Stderr = &log
	out, err := run.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	if want := regexp.MustCompile(`^SEND_OK [0-9A-F]{32}\npaid: 1234\n$`); !want.Match(out) {
		t.Errorf("it prints %q", out)
	}
}
