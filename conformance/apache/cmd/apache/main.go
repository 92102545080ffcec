package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/rocketkit/rocketkit/conformance/apache"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("apache", flag.ContinueOnError)
	version := flags.String("version", apache.V5, "Apache RocketMQ version")
	check := flags.Duration("transaction-check", 0, "start: the broker's transaction check interval")
	binary := flags.Bool("binary", false, "peer: headers in the ROCKETMQ codec")
	if err := flags.Parse(args); err != nil {
		return err
	}
	rest := flags.Args()
	if len(rest) == 0 {
		return fmt.Errorf("apache: start [DIR], admin ARG..., peer ARG..., classpath, or golden DIR")
	}
	switch command, rest := rest[0], rest[1:]; command {
	case "start":
		opts := apache.Options{Version: *version, TransactionCheck: *check, Fast: true,
			Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
		if len(rest) > 0 {
			opts.Dir = rest[0]
		}
		return start(ctx, opts)
	case "admin":
		return output(apache.Admin(ctx, *version, rest...))
	case "peer":
		p := apache.Program{Version: *version, Main: "peer.Peer", Args: rest}
		if *binary {
			p.JVM = []string{apache.BinaryHeaders}
		}
		return output(p.Run(ctx))
	case "classpath":
		return output(apache.Classpath(ctx, *version))
	case "golden":
		if len(rest) != 1 {
			return fmt.Errorf("apache: golden DIR")
		}
		cases, err := apache.Golden(ctx, rest[0])
		return output(fmt.Sprintf("%d golden cases in %s", len(cases), rest[0]), err)
	default:
		return fmt.Errorf("apache: no command %q", command)
	}
}

func start(ctx context.Context, opts apache.Options) error {
	server, err := apache.Start(ctx, opts)
	if err != nil {
		return err
	}
	fmt.Printf("Apache RocketMQ %s: name server %s, broker %s, directory %s\n",
		server.Version(), server.NameServer(), server.BrokerAddr(), server.Dir())
	<-ctx.Done()
	return server.Stop()
}

func output(text string, err error) error {
	if text != "" {
		fmt.Println(text)
	}
	return err
}
