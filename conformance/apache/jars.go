package apache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/conformance/java"
)

// Classpath returns the Java class path of one version's jars, resolving them
// with Maven the first time. The error is an [*UnavailableError] when they
// cannot be had.
func Classpath(ctx context.Context, version string) (string, error) {
	dir, err := jars(ctx, version)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "lib", "*"), nil
}

// jars returns the version's cache directory, filled.
func jars(ctx context.Context, version string) (string, error) {
	dir, err := cacheDir(version)
	if err != nil {
		return "", &UnavailableError{Reason: NoJars, Err: err}
	}
	if complete(dir) {
		return dir, nil
	}
	if err := locked(ctx, dir+".lock", func() error { return resolve(ctx, version, dir) }); err != nil {
		return "", &UnavailableError{Reason: NoJars, Err: err}
	}
	return dir, nil
}

func cacheDir(version string) (string, error) {
	if version == "" || strings.ContainsAny(version, `/\`) {
		return "", fmt.Errorf("apache: %q is no version", version)
	}
	root, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "rocketkit", "apache-"+version), nil
}

func complete(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ".complete"))
	return err == nil
}

// resolve fills dir through a temporary directory beside it, so that a killed
// Maven leaves nothing half done behind.
func resolve(ctx context.Context, version, dir string) error {
	if complete(dir) {
		return nil // another process was faster
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".apache-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	pom := filepath.Join(temp, "pom.xml")
	if err := os.WriteFile(pom, java.POM, 0o644); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	lib := filepath.Join(temp, "lib")
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", pom, "-Drocketmq.version="+version,
		"dependency:copy-dependencies", "-DoutputDirectory="+lib)
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mvn for version %s: %w\n%s", version, err, tail(out, 2000))
	}
	if err := os.WriteFile(filepath.Join(temp, ".complete"), nil, 0o644); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// locked runs f while this process holds the lock file; it polls, so that ctx
// can end the wait.
func locked(ctx context.Context, path string, f func() error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer file.Close() // which also unlocks
	for {
		err := tryLock(file)
		if err == nil {
			return f()
		}
		if !errors.Is(err, errLocked) {
			return fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for another process that holds %s: %w", path, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		b = b[len(b)-n:]
	}
	return b
}
