package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/config"
)

// closeTimeout bounds the end of RocketMQ in this process.
const closeTimeout = time.Second

// cluster is the RocketMQ that is used.
type cluster struct {
	nameServers []string
	embedded    bool
}

// openCluster finds the name servers, or starts a server in this process, which
// the returned function ends.
func openCluster(ctx context.Context, s settings, log *slog.Logger) (cluster, func(), error) {
	if !s.embedded() {
		return cluster{nameServers: s.client.NameServers}, func() {}, nil
	}
	opts := []brokerlite.Option{brokerlite.Dir(filepath.Join(filepath.Dir(s.db), "broker-lite")), brokerlite.WithLogger(warnings(log))}
	b, err := brokerlite.Start(ctx, append(opts, s.broker...)...)
	if err != nil {
		return cluster{}, nil, err
	}
	end := func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			log.Error("ending RocketMQ in this process", "error", err)
		}
	}
	return cluster{nameServers: []string{b.NameServer()}, embedded: true}, end, nil
}

// openClient opens the one client of the process. The returned function closes it,
// where app.Drain has not.
func openClient(ctx context.Context, s settings, c cluster, log *slog.Logger) (*rocketkit.Client, func(), error) {
	client, err := rocketkit.Open(ctx, clientConfig(s, c), rocketkit.WithLogger(warnings(log)))
	if err != nil {
		return nil, nil, err
	}
	closeClient := func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = client.Drain(ctx) // app.Drain has said it; without it nothing had begun
	}
	return client, closeClient, nil
}

// clientConfig is what the file and the environment say, with this service's own
// defaults.
func clientConfig(s settings, c cluster) config.Config {
	cfg := s.client
	cfg.NameServers = c.nameServers
	if cfg.Producer.Retries == nil {
		cfg.Producer.Retries = new(int)
		*cfg.Producer.Retries = 3
	}
	if cfg.Producer.SendTimeout == 0 {
		cfg.Producer.SendTimeout = sendTimeout
	}
	return cfg
}

// unreachable says why no name server can be reached, nil when one can. The client
// starts anyway and waits for them.
func (c cluster) unreachable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var last error
	for _, addr := range c.nameServers {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		last = err
	}
	return fmt.Errorf("no name server answers at %s: %w", strings.Join(c.nameServers, ";"), last)
}

// warnings passes on what is worth a warning: RocketMQ's own news are not this
// service's.
func warnings(log *slog.Logger) *slog.Logger { return slog.New(atLeast{log.Handler(), slog.LevelWarn}) }

// atLeast is a slog.Handler with a level of its own.
type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

func (h atLeast) WithAttrs(as []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(as), h.level}
}

func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}
