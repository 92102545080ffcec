package rocketkit

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// DrainTimeout bounds each runner's drain in Run, and Client.Close. A runner
// with a shorter time of its own, such as a consumer's ShutdownTimeout or what Within
// gives, ends within that.
const DrainTimeout = 30 * time.Second

// What takes no notice of the end of its ctx is left behind after a while, so that the
// others get their turn and the program ends.
const (
	drainGrace   = 5 * time.Second // over what a Client needs to cut off
	failureGrace = time.Second
)

// Runner is what Run runs: producers, consumers, clients, and whatever of an
// application starts and ends with them.
type Runner interface {
	// Start begins and returns. ctx bounds the start only.
	Start(ctx context.Context) error
	// Drain finishes what has begun and ends everything else. When ctx ends
	// first it cuts off what is left and says so. One that does not return within 5 s of
	// that is left behind.
	Drain(ctx context.Context) error
}

// Failing is a Runner that may fail after its start, and so end Run. HTTP's is one.
type Failing interface {
	Runner
	// Failure is called after Start. It waits until the runner has failed and says why, or
	// until ctx ends. nil says that it will not fail any more.
	Failure(ctx context.Context) error
}

// Run starts the runners in their order, waits until ctx ends or one fails, and drains them
// in reverse order, each within DrainTimeout or what Within gives. If one does not start,
// those before it are drained at once. It returns all errors, joined, a runner's panic among
// them, and nil after an orderly end; a start that is cut short because ctx ends is no error.
//
// When all have started, a Client among them logs the consumer groups that are configured
// and that the program does not use, and its consumers that nobody has started.
// RunUntilSignal is Run for a program that ends by a signal.
//
//	err := rocketkit.Run(ctx, client, producer, consumer)
func Run(ctx context.Context, runners ...Runner) error {
	started, err := start(ctx, runners)
	if err == nil {
		tellUnused(clients(runners))
		tellIdle(clients(runners))
		err = failure(ctx, runners)
	} else if causedBy(ctx, err) {
		err = nil
	}
	var errs []error
	if err != nil {
		errs = append(errs, fmt.Errorf("run: %w", err))
	}
	for i, r := range slices.Backward(runners[:started]) {
		if err := drain(ctx, r); err != nil {
			errs = append(errs, fmt.Errorf("run: %w", of(i, r, "did not end well", err)))
		}
	}
	return errors.Join(errs...)
}

// start starts runners in their order, and returns how many have begun something.
func start(ctx context.Context, runners []Runner) (started int, err error) {
	for i, r := range runners {
		if v := reflect.ValueOf(r); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
			return i, fmt.Errorf("runner %d is nil", i+1)
		}
		if err := begin(ctx, r); err != nil {
			return i + 1, of(i, r, "did not start", err) // it may have begun something
		}
	}
	return len(runners), nil
}

// begin starts r. A panic is an error: what was started before is to be drained.
func begin(ctx context.Context, r Runner) (err error) {
	defer caught(&err)
	return r.Start(ctx)
}

// caught makes an error of a panic.
func caught(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
	}
}

// failure waits until ctx ends, or one of the runners fails.
func failure(ctx context.Context, runners []Runner) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(runners))
	var waiting sync.WaitGroup
	for i, r := range runners {
		f, ok := r.(Failing)
		if !ok {
			continue
		}
		waiting.Go(func() {
			if err := failureOf(ctx, f); err != nil && !causedBy(ctx, err) {
				errs[i] = of(i, r, "failed", err)
				cancel()
			}
		})
	}
	<-ctx.Done()
	waiting.Wait()
	return errors.Join(errs...)
}

// failureOf is f's Failure, as long as that takes notice of ctx.
func failureOf(ctx context.Context, f Failing) error {
	if w, ok := f.(*within); ok {
		return w.Failure(ctx) // says which of its runners it is
	}
	return untilLeft(ctx, failureGrace, "its Failure", f.Failure)
}

// drained is r's Drain, as long as that takes notice of ctx.
func drained(ctx context.Context, r Runner) error {
	if w, ok := r.(*within); ok {
		return w.Drain(ctx)
	}
	return untilLeft(ctx, drainGrace, "it", r.Drain)
}

// untilLeft calls f, and waits for it until ctx has ended and the grace is over. A panic
// is an error, so that the other runners are drained.
func untilLeft(ctx context.Context, grace time.Duration, who string, f func(context.Context) error) error {
	over := make(chan error, 1)
	go func() {
		err := errors.New("its goroutine was ended by runtime.Goexit")
		defer func() { over <- err }()
		defer caught(&err)
		err = f(ctx)
	}()
	select {
	case err := <-over:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-over:
		return err
	case <-timer.C:
		return fmt.Errorf("%s was left behind: it has not returned %v after the end of its ctx", who, grace)
	}
}

// causedBy reports whether ctx has ended and err says just that.
func causedBy(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, ctx.Err())
}

func drain(ctx context.Context, r Runner) error {
	limit := DrainTimeout
	if w, ok := r.(*within); ok {
		limit = max(limit, w.d)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return drained(ctx, r)
}

// drainInTurn drains runners, the last first. When ctx ends those that are left
// are cut off at once, not each after the other's last moment. The errors are in the
// order of the ends, with nil among them.
func drainInTurn[R Runner](ctx context.Context, runners []R) []error {
	errs := make([]error, len(runners))
	var wg sync.WaitGroup
	for i, r := range slices.Backward(runners) {
		over := make(chan struct{})
		wg.Go(func() {
			defer close(over)
			errs[i] = drained(ctx, r)
		})
		select {
		case <-over:
		case <-ctx.Done():
		}
	}
	wg.Wait()
	slices.Reverse(errs)
	return errs
}

// of says whose err is. A runner has the name of its group where it has one; those Within
// a limit have said who they are.
func of(i int, r Runner, what string, err error) error {
	who := fmt.Sprintf("%T", r)
	switch r := r.(type) {
	case *within:
		return fmt.Errorf("within %v: %w", r.d, err)
	case interface{ Group() string }:
		who = fmt.Sprintf("%T of group %s", r, r.Group())
	case interface{ describe() string }:
		who = r.describe()
	}
	return fmt.Errorf("runner %d (%s) %s: %w", i+1, who, what, err)
}

// Within is runners as one: they are started in their order and drained in reverse order,
// all of them within d; what has not ended then is cut off, all at once. One of them may be
// a Within of its own, with less time. A program that must end within 5 s leaves some of
// that to the cutting off, which takes a Client up to two seconds:
//
//	err := rocketkit.RunUntilSignal(ctx, rocketkit.Within(3*time.Second, client, consumer, server))
func Within(d time.Duration, runners ...Runner) Runner {
	return &within{d: d, runners: runners}
}

type within struct {
	d       time.Duration
	runners []Runner
	started int // so many of them; Start writes it, which is over when Drain is called
}

func (w *within) Start(ctx context.Context) (err error) {
	if w.d <= 0 {
		return errors.New("nothing can be drained in that time; give one over 0")
	}
	w.started, err = start(ctx, w.runners)
	return err
}

func (w *within) Failure(ctx context.Context) error { return failure(ctx, w.runners) }

func (w *within) Drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.d)
	defer cancel()
	errs := drainInTurn(ctx, w.runners[:w.started])
	for i, err := range errs {
		if at := w.started - 1 - i; err != nil {
			errs[i] = of(at, w.runners[at], "did not end well", err)
		}
	}
	return errors.Join(errs...)
}

// OnStart is a Runner that calls f at its place in the order of starts, such as to ask
// whether everything is there before the next one begins. It has nothing to drain.
func OnStart(f func(ctx context.Context) error) Runner { return onStart(f) }

type onStart func(ctx context.Context) error

func (onStart) describe() string { return "OnStart" }

func (f onStart) Start(ctx context.Context) error {
	if f == nil {
		return errors.New("the function is nil")
	}
	return f(ctx)
}

func (onStart) Drain(context.Context) error { return nil }
