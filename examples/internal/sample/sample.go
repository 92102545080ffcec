package sample

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/config"
)

// Say tells a line of what happens. Handlers may call it at the same time.
type Say func(format string, args ...any)

// Run is a sample. It returns when it is done, or when ctx has ended.
type Run func(ctx context.Context, client *rocketkit.Client, say Say) error

// Option adds something to what a sample runs with.
type Option func(*setup)

type setup struct {
	server []brokerlite.Option
	client []rocketkit.Option
}

// Server is for the server, when it runs here.
func Server(opts ...brokerlite.Option) Option { return func(s *setup) { s.server = opts } }

// Client is for the client.
func Client(opts ...rocketkit.Option) Option { return func(s *setup) { s.client = opts } }

// Main runs a sample until it is done or Ctrl-C ends it, and exits with 1 when it fails.
func Main(run Run, opts ...Option) {
	Members(1, func(ctx context.Context, clients []*rocketkit.Client, say Say) error {
		return run(ctx, clients[0], say)
	}, opts...)
}

// Members is Main for a sample with n clients, which in production are n processes.
func Members(n int, run func(ctx context.Context, clients []*rocketkit.Client, say Say) error, opts ...Option) {
	var with setup
	for _, o := range opts {
		o(&with)
	}
	ctx, done := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, n, run, with)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // Ctrl-C
	}
	done()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func start(ctx context.Context, n int, run func(context.Context, []*rocketkit.Client, Say) error, with setup) (err error) {
	var ends []func() error
	defer func() {
		for _, end := range slices.Backward(ends) {
			err = errors.Join(err, end())
		}
	}()
	cfg, end, err := Cluster(ctx, rocketkit.Config{}.WithDefaults(), slog.Default(), append([]brokerlite.Option{brokerlite.InMemory()}, with.server...)...)
	if err != nil {
		return err
	}
	ends = append(ends, func() error { end(); return nil }) // behind the clients, which commit at their end
	if os.Getenv(config.EnvNameServers) != "" {
		say("RocketMQ: at %s", strings.Join(cfg.NameServers, ";"))
	} else {
		say("RocketMQ: in this process, name server %s; set NAMESRV_ADDR to use another", cfg.NameServers[0])
	}
	with.client = append([]rocketkit.Option{rocketkit.WithLogger(Log())}, with.client...)
	clients := make([]*rocketkit.Client, n)
	for i := range clients {
		if clients[i], err = rocketkit.Open(ctx, cfg, with.client...); err != nil {
			return err
		}
		ends = append(ends, clients[i].Close) // drains producers and consumers
	}
	return run(ctx, clients, say)
}

// closeTimeout bounds the end of a server in the program.
const closeTimeout = time.Second

// Cluster returns cfg with name servers: its own, or those of a server that it starts in
// the program with opts. The returned function ends that, and logs what goes wrong.
func Cluster(ctx context.Context, cfg rocketkit.Config, log *slog.Logger, opts ...brokerlite.Option) (rocketkit.Config, func(), error) {
	if len(cfg.NameServers) > 0 {
		return cfg, func() {}, nil
	}
	server, err := brokerlite.Start(ctx, opts...)
	if err != nil {
		return cfg, nil, err
	}
	cfg.NameServers = server.NameServers()
	return cfg, func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			log.Error("ending RocketMQ in this process", "error", err)
		}
	}, nil
}

// Log takes what goes wrong to the standard error: a group that the cluster does not have,
// for one, of which a consumer tells nobody else.
func Log() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// Wait takes n values from c, or as many as come before ctx ends.
func Wait[T any](ctx context.Context, c <-chan T, n int) error {
	for range n {
		select {
		case <-c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
