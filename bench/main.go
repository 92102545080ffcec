package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if os.Getenv(childEnv) != "" {
		os.Exit(childMain(os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the flags.
type options struct {
	servers, clients, rows []string
	rounds                 int
	seconds, warm          time.Duration
	apacheWarm             time.Duration
	body                   int
	startups               int
	quick                  bool
	accumulate             int64
	json                   string
	doc                    string
}

// hurry makes it a run that only shows whether everything works, except for what
// the flags say otherwise.
func (o *options) hurry(given map[string]bool) {
	if !given["rounds"] {
		o.rounds = 1
	}
	if !given["seconds"] {
		o.seconds = time.Second
	}
	if !given["apache-warm"] {
		o.apacheWarm = 6 * time.Second
	}
	o.startups = 2
}

func parse(args []string, errOut io.Writer) (*options, error) {
	o := &options{startups: startups}
	var servers, clients, rows string
	var seconds float64
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(errOut)
	fs.StringVar(&servers, "servers", strings.Join(allServers(), ","), "servers to run against")
	fs.StringVar(&clients, "clients", strings.Join(allClients(), ","), "clients to run")
	fs.StringVar(&rows, "rows", strings.Join(allRows(), ","), "rows to run")
	fs.IntVar(&o.rounds, "rounds", 5, "how often everything is measured")
	fs.Float64Var(&seconds, "seconds", 2.5, "length of one measurement")
	fs.DurationVar(&o.warm, "warm", 500*time.Millisecond, "load before each measurement")
	fs.DurationVar(&o.apacheWarm, "apache-warm", 24*time.Second, "load that warms Apache RocketMQ up, once")
	fs.IntVar(&o.body, "body", 128, "bytes of a message's body")
	fs.BoolVar(&o.quick, "quick", false, "a minute or two in all, to see that everything works: -rounds 1 -seconds 1 -apache-warm 6s")
	fs.Int64Var(&o.accumulate, "accumulate", 0, "instead of all else, fill one queue of a standalone broker-lite with so many messages and drain it")
	fs.StringVar(&o.json, "json", "", "file that takes all samples")
	fs.StringVar(&o.doc, "doc", "", "Markdown file whose marked part takes the tables")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	o.seconds = time.Duration(seconds * float64(time.Second))
	if o.quick {
		given := map[string]bool{}
		fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
		o.hurry(given)
	}
	var errs []error
	pick := func(name, text string, all []string) []string {
		wanted := strings.Split(text, ",")
		for _, item := range wanted {
			if !slices.Contains(all, item) {
				errs = append(errs, fmt.Errorf("-%s: %q is none of %s", name, item, strings.Join(all, ", ")))
			}
		}
		return slices.DeleteFunc(all, func(item string) bool { return !slices.Contains(wanted, item) }) // in their order
	}
	o.servers, o.clients, o.rows = pick("servers", servers, allServers()), pick("clients", clients, allClients()), pick("rows", rows, allRows())
	if o.rounds < 1 || o.seconds <= 0 || o.body < 1 || o.warm < 0 || o.apacheWarm < 0 {
		errs = append(errs, errors.New("-rounds, -seconds and -body must be positive, -warm and -apache-warm not negative"))
	}
	if fs.NArg() > 0 {
		errs = append(errs, fmt.Errorf("no arguments are wanted, got %q", fs.Args()))
	}
	return o, errors.Join(errs...)
}

// run is the command; it returns the exit code.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	o, err := parse(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil && o.accumulate > 0 {
		if err := accumulate(ctx, o.accumulate, o.body, out); err != nil {
			fmt.Fprintln(errOut, "bench:", err)
			return 1
		}
		return 0
	}
	var doc *document
	if err == nil && o.doc != "" {
		doc, err = readDocument(o.doc)
	}
	var r *results
	if err == nil {
		r, err = measure(ctx, o, &progress{Writer: errOut})
	}
	if err == nil && o.json != "" {
		err = writeJSON(o.json, r)
	}
	if err == nil && doc != nil {
		err = doc.write(r)
	}
	if err != nil {
		fmt.Fprintln(errOut, "bench:", err)
		return 2
	}
	printTables(out, r)
	if broken(r.Floor) {
		fmt.Fprintln(errOut, "bench: the floor is broken")
		return 1
	}
	return 0
}

func writeJSON(path string, r *results) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// measure starts what is needed, runs all rounds and stops everything.
func measure(ctx context.Context, o *options, p *progress) (r *results, err error) {
	dir, err := os.MkdirTemp("", "rocketkit-bench-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r = &results{Date: time.Now(), Conditions: o.conditions(ctx)}
	servers := map[string]server{}
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
	}()
	for _, name := range o.servers {
		switch name {
		case embedded:
			servers[name] = &inProcess{dir: filepath.Join(dir, name)}
		case apacheName:
			a, err := startApache(ctx, filepath.Join(dir, name), o, p)
			if err != nil {
				return nil, fmt.Errorf("start Apache RocketMQ (go without it by -servers %s,%s): %w", brokerLite, embedded, err)
			}
			servers[name] = a
		case brokerLite:
			binary, err := buildServer(ctx, dir)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(p, "starting broker-lite %d times\n", o.startups)
			if r.Startup, err = measureStartup(ctx, binary, dir, o.startups); err != nil {
				return nil, err
			}
			servers[name] = &lite{binary: binary, dir: filepath.Join(dir, name), body: o.body}
		}
	}
	p.begin(o.rounds * len(cells(o.rows, o.clients, o.servers, 0)))
	for round := range o.rounds {
		if err := o.round(ctx, round, servers, r, p); err != nil {
			return nil, err
		}
	}
	r.Floor = floor(r)
	return r, nil
}

// round measures every cell once.
func (o *options) round(ctx context.Context, round int, servers map[string]server, r *results, p *progress) error {
	for _, name := range o.servers {
		if err := servers[name].round(ctx, slices.Contains(o.rows, rowConsume)); err != nil {
			return fmt.Errorf("prepare %s for round %d: %w", name, round+1, err)
		}
	}
	for i, c := range cells(o.rows, o.clients, o.servers, round) {
		j := &job{
			cell: c, Warm: o.warm, Measure: o.seconds, Body: o.body, Limit: fillMessages,
			Group: fmt.Sprintf("bench_%d_%d_%d", r.Date.UnixMilli(), round, i),
		}
		servers[c.Server].fit(j)
		s, err := spawn(ctx, j)
		if err != nil {
			return fmt.Errorf("%s with %s on %s: %w", c.Row, c.Client, c.Server, err)
		}
		r.add(c, s)
		p.cell(c, &s)
	}
	return nil
}

// summary is one line of progress.
func (s *sample) summary() string {
	if s.Crash != "" {
		return "CRASHED: " + s.Crash
	}
	client, server := s.cpuPerMillion()
	text := fmt.Sprintf("%9s/s  CPU s/million %5.1f + %5.1f  others %2.0f%%", thousands(s.rate(), 0), client, server, 100*s.OtherCPU)
	if s.P50 > 0 {
		text += fmt.Sprintf("  p50 %.0f µs  p99 %.0f µs", s.P50, s.P99)
	}
	if s.Failed > 0 || s.Lost > 0 || s.FirstErr != "" {
		text += fmt.Sprintf("  failed %d  lost %d  %s", s.Failed, s.Lost, s.FirstErr)
	}
	return text
}
