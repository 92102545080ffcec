package brokerlite

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/clock"
	"github.com/rocketkit/rocketkit/broker-lite/internal/config"
	"github.com/rocketkit/rocketkit/broker-lite/internal/seldom"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// Role says which servers run.
type Role string

// The roles.
const (
	RoleAll        Role = "all"     // a name server and a broker
	RoleNameServer Role = "namesrv" // a name server only
	RoleBroker     Role = "broker"  // a broker only; it needs NameServers
)

// Option changes what Start starts.
type Option func(*settings)

// settings are what the options say; see validate for what they must be.
type settings struct {
	standalone bool
	home, host string // of Standalone
	role       Role
	dir        string
	inMemory   bool
	files      vfs.FS // of a test
	logger     *slog.Logger
	clock      clock.Clock
	network    *Network
	nameServer int // port
	tls        *tls.Config
	dialTLS    *tls.Config // for name servers elsewhere
	strict     bool
	debug      http.Handler
	confFile   string                                                // of the last ConfFile
	edits      []func(*config.Config) (warnings []string, err error) // in order
}

func (s *settings) edit(f func(c *config.Config)) {
	s.edits = append(s.edits, func(c *config.Config) ([]string, error) { f(c); return nil, nil })
}

// Dir keeps everything in a directory, which is made when it is missing. It takes
// up what an earlier run, or Apache's tools, left there.
func Dir(path string) Option { return func(s *settings) { s.dir = path } }

// InMemory keeps everything in memory.
func InMemory() Option { return func(s *settings) { s.inMemory = true } }

// WithRole chooses which servers run; RoleAll by default.
func WithRole(r Role) Option { return func(s *settings) { s.role = r } }

// WithLogger tells what happens; nothing is logged without it.
func WithLogger(l *slog.Logger) Option { return func(s *settings) { s.logger = l } }

// WithClock lets delays, timers, transaction checks and store times go by a clock
// that a test moves. Heartbeats and long polls do not: they belong to package time.
func WithClock(c *ManualClock) Option { return func(s *settings) { s.clock = c.clock } }

// VirtualNetwork serves on a network in memory in place of the machine's.
func VirtualNetwork(n *Network) Option { return func(s *settings) { s.network = n } }

// NameServerPort sets the name server's port. 0, the default, picks a free one.
func NameServerPort(port int) Option { return func(s *settings) { s.nameServer = port } }

// BrokerPort sets the broker's port. 0, the default, picks a free one.
func BrokerPort(port int) Option {
	return func(s *settings) {
		s.edits = append(s.edits, func(c *config.Config) ([]string, error) {
			if port < 0 || port > 65535 {
				return nil, fmt.Errorf("broker port %d: want 0 to 65535", port)
			}
			c.ListenPort = port
			return nil, nil
		})
	}
}

// NameServers names the name servers, as host:port, that the broker registers with
// besides its own. It takes the place of those that an earlier option names.
func NameServers(addrs ...string) Option {
	return func(s *settings) {
		s.edits = append(s.edits, func(c *config.Config) ([]string, error) {
			var all []string
			for _, addr := range addrs {
				list, err := config.ParseNameServers(addr)
				if err != nil {
					return nil, fmt.Errorf("name server %q: want %w", addr, err)
				}
				all = append(all, list...)
			}
			c.NameServers = all
			return nil, nil
		})
	}
}

// Name sets the names of the broker and its cluster; "broker-a" and
// "DefaultCluster" by default.
func Name(broker, cluster string) Option {
	return func(s *settings) {
		s.edit(func(c *config.Config) { c.BrokerName, c.ClusterName = broker, cluster })
	}
}

// AutoCreateTopics says whether a send makes the topic that it names; true by
// default, as on Apache.
func AutoCreateTopics(on bool) Option {
	return func(s *settings) { s.edit(func(c *config.Config) { c.AutoCreateTopic = on }) }
}

// SyncFlush answers a send only when its message is on the disk. By default it is
// written, and synced within 500 ms.
func SyncFlush() Option {
	return func(s *settings) { s.edit(func(c *config.Config) { c.SyncFlush = true }) }
}

// TransactionChecks sets how old a half message is when it is checked first, and
// how often checks run; 6 s and 30 s by default, as on Apache.
func TransactionChecks(immunity, interval time.Duration) Option {
	return func(s *settings) {
		s.edits = append(s.edits, func(c *config.Config) ([]string, error) {
			if immunity < 0 || interval <= 0 {
				return nil, fmt.Errorf("transaction checks after %v, every %v: want an immunity that is not negative and a positive interval", immunity, interval)
			}
			c.TransactionTimeout, c.TransactionCheckInterval = immunity, interval
			return nil, nil
		})
	}
}

// ACLFile has the broker check every request by the rules of a plain_acl.yml, which it
// reads again when the file changes. The name server asks for no signature, as
// Apache's. The file is on the machine's disk, also for a server in memory.
func ACLFile(path string) Option {
	return func(s *settings) {
		s.edit(func(c *config.Config) { c.ACLEnable, c.ACLFile = true, path })
	}
}

// StrictConsumeFrom lets a consumer group that has no offset begin where it asks
// to begin. By default a group that asks for the end of a young queue, whose first
// message is still there and in memory, gets all of it, as on Apache.
func StrictConsumeFrom() Option { return func(s *settings) { s.strict = true } }

// Conf sets what a broker.conf's text says, such as "maxMessageSize=65536". Keys
// that only Apache has are warned of in the log; any other unknown key is an error.
func Conf(text string) Option {
	return func(s *settings) {
		s.edits = append(s.edits, func(c *config.Config) ([]string, error) { return c.Read(text) })
	}
}

// ConfFile is Conf for the file at path.
// The broker writes changes that mqadmin makes at run time into it.
func ConfFile(path string) Option {
	return func(s *settings) {
		s.confFile = path
		s.edits = append(s.edits, func(c *config.Config) ([]string, error) { return c.ReadFile(path) })
	}
}

// Standalone has Apache's defaults for a server of its own: ports 9876 and 10911
// on all interfaces, the store in home/store, commit log files of 1 GiB, the
// machine's name as the broker's. It must come before options that change these.
func Standalone(home, hostName string) Option {
	return func(s *settings) {
		s.standalone, s.home, s.host = true, home, hostName
		s.nameServer = 9876
	}
}

// plan is what Start follows.
type plan struct {
	settings
	config   config.Config
	warnings []string
}

// warn logs what the configuration is warned of.
func (p *plan) warn() {
	for _, w := range p.warnings {
		p.logger.Warn("broker configuration: " + w)
	}
}

// validate applies the options. The error joins all mistakes.
func validate(opts []Option) (*plan, error) {
	p := &plan{settings: settings{role: RoleAll}}
	for _, o := range opts {
		o(&p.settings)
	}
	if p.logger == nil {
		p.logger = slog.New(slog.DiscardHandler)
	}
	p.logger = slog.New(seldom.Handler(p.logger.Handler()))
	var errs []error
	if p.standalone {
		p.config = config.Standalone(p.home, p.host)
	} else {
		p.config = config.Embedded("store")
	}
	for _, edit := range p.edits {
		warnings, err := edit(&p.config)
		p.warnings = append(p.warnings, warnings...)
		errs = append(errs, err)
	}
	if p.dir != "" {
		p.config.StorePath = p.dir
	}
	switch {
	case p.role != RoleAll && p.role != RoleNameServer && p.role != RoleBroker:
		errs = append(errs, fmt.Errorf("role %q: want %s, %s or %s", p.role, RoleAll, RoleNameServer, RoleBroker))
	case p.role == RoleBroker && len(p.config.NameServers) == 0:
		errs = append(errs, errors.New("role broker needs the address of a name server: -n, namesrvAddr in broker.conf, NAMESRV_ADDR, or brokerlite.NameServers"))
	}
	if p.dir != "" && p.inMemory {
		errs = append(errs, fmt.Errorf("both a directory (%s) and in memory", p.dir))
	}
	if p.nameServer < 0 || p.nameServer > 65535 {
		errs = append(errs, fmt.Errorf("name server port %d: want 0 to 65535", p.nameServer))
	}
	warnings, err := p.config.Validate()
	p.warnings = append(p.warnings, warnings...)
	return p, errors.Join(append(errs, err)...)
}
