package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
)

//rocketmq:wire

// The last line removes wire's own, which would write its tools into go.mod.
//go:generate go run github.com/rocketkit/rocketkit/cmd/rocketkit generate
//go:generate go run github.com/google/wire/cmd/wire@v0.7.0
//go:generate sh -c "sed -i.bak '/go:generate/d' wire_gen.go && rm wire_gen.go.bak"

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }

// run is the program. It returns the exit code: 2 for wrong flags, 1 for failures.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	s, err := readSettings(args, environ, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "payments: %v\nsee --help\n", err)
		return 2
	}
	if err := serve(ctx, s, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "payments:", err)
		return 1
	}
	return 0
}

// serve runs the service until ctx ends or the process is told to end.
func serve(ctx context.Context, s settings, stdout, stderr io.Writer) error {
	s.server = append(s.server, brokerlite.WithLogger(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))))
	all, end, err := inject(ctx, s, stdout, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return err
	}
	defer end()
	return rocketkit.RunUntilSignal(ctx, all)
}
