package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/admin"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/config/load"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// defaultNameServer is where "rocketkit server" listens.
const defaultNameServer = "127.0.0.1:9876"

// connection is how a command reaches its server.
type connection struct {
	nameServers string
	file        string
	secureFlags
}

// addTo gives a command the flags for it.
func (c *connection) addTo(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVarP(&c.nameServers, "name-servers", "n", "", "name servers, host:port;host:port (NAMESRV_ADDR; default "+defaultNameServer+")")
	flags.StringVar(&c.file, "config", "", "a client's configuration file (YAML, TOML, JSON, properties), for its name_servers, credentials and tls; ROCKETMQ_ variables and flags win over it")
	c.secureFlags.addTo(cmd)
}

// read is what the file and the environment say, with the name servers to ask.
func (c *connection) read() (rocketkit.Config, error) {
	var from []load.Option
	if c.file != "" {
		from = append(from, load.File(c.file))
	}
	all, err := load.Load(from...)
	if err != nil {
		return rocketkit.Config{}, err
	}
	cfg := rocketkit.Config{Credentials: all.Credentials, TLS: all.TLS}
	if err := c.over(&cfg); err != nil {
		return rocketkit.Config{}, err
	}
	if cfg.NameServers, err = c.addrs(all.NameServers); err != nil {
		return rocketkit.Config{}, err
	}
	return cfg, cfg.Validate()
}

// addrs are the name servers' addresses; the flag wins over those that are configured.
func (c *connection) addrs(configured []string) ([]string, error) {
	text := c.nameServers
	if text == "" {
		text = strings.Join(configured, ";")
	}
	if text == "" {
		text = defaultNameServer
	}
	addrs := config.SplitAddresses(text)
	for _, a := range addrs {
		if !isAddress(a) {
			return nil, fmt.Errorf("name server %q: want host:port, such as %s (-n or %s)", a, defaultNameServer, config.EnvNameServers)
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("no name server in %q: want host:port, such as %s", text, defaultNameServer)
	}
	return addrs, nil
}

// isAddress reports whether text is host:port.
func isAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	n, portErr := strconv.ParseUint(port, 10, 16)
	return err == nil && portErr == nil && host != "" && n > 0
}

// closeTimeout bounds the end of a command's connections.
const closeTimeout = 3 * time.Second

// client opens a client that warns on the command's stderr. The returned function
// closes it.
func (c *connection) client(cmd *cobra.Command) (*rocketkit.Client, func() error, error) {
	cfg, err := c.read()
	if err != nil {
		return nil, nil, usageError(cmd, err)
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	opts := []rocketkit.Option{rocketkit.WithLogger(log)}
	encryption, err := c.encryption(cfg.TLS)
	if err != nil {
		return nil, nil, usageError(cmd, err)
	}
	if encryption != nil {
		opts = append(opts, rocketkit.WithTLSConfig(encryption))
	}
	client, err := rocketkit.Open(cmd.Context(), cfg, opts...)
	if err != nil {
		return nil, nil, usageError(cmd, err) // the network is not asked yet
	}
	return client, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		return client.Drain(ctx)
	}, nil
}

// withClient runs f with a client.
func (c *connection) withClient(cmd *cobra.Command, f func(context.Context, *rocketkit.Client) error) error {
	client, closeClient, err := c.client(cmd)
	if err != nil {
		return err
	}
	return errors.Join(c.explain(f(cmd.Context(), client)), closeClient())
}

// administer runs f with an admin client.
func (c *connection) administer(cmd *cobra.Command, f func(context.Context, *admin.Client) error) error {
	return c.withClient(cmd, func(ctx context.Context, client *rocketkit.Client) error {
		a, err := client.Admin()
		if err != nil {
			return err
		}
		return f(ctx, a)
	})
}

// explain says what to do about a server that is not there; other errors say so
// themselves.
func (c *connection) explain(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, protocol.ErrFrameTooLarge) || errors.Is(err, protocol.ErrMalformedFrame) {
		return fmt.Errorf("%w; is it a RocketMQ server that listens there?", err)
	}
	if errors.Is(err, message.ErrNoNameServer) && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w; is it a name server that listens there?", err)
	}
	cfg, cfgErr := c.read()
	if cfgErr == nil {
		if said := explainSecurity(cfg, err); said != nil {
			return said
		}
	}
	var op *net.OpError
	var advertised *message.AddrError // says it itself
	if !errors.As(err, &op) || op.Op != "dial" || errors.As(err, &advertised) {
		return err
	}
	where := "the server"
	if op.Addr != nil {
		where = op.Addr.String()
	}
	if cfgErr == nil && errors.Is(err, message.ErrNoNameServer) {
		where = strings.Join(cfg.NameServers, ";")
	}
	var unknown *net.DNSError
	switch {
	case errors.As(err, &unknown):
		return &explained{fmt.Sprintf("connect to %s: no host is found by the name %s", where, unknown.Name), err}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &explained{fmt.Sprintf("connect to %s refused: is the server running? start one with: rocketkit server", where), err}
	case op.Timeout():
		return &explained{fmt.Sprintf("connect to %s: no answer: is the address right, and does no firewall stand between?", where), err}
	}
	return err
}

// explained is an error in words for somebody at a terminal.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }

func (e *explained) Unwrap() error { return e.err }

// nameOf is the topic or group that a command is for: its argument, or the flag.
func nameOf(cmd *cobra.Command, what, want string, args []string, flag string) (string, error) {
	name := flag
	if len(args) > 0 {
		if name != "" && name != args[0] {
			return "", usageError(cmd, fmt.Errorf("two %ss, %q and %q: want one", what, args[0], name))
		}
		name = args[0]
	}
	if strings.TrimSpace(name) == "" {
		return "", usageError(cmd, fmt.Errorf("no %s is named: want %s", what, want))
	}
	return name, nil
}

// topicOf is the topic that a command is for, from its argument or -t.
func topicOf(cmd *cobra.Command, args []string, flag string) (string, error) {
	topic, err := nameOf(cmd, "topic", "-t <topic>", args, flag)
	if err != nil {
		return "", err
	}
	return topic, message.CheckTopic(topic)
}

// groupOf is the consumer group that a command is for, from its argument or -g.
func groupOf(cmd *cobra.Command, args []string, flag string) (string, error) {
	group, err := nameOf(cmd, "consumer group", "-g <group>", args, flag)
	if err != nil {
		return "", err
	}
	return group, message.CheckGroup(group)
}
