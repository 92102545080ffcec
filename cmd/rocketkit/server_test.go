package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is the built rocketkit.
type program struct{ path string }

// run runs a command of the program to its end, with NAMESRV_ADDR unless it is "".
func (p program) run(t *testing.T, nameServers string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Env = append(os.Environ(), "NAMESRV_ADDR="+nameServers)
	var out, notes strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &notes
	err := cmd.Run()
	return outcome{out.String(), notes.String(), err}
}

// process is a running "rocketkit server".
type process struct {
	t          *testing.T
	cmd        *exec.Cmd
	ready      time.Duration // from its start to its last boot line
	nameServer string        // where its name server listens
	broker     string        // where its broker does
	wait       func() error  // for its end
	log        *buffer
}

var bootLines = []*regexp.Regexp{
	regexp.MustCompile(`^The Name Server boot success\. serializeType=JSON, address (127\.0\.0\.1:\d+)$`),
	regexp.MustCompile(`^The broker\[broker-a, (127\.0\.0\.1:\d+)\] boot success\. serializeType=JSON and name server is \S+$`),
}

// local is a broker.conf that keeps a server to this machine, on free ports.
func local(t *testing.T, more ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "broker.conf")
	lines := append([]string{"brokerName=broker-a", "brokerIP1=127.0.0.1", "bindAddress=127.0.0.1", "listenPort=0"}, more...)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve starts "rocketkit server" and waits until its role's boot lines are there.
func (p program) serve(t *testing.T, role string, args ...string) *process {
	t.Helper()
	s := &process{t: t, log: new(buffer)}
	s.cmd = exec.Command(p.path, append([]string{"server", "--role", role, "--namesrv-port", "0"}, args...)...)
	s.cmd.Env = append(os.Environ(), "NAMESRV_ADDR=")
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.wait = sync.OnceValue(s.cmd.Wait)
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // unless it has ended
		_ = s.wait()
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log)
		}
	})
	lines := bufio.NewScanner(out)
	for _, boot := range []struct {
		role string
		line *regexp.Regexp
		addr *string
	}{{"namesrv", bootLines[0], &s.nameServer}, {"broker", bootLines[1], &s.broker}} {
		if role != "all" && role != boot.role {
			continue
		}
		lines.Scan()
		m := boot.line.FindStringSubmatch(lines.Text())
		if m == nil {
			t.Fatalf("it printed %q, want %v", lines.Text(), boot.line)
		}
		*boot.addr = m[1]
	}
	s.ready = time.Since(begun)
	return s
}

// ended fails the test unless the process ends by itself, in order.
func (s *process) ended() {
	s.t.Helper()
	kill := time.AfterFunc(patient, func() { _ = s.cmd.Process.Kill() })
	defer kill.Stop()
	if err := s.wait(); err != nil {
		s.t.Errorf("the server ended with: %v", err)
	}
}

func TestTheServerAsAProcess(t *testing.T) {
	t.Parallel()
	p := program{filepath.Join(t.TempDir(), "rocketkit")}
	if out, err := exec.Command("go", "build", "-o", p.path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, f := range map[string]func(*testing.T, program){
		"it is ready in 100 ms and takes 40 MB":           isQuickAndSmall,
		"it keeps everything over an ordered end":         keepsEverything,
		"stop ends both servers":                          stopEndsBoth,
		"stop of one server ends its process and says so": stopSaysWhatElseEnds,
		"servers that run apart are stopped apart":        stopLeavesTheOther,
		"stop tells what does not run":                    stopWithoutServer,
		"stop ends no other process":                      stopEndsNoOther,
		"a second server is told what is taken":           secondServer,
		"its configuration is printed":                    printsConfig,
		"metrics, health and profiles on demand":          servesHTTP,
		"mistakes are told":                               tellsMistakes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, p)
		})
	}
}

func isQuickAndSmall(t *testing.T, p program) {
	var ready, most = time.Hour, 0
	for range 5 {
		s := p.serve(t, "all", "-c", local(t), "--data-dir", t.TempDir())
		ready = min(ready, s.ready)
		if runtime.GOOS == "linux" {
			most = max(most, residentKB(t, s.cmd.Process.Pid))
		}
		if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		s.ended()
	}
	t.Logf("ready in %v, %d KB resident", ready, most)
	if ready > 100*time.Millisecond {
		t.Errorf("it takes %v to be ready", ready)
	}
	if runtime.GOOS != "linux" {
		t.Skip("how much memory it takes is read from /proc, which only Linux has")
	}
	if most == 0 || most > 40<<10 {
		t.Errorf("it takes %d KB of memory", most)
	}
}

// residentKB is a process's VmRSS.
func residentKB(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no VmRSS in %s", text)
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb
}

func servesHTTP(t *testing.T, p program) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String() // nobody takes it in the moment that it is free
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := p.serve(t, "all", "-c", local(t), "--data-dir", t.TempDir(), "--http-addr", addr, "--pprof")
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": "ready", "/metrics": "# TYPE rocketmq_topic_number gauge", "/debug/pprof/goroutine?debug=1": "goroutine profile",
	} {
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s: %.200s, %v", path, resp.Status, body, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.ended()
}

func keepsEverything(t *testing.T, p program) {
	conf, dir := local(t, "flushIntervalCommitLog=3600000", "flushConsumerOffsetInterval=3600000"), t.TempDir()
	s := p.serve(t, "all", "-c", conf, "--data-dir", dir)
	c := cli{t, s.nameServer}
	c.must("topic", "create", "orders", "-r", "1", "-w", "1")
	sent := ids(t, c.must("send", "-t", "orders", "--body", "x", "--count", "3"))
	c.must("consume", "-t", "orders", "-g", "g", "--from", "first", "--max", "1")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.ended()
	for _, left := range []string{"broker.pid", "namesrv.pid"} {
		if _, err := os.Stat(filepath.Join(dir, left)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there still: %v", left, err)
		}
	}
	s = p.serve(t, "all", "-c", conf, "--data-dir", dir)
	c = cli{t, s.nameServer}
	got := received(t, c.must("consume", "-t", "orders", "-g", "g", "--max", "2", "--json"))
	if got[sent[1]].QueueOffset != 1 || got[sent[2]].QueueOffset != 2 {
		t.Errorf("after a restart the group goes on with %v", got)
	}
	if s.log.String() != "" {
		t.Errorf("it warned of what is in order: %s", s.log)
	}
}

func stopEndsBoth(t *testing.T, p program) {
	dir := t.TempDir()
	conf := local(t, "storePathRootDir="+dir)
	s := p.serve(t, "all", "-c", conf)
	pid := s.cmd.Process.Pid
	o := p.run(t, "no address", "server", "stop", "-c", conf)
	want := fmt.Sprintf("The mqbroker(%d) is running...\nSend shutdown request to mqbroker(%[1]d) OK\nThe mqnamesrv(%[1]d) is running...\nSend shutdown request to mqnamesrv(%[1]d) OK\n", pid)
	if o.err != nil || o.notes != "" || o.out != want {
		t.Errorf("%+v, want %q", o, want)
	}
	s.ended()
}

func stopSaysWhatElseEnds(t *testing.T, p program) {
	dir := t.TempDir()
	s := p.serve(t, "all", "-c", local(t), "--data-dir", dir)
	o := p.run(t, "", "server", "stop", "namesrv", "--data-dir", dir)
	if o.err != nil || strings.Contains(o.out, "mqbroker") || o.notes != "the mqbroker is in the same process as the mqnamesrv and ends too\n" {
		t.Errorf("%+v", o)
	}
	s.ended()
}

func stopLeavesTheOther(t *testing.T, p program) {
	dir := t.TempDir()
	names := p.serve(t, "namesrv", "-c", local(t), "--data-dir", dir)
	broker := p.serve(t, "broker", "-c", local(t), "--data-dir", dir, "-n", names.nameServer)
	c := cli{t, names.nameServer}
	c.must("send", "-t", "orders", "--body", "x")
	if o := p.run(t, "", "server", "stop", "broker", "--data-dir", dir); o.err != nil || o.notes != "" || strings.Contains(o.out, "mqnamesrv") {
		t.Errorf("%+v", o)
	}
	broker.ended()
	if o := c.run("topic", "route", "orders"); o.err == nil || !strings.Contains(o.err.Error(), "No route info") { // the name server answers
		t.Errorf("%+v", o)
	}
	if o := p.run(t, "", "server", "stop", "broker", "--data-dir", dir); o.err == nil || !strings.Contains(o.notes, "no mqbroker runs with the data directory "+dir) {
		t.Errorf("%+v", o)
	}
	if o := p.run(t, "", "server", "stop", "--data-dir", dir); o.err != nil || strings.Contains(o.out, "mqbroker") {
		t.Errorf("%+v", o)
	}
	names.ended()
}

func stopWithoutServer(t *testing.T, p program) {
	dir := t.TempDir()
	for want, args := range map[string][]string{
		"no server of rocketkit runs with the data directory " + dir: {"--data-dir", dir},
		`unknown server "brokr": want broker or namesrv`:             {"brokr"},
		`unexpected argument "namesrv"`:                              {"broker", "namesrv"},
	} {
		if o := p.run(t, "", append([]string{"server", "stop"}, args...)...); o.err == nil || o.out != "" || !strings.Contains(o.notes, want) {
			t.Errorf("%q: %+v", args, o)
		}
	}
}

func stopEndsNoOther(t *testing.T, p program) {
	dir := t.TempDir()
	for content, want := range map[string]string{
		strconv.Itoa(os.Getpid()): "no server of rocketkit runs", // the number is another's by now
		"1073741824":              "no server of rocketkit runs",
		"0":                       `broker.pid has no process id: "0"`,
		"-1":                      "has no process id",
		"x":                       "has no process id",
	} {
		if err := os.WriteFile(filepath.Join(dir, "broker.pid"), []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if o := p.run(t, "", "server", "stop", "--data-dir", dir); o.err == nil || !strings.Contains(o.notes, want) {
			t.Errorf("%q: %+v", content, o)
		}
	}
	p.serve(t, "all", "-c", local(t), "--data-dir", dir) // it takes the file over
}

func secondServer(t *testing.T, p program) {
	dir, conf := t.TempDir(), local(t)
	s := p.serve(t, "all", "-c", conf, "--data-dir", dir)
	_, namePort, _ := net.SplitHostPort(s.nameServer)
	_, brokerPort, _ := net.SplitHostPort(s.broker)
	fails := func(want string, args ...string) {
		t.Helper()
		o := p.run(t, "", append([]string{"server", "-c", conf}, args...)...)
		if o.err == nil || o.out != "" || !strings.Contains(o.notes, want) || strings.Count(o.notes, "\n") != 1 {
			t.Errorf("%q: %+v, want %q", args, o, want)
		}
	}
	fails(fmt.Sprintf("process %d is mqbroker with the data directory %s already: stop it (rocketkit server stop)", s.cmd.Process.Pid, dir), "--data-dir", dir, "--namesrv-port", "0")
	fails("port is in use: another process listens on 127.0.0.1:"+namePort, "--data-dir", t.TempDir(), "--namesrv-port", namePort)
	fails("port is in use: another process listens on 127.0.0.1:"+brokerPort, "--data-dir", t.TempDir(), "--namesrv-port", "0", "--broker-port", brokerPort)
	if err := os.Remove(filepath.Join(dir, "broker.pid")); err != nil { // another program's would have none
		t.Fatal(err)
	}
	fails("locked by another process; does another server use that directory? stop it, or choose another: --data-dir", "--data-dir", dir, "--namesrv-port", "0", "--role", "broker", "-n", s.nameServer)
}

func printsConfig(t *testing.T, p program) {
	conf := local(t, "authenticationEnabled=true", "namesrvAddr=10.0.0.1:9876")
	value := func(o outcome, key string) string {
		t.Helper()
		for line := range strings.Lines(o.out) {
			if name, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "="); name == key {
				return v
			}
		}
		t.Errorf("no %s in %+v", key, o)
		return ""
	}
	// A flag comes before the file, the file before the environment.
	for want, args := range map[string][]string{
		"10.0.0.3:9876":  {"server", "-m"},
		"10.0.0.1:9876":  {"server", "-m", "-c", conf},
		"localhost:9876": {"server", "-m", "-c", conf, "-n", "localhost:9876", "--broker-port", "4711", "--data-dir", "/somewhere"},
	} {
		o := p.run(t, "10.0.0.3:9876", args...)
		if got := value(o, "namesrvAddr"); o.err != nil || got != want {
			t.Errorf("%q: name servers %s, %v", args, got, o.err)
		}
		if len(args) > 2 != strings.Contains(o.notes, "line 5: authenticationEnabled has no effect: only Apache RocketMQ has it") {
			t.Errorf("%q warned of %q", args, o.notes)
		}
		if len(args) > 6 && (value(o, "listenPort") != "4711" || value(o, "storePathRootDir") != "/somewhere" || value(o, "brokerName") != "broker-a") {
			t.Errorf("%+v", o)
		}
		if len(args) == 2 && (value(o, "listenPort") != "10911" || value(o, "storePathRootDir") != filepath.Join(os.Getenv("HOME"), "store")) {
			t.Errorf("the defaults: %+v", o)
		}
	}
}

func tellsMistakes(t *testing.T, p program) {
	conf := local(t, "brokrRole=x", "flushDiskType=SYNC", "maxMessageSize=4MB")
	for _, tc := range []struct {
		want string
		args []string
	}{
		{conf + ":\nline 5: unknown key \"brokrRole\", neither broker-lite nor Apache RocketMQ has it; did you mean \"brokerRole\"?\nline 6: flushDiskType=SYNC: want ASYNC_FLUSH or SYNC_FLUSH\nline 7: maxMessageSize=4MB: want bytes as a whole number", []string{"-c", conf}},
		{`role "master": want all, namesrv or broker`, []string{"--role", "master"}},
		{"role broker needs the address of a name server: -n, namesrvAddr in broker.conf, NAMESRV_ADDR", []string{"--role", "broker"}},
		{`--log-level "loud": want debug, info, warn or error` + "\n" + `see "rocketkit server --help"`, []string{"--log-level", "loud"}},
		{`name server "nowhere": want addresses as host:port`, []string{"-n", "nowhere"}},
		{"name server port 70000: want 0 to 65535", []string{"--namesrv-port", "70000"}},
		{"broker port -1: want 0 to 65535", []string{"--broker-port", "-1"}},
		{`invalid argument "x" for "--broker-port" flag: want a whole number` + "\n" + `see "rocketkit server --help"`, []string{"--broker-port", "x"}},
		{"open /does/not/exist.conf: no such file or directory", []string{"-c", "/does/not/exist.conf"}},
		{`unknown command "stpo" for "rocketkit server"; did you mean stop?`, []string{"stpo"}},
	} {
		if o := p.run(t, "", append([]string{"server"}, tc.args...)...); o.err == nil || o.out != "" || !strings.Contains(o.notes, tc.want) || !strings.HasPrefix(o.notes, "rocketkit: ") {
			t.Errorf("%q: %+v, want %q", tc.args, o, tc.want)
		}
	}
	var exit *exec.ExitError
	if o := p.run(t, "", "--version"); o.err != nil || !strings.HasPrefix(o.out, "rocketkit version ") {
		t.Errorf("%+v", o)
	}
	if o := p.run(t, "", "help", "topic", "create"); o.err != nil || !strings.Contains(o.out, "rocketkit topic create <topic> [flags]") || o.notes != "" {
		t.Errorf("%+v", o)
	}
	if o := p.run(t, "", "help", "topic", "nonsense"); o.err == nil || o.out != "" || !strings.Contains(o.notes, `unknown command "nonsense" for "rocketkit topic"`) {
		t.Errorf("%+v", o)
	}
	if o := p.run(t, "", "nonsense"); !errors.As(o.err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%+v", o)
	}
}

// A server whose output nobody reads any more ends, and says why.
func TestAServerThatCannotSayThatItRunsEnds(t *testing.T) {
	t.Parallel()
	root := newRoot()
	root.SetArgs([]string{"server", "-c", local(t), "--data-dir", t.TempDir(), "--namesrv-port", "0", "-n", ""})
	root.SetOut(refusing{})
	root.SetErr(io.Discard)
	if err := root.ExecuteContext(t.Context()); !errors.Is(err, errRefusing) {
		t.Error(err)
	}
}
