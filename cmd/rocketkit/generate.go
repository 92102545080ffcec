package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocketkit/rocketkit/internal/generate"
)

func newGenerate() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "generate [package]...",
		Short: "Write Go for the directives above handlers",
		Long: `Write Go for the directives above handlers, into a file rocketmq_gen.go for each
package. Packages are named as for the Go command; without any, the one in this
directory is meant.

  //rocketmq:listener topic=orders tags="paid || refunded" concurrency=32
  func (s *Service) OnPaid(ctx context.Context, p Payment) error

  //rocketmq:dlq
  func (s *Service) OnDead(ctx context.Context, d *message.Delivery) error

  //rocketmq:transaction topic=${orders.topic:orders} group=pay_group name=order-paid
  func (s *Checks) CheckPaid(ctx context.Context, o Order) error

  //rocketmq:wire

A listener's keys are topic, tags, sql, concurrency, retries, codec, name, timeout,
batch, batch_wait, rate_limit and kill_switch, as in the tags of consumer.Bind; values
with spaces are quoted, and ${key:default} is looked up at the start, also in the topic
of a transaction, whose check takes a *message.Delivery or its value. The file has a
constructor for the handlers of each type, to be given to consumer.Mux.Add, one for its
kinds of transactions, and with the last directive, anywhere in the package, a provider
set for google/wire. The first file of a program makes it import rocketkit and wire: run
"go mod tidy" after it.`,
		Example: `  rocketkit generate ./...
  rocketkit generate --check ./...      fails where a file is not up to date
  go get -tool github.com/rocketkit/rocketkit/cmd/rocketkit
  //go:generate go tool rocketkit generate`,
		RunE: func(cmd *cobra.Command, patterns []string) error {
			if len(patterns) == 0 {
				patterns = []string{"."}
			}
			files, err := generate.Files(cmd.Context(), ".", patterns...)
			var mistakes *generate.Mistakes
			switch {
			case errors.As(err, &mistakes):
				return fmt.Errorf("nothing is written, since directives are wrong:\n%w", err)
			case err != nil:
				return err
			}
			if check {
				return checkGenerated(files, patterns)
			}
			return writeGenerated(cmd, files, patterns)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "write nothing, and fail when a file is not up to date")
	return cmd
}

// writeGenerated writes what has changed. The first code of a program imports packages that
// its go.mod does not have yet.
func writeGenerated(cmd *cobra.Command, files []*generate.File, patterns []string) error {
	first := false
	for _, f := range files {
		if !f.Stale() {
			continue
		}
		if err := f.Write(); err != nil {
			return err
		}
		done := "wrote"
		if f.Want == nil {
			done = "removed"
		}
		fmt.Fprintln(cmd.OutOrStdout(), done, f.Path)
		first = first || f.Have == nil
	}
	if !first {
		return nil
	}
	missing, err := generate.Missing(cmd.Context(), ".", patterns...)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "run \"go mod tidy\": go.mod does not have %s yet\n", strings.Join(missing, ", "))
	}
	return nil
}

// checkGenerated names the files that are not up to date.
func checkGenerated(files []*generate.File, patterns []string) error {
	var stale []string
	for _, f := range files {
		if f.Stale() {
			stale = append(stale, f.Path)
		}
	}
	if len(stale) == 0 {
		return nil
	}
	return fmt.Errorf("not up to date: %s; run \"rocketkit generate %s\"", strings.Join(stale, ", "), strings.Join(patterns, " "))
}
