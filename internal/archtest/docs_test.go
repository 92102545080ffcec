package archtest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// The table of docs/design.md has the packages of mayImport, but for the project's own
// tools, and what each may import; where it says so in prose, that is not read.
func TestTheTableOfFoldersSaysWhatMayBeImported(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "design.md"))
	if err != nil {
		t.Fatal(err)
	}
	inTable := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (root|`[a-z/-]+`) \\|.*\\| (.*) \\|$").FindAllStringSubmatch(string(text), -1) {
		dir := strings.TrimSuffix(strings.Trim(row[1], "`"), "/")
		if dir == "root" {
			dir = ""
		}
		inTable[dir] = true
		want, known := mayImport[dir]
		if !known || strings.HasPrefix(row[2], "its own") {
			continue
		}
		var got []string
		for _, p := range strings.Split(strings.TrimPrefix(row[2], "–"), ", ") {
			switch p {
			case "vfs":
				got = append(got, "broker-lite/internal/vfs")
			case "root":
				got = append(got, "")
			case "":
			default:
				got = append(got, p)
			}
		}
		slices.Sort(got)
		if want := slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
			t.Errorf("%q may import %q, and the table says %q", dir, want, got)
		}
	}
	for dir := range mayImport {
		switch {
		case strings.HasSuffix(dir, "..."), dir == "internal/archtest", dir == "internal/testall", dir == "internal/testcert", dir == "internal/testdb", dir == "internal/dbserver", dir == "internal/remoting/memnet":
		case !inTable[dir]:
			t.Errorf("%q is not in the table", dir)
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

// No page has Go that nothing compiles: README.md's runs here, docs/testing.md's is in
// rocketkittest's tests, and the migration pages' is built by their own test.
func TestNoPageHasGoThatIsNotCompiled(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	compiled := []string{"README.md", "docs/testing.md", "docs/" + springPage, "docs/" + clientgoPage}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir // not the project's
		case filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if has := strings.Contains(string(text), "```go\n"); has != slices.Contains(compiled, filepath.ToSlash(name)) {
			t.Errorf("%s: that it has Go is %v; have it compiled, and say here where", name, has)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
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
