package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"time"

	"github.com/spf13/cobra"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/config"
)

// stopTimeout bounds a graceful stop.
const stopTimeout = 15 * time.Second

// serverFlags are what "rocketkit server" was told. Empty ones leave the
// configuration as it is.
type serverFlags struct {
	role        string
	nameServers string
	conf        string
	print       bool
	dataDir     string
	namePort    int
	brokerPort  int
	logLevel    string
	httpAddr    string
	pprof       bool
}

func newServer() *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a RocketMQ name server and broker",
		Long: `Run a RocketMQ name server and broker in this process, until Ctrl-C or
"rocketkit server stop". Both make stored messages durable before they end it; a
second Ctrl-C ends it at once.

Apache's clients and tools can use it as they use Apache RocketMQ. It reads Apache's
broker.conf; keys that only Apache has are accepted with a warning. Flags come before
the file, and the file before NAMESRV_ADDR.`,
		Example: `  rocketkit server
  rocketkit server -c broker.conf --data-dir /var/lib/rocketmq
  rocketkit server --role broker -n 192.168.1.2:9876
  rocketkit server -m > broker.conf`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runServer(cmd, &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.role, "role", "all", "which servers to run: all, namesrv or broker")
	flags.StringVarP(&f.nameServers, "namesrv-addr", "n", "", "name servers to register with, besides the one in this process, host:port;host:port (NAMESRV_ADDR)")
	flags.BoolVarP(&f.print, "print-config", "m", false, "print the configuration as a broker.conf and exit")
	flags.IntVar(&f.namePort, "namesrv-port", 9876, "the name server's port")
	flags.IntVar(&f.brokerPort, "broker-port", 0, "the broker's port (default 10911, or listenPort of broker.conf)")
	flags.StringVar(&f.logLevel, "log-level", "warn", "what is logged to stderr: debug, info, warn or error")
	flags.StringVar(&f.httpAddr, "http-addr", "", "where /metrics (Prometheus), /healthz and /readyz are served, host:port (default nowhere, or httpAddress of broker.conf)")
	flags.BoolVar(&f.pprof, "pprof", false, "serve /debug/pprof/ at --http-addr too")
	// "stop" has to find what "server" has left, so that both know these.
	cmd.PersistentFlags().StringVarP(&f.conf, "config", "c", "", "Apache's broker.conf")
	cmd.PersistentFlags().StringVar(&f.dataDir, "data-dir", "", "where messages and state are kept (default ${HOME}/store, or storePathRootDir of broker.conf)")
	cmd.AddCommand(newServerStop(&f))
	return cmd
}

// dirOptions are the options that say where everything is kept. Later options
// change what earlier ones have set; the environment's come before the file's.
func (f *serverFlags) dirOptions(environment ...brokerlite.Option) ([]brokerlite.Option, error) {
	home, err := os.UserHomeDir()
	if err != nil && f.dataDir == "" {
		return nil, fmt.Errorf("no home directory to keep messages in; name another with --data-dir: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "" // Apache's name for a broker without one is used
	}
	opts := append([]brokerlite.Option{brokerlite.Standalone(home, host)}, environment...)
	if f.conf != "" {
		opts = append(opts, brokerlite.ConfFile(f.conf))
	}
	if f.dataDir != "" {
		opts = append(opts, brokerlite.Dir(f.dataDir))
	}
	return opts, nil
}

// options are what the flags mean to the server.
func (f *serverFlags) options(cmd *cobra.Command) ([]brokerlite.Option, error) {
	var environment []brokerlite.Option
	if servers := os.Getenv(config.EnvNameServers); servers != "" && f.nameServers == "" {
		environment = append(environment, brokerlite.NameServers(servers))
	}
	opts, err := f.dirOptions(environment...)
	if err != nil {
		return nil, err
	}
	opts = append(opts, brokerlite.NameServerPort(f.namePort), brokerlite.WithRole(brokerlite.Role(f.role)))
	if f.nameServers != "" {
		opts = append(opts, brokerlite.NameServers(f.nameServers))
	}
	if cmd.Flags().Changed("broker-port") {
		opts = append(opts, brokerlite.BrokerPort(f.brokerPort))
	}
	if cmd.Flags().Changed("http-addr") {
		opts = append(opts, brokerlite.HTTP(f.httpAddr))
	}
	if f.pprof {
		opts = append(opts, brokerlite.HTTPDebug(profiles()))
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, usageError(cmd, fmt.Errorf("--log-level %q: want debug, info, warn or error", f.logLevel))
	}
	return append(opts, brokerlite.WithLogger(slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level})))), nil
}

// profiles serves what package net/http/pprof has.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func runServer(cmd *cobra.Command, f *serverFlags) error {
	opts, err := f.options(cmd)
	if err != nil {
		return err
	}
	if f.print {
		return brokerlite.PrintConfig(cmd.OutOrStdout(), opts...)
	}
	dir, err := brokerlite.DirOf(opts...)
	if err != nil {
		return err
	}
	if err := checkPIDs(dir, f.role); err != nil {
		return err
	}
	b, err := brokerlite.Start(cmd.Context(), opts...)
	if err != nil {
		return err
	}
	err = writePIDs(dir, f.role)
	if err == nil {
		for _, line := range b.BootLines() {
			if _, err = fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
				break
			}
		}
	}
	if err == nil {
		<-cmd.Context().Done()
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return errors.Join(err, b.Close(ctx), removePIDs(dir, f.role))
}
