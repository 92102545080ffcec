package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/rocketkit/rocketkit/conformance/apache"
)

// server is what cells run against.
type server interface {
	// round is called before every round, and leaves the topics as they must be.
	round(ctx context.Context, fillUp bool) error
	// fit completes a job for this server.
	fit(j *job)
	stop() error
}

// buildServer builds the command rocketkit into a directory.
func buildServer(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "rocketkit")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/rocketkit/rocketkit/cmd/rocketkit")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cmd/rocketkit: %w\n%s", err, out)
	}
	return path, nil
}

// liteProcess is a running "rocketkit server".
type liteProcess struct {
	cmd        *exec.Cmd
	exited     chan struct{} // closed when the process has ended; err is final then
	err        error
	output     bytes.Buffer // read after exited only
	nameServer string
	broker     string
	ready      time.Duration // from the process's start to its first answers
}

// startLite starts the server on a directory and waits until its name server
// and its broker have answered a request each, and the first knows the second.
func startLite(ctx context.Context, binary, dir string) (*liteProcess, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "broker.conf")
	// A pile may fill most of the disk: retention is to delete none of it.
	if err := os.WriteFile(conf, []byte("brokerIP1=127.0.0.1\nbindAddress=127.0.0.1\nflushDiskType=ASYNC_FLUSH\ndiskMaxUsedSpaceRatio=100\ndiskSpaceCleanForciblyRatio=100\n"), 0o644); err != nil {
		return nil, err
	}
	p := &liteProcess{
		exited: make(chan struct{}), nameServer: addr(ports[0]), broker: addr(ports[1]),
		cmd: exec.Command(binary, "server", "-c", conf, "--data-dir", filepath.Join(dir, "store"),
			"--namesrv-port", strconv.Itoa(ports[0]), "--broker-port", strconv.Itoa(ports[1])),
	}
	p.cmd.Env = append(os.Environ(), "NAMESRV_ADDR=")
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	limit, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := poll(limit, time.Millisecond, p.answers); err != nil {
		stopErr := p.stop()
		return nil, errors.Join(fmt.Errorf("rocketkit server does not answer: %w\n%s", err, p.output.Bytes()), stopErr)
	}
	p.ready = time.Since(began)
	return p, nil
}

func addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// answers asks both servers.
func (p *liteProcess) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	names, err := dialWire(ctx, p.nameServer)
	if err != nil {
		return err
	}
	defer names.close()
	broker, err := dialWire(ctx, p.broker)
	if err != nil {
		return err
	}
	defer broker.close()
	if _, _, err := broker.ask(codeRuntimeInfo, nil); err != nil {
		return err
	}
	_, body, err := names.ask(codeGetRoute, map[string]string{"topic": "TBW102"})
	if err == nil && !bytes.Contains(body, []byte(p.broker)) {
		err = fmt.Errorf("the route does not have %s: %s", p.broker, body)
	}
	return err
}

func (p *liteProcess) pid() int { return p.cmd.Process.Pid }

// stop ends the process, which is this program's own.
func (p *liteProcess) stop() error {
	select {
	case <-p.exited:
		return fmt.Errorf("rocketkit server ended by itself: %w\n%s", p.err, p.output.Bytes())
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited:
		return p.err
	case <-time.After(20 * time.Second):
		err := p.cmd.Process.Kill()
		<-p.exited
		return errors.Join(errors.New("rocketkit server did not end within 20s of SIGTERM"), err)
	}
}

// freePorts finds ports on loopback that nobody listens on.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// lite is broker-lite as a process of its own. It starts anew for each round, on
// an empty directory: it needs no warm-up, and so the disk does not fill.
type lite struct {
	binary  string
	dir     string
	body    int
	process *liteProcess
}

func (s *lite) round(ctx context.Context, fillUp bool) error {
	if err := s.stop(); err != nil {
		return err
	}
	p, err := startLite(ctx, s.binary, s.dir)
	if err != nil {
		return err
	}
	s.process = p
	if err := createTopics(ctx, p.nameServer, p.broker); err != nil {
		return err
	}
	if fillUp {
		return fillServer(ctx, s, s.body)
	}
	return nil
}

func (s *lite) fit(j *job) {
	j.NameServer, j.Broker, j.ServerPIDs = s.process.nameServer, s.process.broker, []int{s.process.pid()}
}

func (s *lite) stop() error {
	if s.process == nil {
		return nil
	}
	err := s.process.stop()
	s.process = nil
	return errors.Join(err, os.RemoveAll(s.dir))
}

// apacheServer is Apache RocketMQ. It is started, filled and warmed once: a JVM is
// slow at first.
type apacheServer struct {
	server *apache.Server
}

// apacheHeap is that of its broker's JVM.
const apacheHeap = "2g"

// apacheOptions are Apache's defaults, but for what a comparison on one machine
// needs: loopback addresses, async flush said in so many words, a heap that does
// not hold it up, and no refusals when the machine lets a send wait.
func apacheOptions(dir string) apache.Options {
	return apache.Options{
		Version: apache.V5, Dir: dir,
		Fast: true,
		JVM:  []string{"-Xms" + apacheHeap, "-Xmx" + apacheHeap},
		BrokerConf: map[string]string{
			"flushDiskType":           "ASYNC_FLUSH",
			"mappedFileSizeCommitLog": strconv.Itoa(1 << 30),
			"enablePropertyFilter":    "false",
			"traceTopicEnable":        "false",
		},
	}
}

// startApache starts it and warms it up for about warm, with every row by both
// clients.
func startApache(ctx context.Context, dir string, o *options, progress io.Writer) (*apacheServer, error) {
	s, err := apache.Start(ctx, apacheOptions(dir))
	if err != nil {
		return nil, err
	}
	a := &apacheServer{server: s}
	if err := a.warm(ctx, o, progress); err != nil {
		return nil, errors.Join(err, a.stop())
	}
	return a, nil
}

func (a *apacheServer) warm(ctx context.Context, o *options, progress io.Writer) error {
	if err := createTopics(ctx, a.server.NameServer(), a.server.BrokerAddr()); err != nil {
		return err
	}
	if err := fillServer(ctx, a, o.body); err != nil {
		return err
	}
	clients := allClients()
	each := o.apacheWarm / time.Duration(len(o.rows)*len(clients))
	for _, row := range o.rows {
		for _, client := range clients {
			fmt.Fprintf(progress, "warming Apache RocketMQ up: %s, %s, %v\n", row, client, each)
			j := &job{cell: cell{row, client, apacheName}, Measure: each, Body: o.body, Limit: fillMessages, Group: "bench_warm_" + client}
			a.fit(j)
			if _, err := spawn(ctx, j); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *apacheServer) round(context.Context, bool) error { return nil }

func (a *apacheServer) fit(j *job) {
	j.NameServer, j.Broker, j.ServerPIDs = a.server.NameServer(), a.server.BrokerAddr(), a.server.PIDs()
}

func (a *apacheServer) stop() error { return a.server.Kill() }

// fillServer fills the topic that is consumed, by a process of its own.
func fillServer(ctx context.Context, s server, body int) error {
	j := &job{cell: cell{Row: rowFill, Client: nativeName}, Body: body, Limit: fillMessages}
	s.fit(j)
	got, err := spawn(ctx, j)
	if err == nil && got.Crash != "" {
		err = errors.New(got.Crash)
	}
	return err
}

// inProcess is broker-lite inside the client's process.
type inProcess struct{ dir string }

func (s *inProcess) round(context.Context, bool) error { return nil }
func (s *inProcess) stop() error                       { return os.RemoveAll(s.dir) }

func (s *inProcess) fit(j *job) {
	j.Dir = filepath.Join(s.dir, j.Group) // a new one for each job
}
