// Command clientgo runs named cases of apache/rocketmq-client-go against a name
// server, as a foreign client, and prints a line for each: "PASS case",
// "FAIL case: why" or "SKIP case: why". It exits with 1 when a case failed.
//
//	clientgo -name-server 127.0.0.1:9876 [-prefix p] [-cases a,b]
//
// Every case runs in a process of its own: rocketmq-client-go keeps clients,
// loggers and transactions in variables of the process, and some of its faults
// end it.
//
// One source is built against two versions: go.mod has the newest tag, and
// go-20250427.mod (go build -modfile=go-20250427.mod) what came after it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

// options are the command line.
type options struct {
	nameServer string
	prefix     string // begins the names of all topics and groups
	cases      string
	parallel   int
	list       bool
	one        string // runs this case in this process
}

// caseLimit ends a case's process that has not ended by itself.
const caseLimit = 2 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	var o options
	flags := flag.NewFlagSet("clientgo", flag.ContinueOnError)
	flags.StringVar(&o.nameServer, "name-server", "", "host:port")
	flags.StringVar(&o.prefix, "prefix", "cg"+strconv.FormatInt(time.Now().UnixMilli(), 36), "begins the names of all topics and groups")
	flags.StringVar(&o.cases, "cases", "", "names, separated by commas; all by default")
	flags.IntVar(&o.parallel, "parallel", 4, "how many cases run at once")
	flags.BoolVar(&o.list, "list", false, "print the names of the cases")
	flags.StringVar(&o.one, "one", "", "run this case in this process")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if o.list {
		for _, c := range cases {
			fmt.Println(c.name)
		}
		return 0
	}
	chosen, err := choose(&o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "clientgo:", err)
		return 2
	}
	if o.one != "" {
		rlog.SetLogLevel("error")
		fmt.Println(line(o.one, attempt(&o, chosen[0])))
		return 0
	}
	return runAll(ctx, &o, chosen)
}

// choose finds the cases that were asked for.
func choose(o *options) ([]namedCase, error) {
	if o.nameServer == "" {
		return nil, errors.New("-name-server host:port is missing")
	}
	names := strings.FieldsFunc(o.cases, func(r rune) bool { return r == ',' })
	if o.one != "" {
		names = []string{o.one}
	}
	if len(names) == 0 {
		return cases, nil
	}
	var chosen []namedCase
	for _, name := range names {
		i := slices.IndexFunc(cases, func(c namedCase) bool { return c.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no case %q; -list prints them", name)
		}
		chosen = append(chosen, cases[i])
	}
	return chosen, nil
}

// runAll runs cases in processes of their own and prints their lines in order.
func runAll(ctx context.Context, o *options, chosen []namedCase) int {
	lines := make([]chan string, len(chosen))
	slots := make(chan struct{}, max(o.parallel, 1))
	var wg sync.WaitGroup
	for i, c := range chosen {
		lines[i] = make(chan string, 1)
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			began := time.Now()
			lines[i] <- apart(ctx, o, c.name)
			fmt.Fprintf(os.Stderr, "%s took %s\n", c.name, time.Since(began).Round(time.Millisecond))
		})
	}
	code := 0
	for _, l := range lines {
		text := <-l
		if strings.HasPrefix(text, "FAIL") {
			code = 1
		}
		fmt.Println(text)
	}
	wg.Wait()
	return code
}

// apart runs one case in a process of its own and returns its line.
func apart(ctx context.Context, o *options, name string) string {
	ctx, cancel := context.WithTimeout(ctx, caseLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-name-server", o.nameServer, "-prefix", o.prefix, "-one", name)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if text := strings.TrimSpace(stdout.String()); err == nil && text != "" {
		return text
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return fmt.Sprintf("FAIL %s: its process ended: %v: %s", name, err, headline(stderr.String()))
}

// headline is the line of a crash that says why, or the last one.
func headline(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, l := range lines {
		if strings.HasPrefix(l, "panic:") || strings.HasPrefix(l, "fatal error:") {
			return l
		}
	}
	return lines[len(lines)-1]
}

// skip is the error of a case that this client cannot run.
type skip string

func (s skip) Error() string { return string(s) }

// line is what is printed about a case.
func line(name string, err error) string {
	var left skip
	switch {
	case err == nil:
		return "PASS " + name
	case errors.As(err, &left):
		return "SKIP " + name + ": " + string(left)
	}
	return "FAIL " + name + ": " + strings.ReplaceAll(err.Error(), "\n", " ")
}
