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

// minOrderTimeout leaves an order time to be written down before it ends.
const minOrderTimeout = 100 * time.Millisecond

// defaults are this service's own configuration.
//
//go:embed payments.yaml
var defaults []byte

// settings are what flags, the environment and a file say. They are not changed
// once they are read.
type settings struct {
	addr         string
	service      string
	orderTimeout time.Duration
	retries      int
	retriesGiven bool // and so win over the file
	db           string
	client       config.Config

	askTimeout time.Duration       // how long a server is waited for that must be asked at the start
	broker     []brokerlite.Option // further ones for the server in the process
}

// variables name the environment's part in each flag.
var variables = map[string]string{
	"addr":          "HTTP_ADDR",
	"name-servers":  config.EnvNameServers,
	"order-timeout": "PAYMENTS_ORDER_TIMEOUT",
	"retries":       "PAYMENTS_RETRIES",
	"service":       "PAYMENTS_SERVICE",
	"db":            "PAYMENTS_DB",
	"config":        "PAYMENTS_CONFIG",
}

// readSettings reads flags, which win over environ ("NAME=value"), which wins over
// the file. Its error joins every mistake; flag.ErrHelp says that help was printed.
func readSettings(args, environ []string, help io.Writer) (settings, error) {
	s := settings{askTimeout: askTimeout, orderTimeout: 30 * time.Minute}
	var nameServers, file string
	fs := flag.NewFlagSet("payments", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints what is wrong
	fs.StringVar(&s.addr, "addr", "127.0.0.1:8080", "`host:port` to listen on")
	fs.StringVar(&nameServers, "name-servers", "", "RocketMQ's name servers, `a:9876;b:9876` (default RocketMQ in this process)")
	fs.Func("order-timeout", "how long an order may stay unpaid, as a `duration` (default 30m); one of RocketMQ's delay levels, or anything where the server has timer messages (5.0 and up)", func(text string) (err error) {
		if s.orderTimeout, err = time.ParseDuration(text); err != nil {
			return errors.New("want a time with its unit, such as 30m or 5s")
		}
		return nil
	})
	fs.IntVar(&s.retries, "retries", 16, "how often a failed message is delivered again")
	fs.StringVar(&s.service, "service", serviceAll, "what this process runs: all, pay or order-timeout")
	fs.StringVar(&s.db, "db", "payments-data/payments.db", "SQLite `file` of orders and dead payments; RocketMQ in this process keeps its messages beside it")
	fs.StringVar(&file, "config", "", "`file` with the RocketMQ client's configuration; see package config/load")
	fs.VisitAll(func(f *flag.Flag) { f.Usage += "; " + variables[f.Name] })
	errs := fromEnvironment(fs, environ)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(help, "Payments over RocketMQ, by HTTP. Flags, and the variables for them:")
			fs.SetOutput(help)
			fs.PrintDefaults()
			return s, err
		}
		return s, errors.Join(append(errs, err)...)
	}
	if fs.NArg() > 0 {
		errs = append(errs, fmt.Errorf("unexpected argument %q: everything is said by flags", fs.Arg(0)))
	}
	fs.Visit(func(f *flag.Flag) { s.retriesGiven = s.retriesGiven || f.Name == "retries" })

	opts := []load.Option{load.Environ(environ), load.Data("payments.yaml", "yaml", defaults)}
	if file != "" {
		opts = append(opts, load.File(file))
	}
	var err error
	if s.client, err = load.Load(opts...); err != nil {
		errs = append(errs, err)
	}
	if isGiven(fs, "name-servers") {
		s.client.NameServers = config.SplitAddresses(nameServers)
	}
	return s, errors.Join(append(errs, s.validate())...)
}

// fromEnvironment sets flags that the environment has a say in. NAMESRV_ADDR is
// left to config/load, where ROCKETMQ_NAME_SERVERS and the file win over it.
func fromEnvironment(fs *flag.FlagSet, environ []string) (errs []error) {
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		fs.VisitAll(func(f *flag.Flag) {
			if variables[f.Name] != name || value == "" || name == config.EnvNameServers {
				return
			}
			if err := fs.Set(f.Name, value); err != nil {
				errs = append(errs, fmt.Errorf("%s=%s: %w", name, value, err))
			}
		})
	}
	return errs
}

func isGiven(fs *flag.FlagSet, name string) (given bool) {
	fs.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

func (s *settings) validate() error {
	var errs []error
	mistake := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, _, err := net.SplitHostPort(s.addr); err != nil {
		mistake("--addr %q: want host:port, such as 127.0.0.1:8080: %w", s.addr, err)
	}
	if !slices.Contains([]string{serviceAll, servicePay, serviceOrderTimeout}, s.service) {
		mistake("--service %q: want all, pay or order-timeout", s.service)
	}
	if s.orderTimeout < minOrderTimeout {
		mistake("--order-timeout %v: want at least %v, such as %s", s.orderTimeout, minOrderTimeout, delay.Describe(s.orderTimeout))
	}
	if s.retries < 0 {
		mistake("--retries %d: want 0 or more; RocketMQ's own number is 16", s.retries)
	}
	if s.db == "" {
		mistake("--db is empty: want a file")
	}
	return errors.Join(errs...)
}

// embedded says that RocketMQ is to run in this process.
func (s *settings) embedded() bool { return len(s.client.NameServers) == 0 }

func (s *settings) runs(service string) bool {
	return s.service == serviceAll || s.service == service
}
