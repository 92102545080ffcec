package apache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Role says which processes [Start] starts.
type Role string

// The roles; the empty one means [RoleAll].
const (
	RoleAll        Role = "all"
	RoleNameServer Role = "namesrv"
	RoleBroker     Role = "broker"
)

// Options of [Start]. The zero value is Apache RocketMQ 5.4.0, one name server
// and one broker, on a temporary directory.
type Options struct {
	// Version is V5 unless set.
	Version string
	// Dir holds configuration, logs and the store, and survives Stop. Empty
	// means a temporary directory that Stop removes.
	Dir string
	// Role is RoleAll unless set.
	Role Role
	// NameServer is the "host:port;host:port" that a broker of RoleBroker
	// registers with. The other roles ignore it.
	NameServer string
	// BrokerConf holds lines of broker.conf that are added to, or put in place
	// of, this package's own, such as {"brokerRole": "SYNC_MASTER"}.
	BrokerConf map[string]string
	// TransactionCheck, when positive, is both the broker's immunity time of a
	// half message and its scan interval; Apache's own are 6 s and 30 s (4.9:
	// 60 s).
	TransactionCheck time.Duration
	// Fast gives the broker's JVM what makes it fast after a while, at the cost of a
	// slower start: all compilers and the parallel collector.
	Fast bool
	// JVM holds further flags of the broker's JVM, such as "-Xmx2g", and NameServerJVM of
	// the name server's.
	JVM, NameServerJVM []string
	// StartTimeout bounds the start of each attempt; 60 s unless set.
	StartTimeout time.Duration
	// Log is told what starts and stops; nil discards.
	Log *slog.Logger
}

func (o *Options) defaults() {
	if o.Version == "" {
		o.Version = V5
	}
	if o.Role == "" {
		o.Role = RoleAll
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = 60 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
}

func (o *Options) validate() error {
	switch {
	case o.Role != RoleAll && o.Role != RoleNameServer && o.Role != RoleBroker:
		return fmt.Errorf("apache: no role %q (all, namesrv, broker)", o.Role)
	case o.Role == RoleBroker && o.NameServer == "":
		return errors.New("apache: a broker alone needs Options.NameServer")
	case o.TransactionCheck < 0 || o.StartTimeout < 0:
		return errors.New("apache: negative duration in Options")
	}
	return nil
}

// Server is a running Apache RocketMQ: a name server, a broker, or both.
type Server struct {
	opts       Options
	dir        string
	ownDir     bool
	nameServer string
	broker     string
	ready      time.Duration

	stop      sync.Once
	stopErr   error
	processes []*process // in the order in which they started; fixed after Start
}

// attempts bounds how often Start looks for other ports when another program
// took one between the choice and the JVM's bind.
const attempts = 3

// Start starts the processes and returns when the broker is registered at the
// name server. When ctx ends before that, everything started is stopped again.
func Start(ctx context.Context, opts Options) (*Server, error) {
	opts.defaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if err := checkJava(); err != nil {
		return nil, err
	}
	classpath, err := Classpath(ctx, opts.Version)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		s, err := start(ctx, opts, classpath)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errPortTaken) || attempt == attempts {
			return nil, err
		}
		opts.Log.WarnContext(ctx, "a port was taken, choosing others", "attempt", attempt, "error", err)
	}
}

func start(ctx context.Context, opts Options, classpath string) (*Server, error) {
	began := time.Now()
	s := &Server{opts: opts, dir: opts.Dir}
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "apache-rocketmq-*")
		if err != nil {
			return nil, err
		}
		s.dir, s.ownDir = dir, true
	}
	err := s.start(ctx, classpath)
	if err != nil {
		return nil, errors.Join(err, s.Kill())
	}
	s.ready = time.Since(began)
	opts.Log.InfoContext(ctx, "Apache RocketMQ is ready", "version", opts.Version, "nameServer", s.nameServer,
		"broker", s.broker, "dir", s.dir, "took", s.ready.Round(time.Millisecond))
	return s, nil
}

func (s *Server) start(ctx context.Context, classpath string) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.StartTimeout)
	defer cancel()
	home, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	s.dir = home
	nsPort, brokerPort, err := freePorts()
	if err != nil {
		return err
	}
	if err := writeHome(home); err != nil {
		return err
	}
	classpath = filepath.Join(home, "home", "conf") + string(os.PathListSeparator) + classpath
	// Both JVMs start at once: a name server listens long before a broker comes to
	// register. Should it not, the broker tries again 10 s later.
	var nameServer, broker *process
	s.nameServer = s.opts.NameServer
	if s.opts.Role != RoleBroker {
		s.nameServer = net.JoinHostPort("127.0.0.1", strconv.Itoa(nsPort))
		if nameServer, err = s.launchNameServer(classpath, nsPort); err != nil {
			return err
		}
	}
	if s.opts.Role != RoleNameServer {
		s.broker = net.JoinHostPort("127.0.0.1", strconv.Itoa(brokerPort))
		if broker, err = s.launchBroker(classpath, brokerPort); err != nil {
			return err
		}
	}
	if nameServer != nil {
		if err := s.awaitNameServer(ctx, nameServer); err != nil {
			return err
		}
	}
	if broker != nil {
		return s.awaitBroker(ctx, broker)
	}
	return nil
}

// NameServer returns the name server's address, "127.0.0.1:port".
func (s *Server) NameServer() string { return s.nameServer }

// BrokerAddr returns the broker's address, empty for a name server alone.
func (s *Server) BrokerAddr() string { return s.broker }

// BrokerName returns the name that the broker registers with.
func (s *Server) BrokerName() string { return brokerConf(s.opts, s.dir, 0, "")["brokerName"] }

// Version returns the Apache RocketMQ version, such as "5.4.0".
func (s *Server) Version() string { return s.opts.Version }

// Dir returns the directory with broker.conf, the logs and the store.
func (s *Server) Dir() string { return s.dir }

// StartTook returns how long the last start took until the broker was registered.
func (s *Server) StartTook() time.Duration { return s.ready }

// PIDs returns the process ids of the JVMs.
func (s *Server) PIDs() []int {
	var pids []int
	for _, p := range s.processes {
		pids = append(pids, p.cmd.Process.Pid)
	}
	return pids
}

// Logs returns the last lines that each process printed: what to show when a
// test fails.
func (s *Server) Logs() string {
	var text string
	for _, p := range s.processes {
		text += fmt.Sprintf("--- %s (%s)\n%s\n", p.name, p.log, p.logTail())
	}
	return text
}

// Stop ends the processes and waits until they are gone, at most about 30 s. On
// a directory of the caller's the broker gets the 20 s that Apache may take to
// close its store; on a temporary one it is killed, and the directory removed.
// Stop and Kill may be called more than once.
func (s *Server) Stop() error {
	if s.ownDir {
		return s.Kill()
	}
	return s.end(20 * time.Second)
}

// Kill ends the processes with SIGKILL, as a crash would.
func (s *Server) Kill() error { return s.end(0) }

func (s *Server) end(grace time.Duration) error {
	s.stop.Do(func() {
		var errs []error
		for i := len(s.processes) - 1; i >= 0; i-- { // the broker unregisters while its name server lives
			errs = append(errs, s.processes[i].stop(grace))
		}
		if s.ownDir {
			errs = append(errs, os.RemoveAll(s.dir))
		}
		s.stopErr = errors.Join(errs...)
		s.opts.Log.Info("Apache RocketMQ is stopped", "version", s.opts.Version, "error", s.stopErr)
	})
	return s.stopErr
}
