package apache

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

// The versions that the conformance suite proves against.
const (
	V5 = "5.4.0"
	V4 = "4.9.7"
)

// EnvRequired is the environment variable that turns the Apache legs on; with it
// set to 1 a machine that cannot run them fails the test instead of leaving them
// out.
const EnvRequired = "ROCKETKIT_APACHE"

// LeftOut is what a test prints when the Apache legs are not turned on.
const LeftOut = "left out: Apache RocketMQ legs (set ROCKETKIT_APACHE=1)"

// TB is the part of testing.TB that [Require] needs.
type TB interface {
	Helper()
	Skip(args ...any)
	Fatalf(format string, args ...any)
}

// Require skips the test, saying so, unless ROCKETKIT_APACHE=1 is set; when it
// is, everything that Apache RocketMQ needs has to be there.
func Require(t TB) {
	t.Helper()
	if os.Getenv(EnvRequired) != "1" {
		t.Skip(LeftOut)
	}
	if err := Available(); err != nil {
		t.Fatalf("%s=1, but %v", EnvRequired, err)
	}
}

// StartFor starts a server for a test, which Require may skip, and stops it with the
// test; when that has failed it shows the server's logs.
func StartFor(t testing.TB, opts Options) *Server {
	t.Helper()
	Require(t)
	server, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(server.Logs())
		}
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// Available answers nil when both [V5] and [V4] can be run here, as far as can
// be told without the network, and an [*UnavailableError] otherwise.
func Available() error {
	if err := checkJava(); err != nil {
		return err
	}
	for _, version := range []string{V5, V4} {
		dir, err := cacheDir(version)
		if err != nil {
			return &UnavailableError{Reason: NoJars, Err: err}
		}
		if complete(dir) {
			continue
		}
		if _, err := exec.LookPath("mvn"); err != nil {
			return &UnavailableError{Reason: NoMaven, Err: fmt.Errorf("%w (Debian: apt-get install maven)", err)}
		}
	}
	return nil
}

var javaVersion = regexp.MustCompile(`version "(?:1\.)?(\d+)`)

func checkJava() error {
	out, err := exec.Command("java", "-version").CombinedOutput()
	if err != nil {
		return &UnavailableError{Reason: NoJava, Err: fmt.Errorf("java -version: %w", err)}
	}
	match := javaVersion.FindSubmatch(out)
	if match == nil {
		return &UnavailableError{Reason: NoJava, Err: fmt.Errorf("java -version prints no version: %.100q", out)}
	}
	if major, err := strconv.Atoi(string(match[1])); err != nil || major < 11 {
		return &UnavailableError{Reason: NoJava, Err: fmt.Errorf("java on the path is version %s", match[1])}
	}
	if _, err := exec.LookPath("javac"); err != nil {
		return &UnavailableError{Reason: NoJava, Err: err}
	}
	return nil
}
