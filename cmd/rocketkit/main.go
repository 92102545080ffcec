package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rocketkit:", err)
		os.Exit(1)
	}
}

// newRoot makes the command with all its subcommands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "rocketkit",
		Short: "A RocketMQ server, and tools for Apache RocketMQ",
		Example: `  rocketkit server
  rocketkit send -t orders --body hello
  rocketkit consume -t orders -g look --from first`,
		Version:               version(),
		DisableFlagsInUseLine: true,
		SilenceUsage:          true,
		SilenceErrors:         true,
		Args:                  noArgs,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(newHelp())
	root.AddCommand(newServer(), newSend(), newConsume(), newTopic(), newDLQ(), newStore(), newGenerate())
	return root
}

// version is what the Go command has stamped the binary with.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}

// newHelp is cobra's, but for an unknown command it fails.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if err := noArgs(about, rest); err != nil {
				return err
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// usageError is a mistake in a command's flags or arguments.
func usageError(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w\nsee \"%s --help\"", err, cmd.CommandPath())
}

// flagError is a mistake that was found while reading the flags.
func flagError(cmd *cobra.Command, err error) error {
	if args := cmd.Flags().Args(); len(args) > 0 && cmd.HasAvailableSubCommands() {
		return unknownCommand(cmd, args[0]) // whose flags these are
	}
	var number *strconv.NumError
	if errors.As(err, &number) {
		err = fmt.Errorf("%swant a whole number", strings.TrimSuffix(err.Error(), number.Error()))
	}
	var missing interface{ GetSpecifiedShortnames() string } // of pflag: what followed one dash
	if errors.As(err, &missing) && cmd.Flags().Lookup(missing.GetSpecifiedShortnames()) != nil {
		err = fmt.Errorf("%w; did you mean --%s?", err, missing.GetSpecifiedShortnames())
	}
	return usageError(cmd, err)
}

// noArgs refuses arguments, which are subcommands with a typing mistake where there
// are subcommands.
func noArgs(cmd *cobra.Command, args []string) error { return upTo(0)(cmd, args) }

// upTo refuses more than n arguments.
func upTo(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) <= n:
			return nil
		case n == 0 && cmd.HasAvailableSubCommands():
			return unknownCommand(cmd, args[0])
		}
		return usageError(cmd, fmt.Errorf("unexpected argument %q", args[n]))
	}
}

// unknownCommand names the subcommands that could be meant.
func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2
	hint := ""
	if meant := cmd.SuggestionsFor(name); len(meant) > 0 {
		hint = "; did you mean " + strings.Join(meant, " or ") + "?"
	}
	return usageError(cmd, fmt.Errorf("unknown command %q for %q%s", name, cmd.CommandPath(), hint))
}
