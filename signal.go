package rocketkit

import (
	"context"
	"os/signal"
	"syscall"
)

// RunUntilSignal is Run until ctx ends or the process is told to end, by SIGINT or
// SIGTERM. A second signal ends it at once, as if nobody had listened. A Runner that is
// last learns first of an end and last of a start: health.Checks is one.
func RunUntilSignal(ctx context.Context, runners ...Runner) error {
	told, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(told, func() {
		stop() // before anything is drained, so that the next signal is nobody's
		end()
	})()
	return Run(ctx, runners...)
}
