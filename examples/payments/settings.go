package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/config/load"
	"github.com/rocketkit/rocketkit/delay"
)

// Values of --service.
const (
	serviceAll          = "all"
	servicePay          = "pay"
	serviceOrderTimeout = "order-timeout"
)

// settings are the section payments of the configuration, which PAYMENTS_… variables and
// flags win over, and the client's.
type settings struct {
	Addr         string        `key:"addr" env:"HTTP_ADDR"`
	OrderTimeout time.Duration `key:"order_timeout"`
	Retries      *int          `key:"retries"` // nil: what the client's configuration says of the groups
	Service      string        `key:"service"`
	DB           string        `key:"db"`

	Client config.Config       // the section rocketmq
	server []brokerlite.Option // of the server in the process
}

// defaults are the configuration without any file.
//
//go:embed payments.yaml
var defaults []byte

// readSettings reads flags, which win over environ ("NAME=value"), which wins over
// the files. Its error joins every mistake; flag.ErrHelp says that help was printed.
func readSettings(args, environ []string, help io.Writer) (s settings, err error) {
	fs := flag.NewFlagSet("payments", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints what is wrong
	opts := []load.Option{
		load.Environ(environ), load.Section("payments", &s), load.Data("payments.yaml", "yaml", defaults),
		load.Flag(fs, "addr", "payments.addr", "`host:port` to listen on (default 127.0.0.1:8080); HTTP_ADDR"),
		load.Flag(fs, "name-servers", "rocketmq.name_servers", "RocketMQ's name servers, `a:9876;b:9876` (default RocketMQ in this process); NAMESRV_ADDR"),
		load.Flag(fs, "order-timeout", "payments.order_timeout", "how long an order may stay unpaid, as a `duration` (default 30m); one of RocketMQ's delay levels, or anything where the server has timer messages (5.0 and up); PAYMENTS_ORDER_TIMEOUT"),
		load.Flag(fs, "retries", "payments.retries", "`how often` a failed message is delivered again (default 16); PAYMENTS_RETRIES"),
		load.Flag(fs, "service", "payments.service", "`what` this process runs: all, pay or order-timeout (default all); PAYMENTS_SERVICE"),
		load.Flag(fs, "db", "payments.db", "SQLite `file` of orders and dead payments; RocketMQ in this process keeps its messages beside it (default payments-data/payments.db); PAYMENTS_DB"),
	}
	file := fs.String("config", "", "`file` with more configuration, see payments.yaml and package config/load; PAYMENTS_CONFIG")
	for _, e := range environ {
		if path, ok := strings.CutPrefix(e, "PAYMENTS_CONFIG="); ok {
			*file = path
		}
	}
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(help, "Payments over RocketMQ, by HTTP. Flags, and the variables for them:")
		fs.SetOutput(help)
		fs.PrintDefaults()
		return s, err
	} else if err != nil {
		return s, err
	}
	if *file != "" {
		opts = append(opts, load.File(*file))
	}
	s.Client, err = load.Load(opts...)
	if fs.NArg() > 0 {
		err = errors.Join(err, fmt.Errorf("unexpected argument %q: everything is said by flags", fs.Arg(0)))
	}
	return s, err
}

// minOrderTimeout leaves an order time to be written down before it ends.
const minOrderTimeout = 100 * time.Millisecond

// Validate is asked by load.Load.
func (s *settings) Validate() error {
	var errs []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	_, _, err := net.SplitHostPort(s.Addr)
	must(err == nil, "--addr %q: want host:port, such as 127.0.0.1:8080", s.Addr)
	must(slices.Contains([]string{serviceAll, servicePay, serviceOrderTimeout}, s.Service), "--service %q: want all, pay or order-timeout", s.Service)
	must(s.OrderTimeout >= minOrderTimeout, "--order-timeout %v: want at least %v, such as %s", s.OrderTimeout, minOrderTimeout, delay.Describe(s.OrderTimeout))
	must(s.Retries == nil || *s.Retries >= 0, "--retries is under 0: want 0 or more; RocketMQ's own number is 16")
	must(s.DB != "", "--db is empty: want a file")
	return errors.Join(errs...)
}

func (s settings) Runs(service string) bool {
	return s.Service == serviceAll || s.Service == service
}
