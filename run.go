package rocketkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// DrainTimeout bounds each runner's drain in Run, and Client.Close. A runner
// with a shorter time of its own, such as a consumer's ShutdownTimeout, ends
// within that.
const DrainTimeout = 30 * time.Second

// Runner is what Run runs: producers, consumers, clients, and whatever of an
// application starts and ends with them.
type Runner interface {
	// Start begins and returns. ctx bounds the start only.
	Start(ctx context.Context) error
	// Drain finishes what has begun and ends everything else. When ctx ends
	// first it cuts off what is left and says so.
	Drain(ctx context.Context) error
}

// Run starts the runners in their order, waits until ctx ends, and drains them
// in reverse order, each within DrainTimeout. If one does not start, those
// before it are drained at once. It returns all errors, joined, and nil after an
// orderly end. RunUntilSignal is Run for a program that ends by a signal.
//
//	err := rocketkit.Run(ctx, client, producer, consumer)
func Run(ctx context.Context, runners ...Runner) error {
	var errs []error
	started := 0
	for i, r := range runners {
		if r == nil {
			errs = append(errs, fmt.Errorf("run: runner %d is nil", i+1))
			break
		}
		started++ // one that fails may have begun something
		if err := r.Start(ctx); err != nil {
			errs = append(errs, fmt.Errorf("run: %s did not start: %w", name(i, r), err))
			break
		}
	}
	if errs == nil {
		<-ctx.Done()
	}
	for i, r := range slices.Backward(runners[:started]) {
		if err := drain(ctx, r); err != nil {
			errs = append(errs, fmt.Errorf("run: %s did not end well: %w", name(i, r), err))
		}
	}
	return errors.Join(errs...)
}

func drain(ctx context.Context, r Runner) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), DrainTimeout)
	defer cancel()
	return r.Drain(ctx)
}

// name names a runner by its group where it has one.
func name(i int, r Runner) string {
	if g, ok := r.(interface{ Group() string }); ok {
		return fmt.Sprintf("runner %d (%T of group %s)", i+1, r, g.Group())
	}
	return fmt.Sprintf("runner %d (%T)", i+1, r)
}
