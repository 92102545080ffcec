package apache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/conformance/java"
)

// Program is a Java program on one version's class path: one of Apache's, or one
// of conformance/java.
type Program struct {
	Version string   // V5 unless set
	JVM     []string // flags, such as "-Drocketmq.serialize.type=ROCKETMQ"
	Main    string   // main class, such as "peer.Peer"
	Args    []string
}

// Run compiles conformance/java for the version, once, runs the program and
// returns its standard output. A failure's error holds the end of both outputs.
func (p Program) Run(ctx context.Context) (string, error) {
	if p.Version == "" {
		p.Version = V5
	}
	if err := checkJava(); err != nil {
		return "", err
	}
	dir, err := jars(ctx, p.Version)
	if err != nil {
		return "", err
	}
	classes, err := compile(ctx, p.Version, dir)
	if err != nil {
		return "", err
	}
	home, err := os.MkdirTemp("", "apache-java-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(home)
	if err := writeHome(home); err != nil {
		return "", err
	}
	conf := filepath.Join(home, "home", "conf")
	path := strings.Join([]string{conf, classes, filepath.Join(dir, "lib", "*")}, string(os.PathListSeparator))
	args := append(opens(), "-Duser.home="+home, "-Djava.io.tmpdir="+home, "-Drocketmq.client.logRoot="+home)
	args = append(append(args, p.JVM...), "-cp", path, p.Main)
	cmd := exec.CommandContext(ctx, "java", append(args, p.Args...)...)
	cmd.Dir = home // some commands of mqadmin write files to where they run
	cmd.Env = append(os.Environ(), "ROCKETMQ_HOME="+filepath.Join(home, "home"))
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("apache: %s on %s: %w\n%s\n%s", p.Main, p.Version, err,
			tail(stdout.Bytes(), 4000), tail(stderr.Bytes(), 4000))
	}
	return stdout.String(), nil
}

// RunJava runs a main class of conformance/java against one version's jars; see
// [Program] for JVM flags.
func RunJava(ctx context.Context, version, mainClass string, args ...string) (string, error) {
	return Program{Version: version, Main: mainClass, Args: args}.Run(ctx)
}

// Admin runs Apache's mqadmin, for example Admin(ctx, V5, "clusterList", "-n",
// server.NameServer()). mqadmin tells some failures in its output only.
func Admin(ctx context.Context, version string, args ...string) (string, error) {
	return Program{
		Version: version,
		JVM:     shortLived(),
		Main:    "org.apache.rocketmq.tools.command.MQAdminStartup",
		Args:    args,
	}.Run(ctx)
}

// shortLived are the flags of a JVM that lives for seconds: it does without the
// second compiler and the parallel collector.
func shortLived() []string { return []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"} }

// compile returns the directory of conformance/java's classes, made once for
// each state of the sources. 4.9 goes without peer5, whose classes it lacks.
func compile(ctx context.Context, version, jarsDir string) (string, error) {
	var names []string
	sum := sha256.New()
	err := fs.WalkDir(java.Sources, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || version == V4 && strings.HasPrefix(path, "peer5/") {
			return err
		}
		content, err := java.Sources.ReadFile(path)
		names = append(names, path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(content), content)
		return err
	})
	if err != nil {
		return "", err
	}
	target := filepath.Join(jarsDir, "classes", hex.EncodeToString(sum.Sum(nil))[:16])
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	return target, locked(ctx, jarsDir+".lock", func() error { return javac(ctx, jarsDir, target, names) })
}

func javac(ctx context.Context, jarsDir, target string, names []string) error {
	if _, err := os.Stat(target); err == nil {
		return nil // another process was faster
	}
	temp, err := os.MkdirTemp(jarsDir, ".classes-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	sources := filepath.Join(temp, "src")
	if err := os.CopyFS(sources, java.Sources); err != nil {
		return err
	}
	out := filepath.Join(temp, "out")
	args := []string{"-nowarn", "-encoding", "UTF-8", "-proc:none", "-d", out, "-cp", filepath.Join(jarsDir, "lib", "*")}
	for _, name := range names {
		args = append(args, filepath.Join(sources, filepath.FromSlash(name)))
	}
	if text, err := exec.CommandContext(ctx, "javac", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("apache: compile conformance/java: %w\n%s", err, tail(text, 4000))
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.Rename(out, target)
}
