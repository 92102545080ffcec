package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
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
		Use:           "rocketkit",
		Short:         "A RocketMQ server, and tools for Apache RocketMQ",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newServer(), newSend(), newConsume(), newTopic())
	return root
}
