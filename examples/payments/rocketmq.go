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

// clientConfig is what the configuration says, of this cluster.
func clientConfig(s settings, c cluster) config.Config {
	s.client.NameServers = c.nameServers
	return s.client
}

// clientOptions let the client say what is worth a warning.
func clientOptions(log *slog.Logger) []rocketkit.Option {
	return []rocketkit.Option{rocketkit.WithLogger(warnings(log))}
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
