package sample

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
)

// Say tells a line of what happens. Handlers may call it at the same time.
type Say func(format string, args ...any)

// Run is a sample. It returns when it is done, or when ctx has ended.
type Run func(ctx context.Context, client *rocketkit.Client, say Say) error

// Main runs a sample until it is done or Ctrl-C ends it, and exits with 1 when it fails. opts are
// for the server, when it runs here.
func Main(run Run, opts ...brokerlite.Option) {
	Members(1, func(ctx context.Context, clients []*rocketkit.Client, say Say) error {
		return run(ctx, clients[0], say)
	}, opts...)
}

// Members is Main for a sample with n clients, which in production are n processes.
func Members(n int, run func(ctx context.Context, clients []*rocketkit.Client, say Say) error, opts ...brokerlite.Option) {
	ctx, done := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, n, run, opts)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // Ctrl-C
	}
	done()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func start(ctx context.Context, n int, run func(context.Context, []*rocketkit.Client, Say) error, opts []brokerlite.Option) (err error) {
	var ends []func() error
	defer func() {
		for _, end := range slices.Backward(ends) {
			err = errors.Join(err, end())
		}
	}()
	var cfg rocketkit.Config // without name servers it follows NAMESRV_ADDR
	if addr := os.Getenv("NAMESRV_ADDR"); addr != "" {
		say("RocketMQ: at %s", addr)
	} else {
		server, err := brokerlite.Start(ctx, append([]brokerlite.Option{brokerlite.InMemory()}, opts...)...)
		if err != nil {
			return err
		}
		ends = append(ends, func() error { return server.Close(context.Background()) })
		cfg.NameServers = server.NameServers()
		say("RocketMQ: in this process, name server %s; set NAMESRV_ADDR to use another", server.NameServer())
	}
	clients := make([]*rocketkit.Client, n)
	for i := range clients {
		if clients[i], err = rocketkit.Open(ctx, cfg); err != nil {
			return err
		}
		ends = append(ends, clients[i].Close) // drains producers and consumers
	}
	return run(ctx, clients, say)
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
