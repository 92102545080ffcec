package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/internal/dbserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	passes = "func TestPasses(t *testing.T)  {}\n"
	skips  = "func TestSkips(t *testing.T) { t.Skip(\"left out: no Java\") }\n"
	fails  = "func TestFails(t *testing.T) { t.Error(\"two is not three\") }\n"
	dies   = "import \"os\"\n\nfunc TestDies(t *testing.T) { println(\"last words\"); os.Exit(3) }\n"
	panics = "import \"time\"\n\nfunc TestPasses(t *testing.T) { t.Parallel() }\n" +
		"func TestPanics(t *testing.T) { t.Parallel(); go func() { time.Sleep(100 * time.Millisecond); panic(\"at the disco\") }(); select {} }\n"
	noBuild = "func TestBroken(t *testing.T) { missing() }\n"
)

// inModule makes a module of tests the working directory, with another beneath it.
func inModule(t *testing.T, tests, beneath string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/m\n\ngo 1.25\n", "m_test.go": "package m\n\nimport \"testing\"\n\n" + tests,
		"peers/go.mod": "module example.com/m/peers\n\ngo 1.25\n", "peers/p_test.go": "package p\n\nimport \"testing\"\n\n" + beneath,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

func TestTheExitCodeSaysWhatBecameOfTheTests(t *testing.T) {
	for name, tc := range map[string]struct {
		tests, beneath string
		args           []string
		code           int
		says           []string
	}{
		"all pass":                      {passes, passes, []string{"-require-all"}, 0, []string{"2 tests passed"}},
		"one is left out":               {passes + skips, passes, nil, 0, []string{"2 tests passed", "1 left out", "TestSkips: left out: no Java"}},
		"one may not be left out":       {passes + skips, passes, []string{"-require-all"}, 1, []string{"TestSkips: left out: no Java", "nothing may be left out"}},
		"one fails":                     {passes + fails, passes, nil, 1, []string{"two is not three", "FAILED:\n  example.com/m TestFails\n      m_test.go:6: two is not three\n"}},
		"one fails in a module beneath": {passes, fails, nil, 1, []string{"example.com/m/peers TestFails", "two is not three"}},
		"one ends the process":          {dies, passes, nil, 1, []string{"last words", "FAILED:\n  example.com/m\n"}},
		"one panics after another":      {panics, passes, nil, 1, []string{"panic: at the disco", "FAILED:\n  example.com/m\n"}},
		"one does not compile":          {noBuild, passes, nil, 1, []string{"undefined: missing", "example.com/m"}},
	} {
		t.Run(name, func(t *testing.T) {
			inModule(t, tc.tests, tc.beneath)
			var out, errs bytes.Buffer
			code := run(t.Context(), append([]string{"-apache", "on", "-databases", "off"}, tc.args...), &out, &errs)
			if code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			for _, want := range tc.says {
				if !strings.Contains(out.String()+errs.String(), want) {
					t.Errorf("does not say %q:\n%s%s", want, &out, &errs)
				}
			}
		})
	}
}

func TestAnInterruptedRunFailsAndSaysWhy(t *testing.T) {
	inModule(t, passes, passes)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"-apache", "on", "-databases", "off"}, &out, &errs); code != 1 || !strings.Contains(out.String(), "1 FAILED:\n  interrupted") {
		t.Errorf("exit code %d: %s%s", code, &out, &errs)
	}
}

func TestASlipInAFlagIsNoRun(t *testing.T) {
	inModule(t, passes, passes)
	for _, args := range [][]string{{"-apache", "yes"}, {"-databases", "yes", "-apache", "off"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 2 || !strings.Contains(errs.String(), args[0]+" yes: auto, on or off") {
			t.Errorf("%v: exit code %d: %s", args, code, &errs)
		}
	}
}

// What is missing for the databases is left out in auto, and ends the run where it was
// asked for.
func TestWithoutMavenTheDatabasesAreLeftOut(t *testing.T) {
	inModule(t, passes, passes)
	bin := t.TempDir()
	tool, err := exec.LookPath("go")
	if err == nil {
		err = os.Symlink(tool, filepath.Join(bin, "go"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	for _, k := range dbserver.Kinds() {
		t.Setenv(k.Variable, "") // which a run of this command has set
	}
	for mode, want := range map[string]int{"auto": 1, "on": 2, "off": 0} {
		var out, errs bytes.Buffer
		said := "java is not on the PATH"
		if mode == "off" {
			said = "left out: tests on PostgreSQL and MariaDB: -databases off"
		}
		if code := run(t.Context(), []string{"-apache", "off", "-require-all", "-databases", mode}, &out, &errs); code != want || !strings.Contains(out.String()+errs.String(), said) {
			t.Errorf("%s: exit code %d, want %d: %s%s", mode, code, want, &out, &errs)
		}
	}
}

func TestOutsideOfAModuleNothingRuns(t *testing.T) {
	t.Chdir(t.TempDir())
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-apache", "on", "-databases", "off"}, &out, &errs); code != 2 || !strings.Contains(errs.String(), "project's root") {
		t.Errorf("exit code %d: %s", code, &errs)
	}
}
