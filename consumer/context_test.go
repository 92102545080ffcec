package consumer_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// inHandler runs f as a handler in a bubble and returns what it was settled with.
func inHandler(t *testing.T, log *lines, f func(ctx context.Context, q *queue) error, opts ...consumer.HandlerOption) []settled {
	var out []settled
	synctest.Test(t, func(t *testing.T) {
		m := consumer.NewMux("pay", consumer.Logger(log.logger()), consumer.Timeout(time.Minute))
		drv := newScripted()
		var q *queue
		consumer.Handle(m, "orders", func(ctx context.Context, _ string) error { return f(ctx, q) }, append(opts, consumer.Name("paid"))...)
		c := start(t, drv, m)
		q = drv.sub(t, "pay").assign()
		<-time.After(7 * time.Second) // so that nothing falls together with the watchdog's rounds
		q.deliver(msg("m1", "orders", "", "x"))
		out = q.idle()
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return out
}

func TestTheContextEndsWithTheConsumeTimeout(t *testing.T) {
	t.Parallel()
	got := inHandler(t, &lines{}, func(ctx context.Context, _ *queue) error {
		began := time.Now()
		<-ctx.Done()
		if d := time.Since(began); d != time.Minute || !errors.Is(ctx.Err(), context.DeadlineExceeded) || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			t.Errorf("after %s: %v", d, ctx.Err())
		}
		return ctx.Err()
	}, consumer.Retry(retry.Levels(16).Immediately(5)))
	if len(got) != 1 || got[0].Verdict != (driver.Verdict{Action: driver.ActionRetry, MaxRetries: 16}) {
		t.Errorf("%+v, want one retry by the broker: nothing is tried with a ctx that has ended", got)
	}
}

func TestTheContextWithoutDoneKnowsTheTimeoutToo(t *testing.T) {
	t.Parallel()
	inHandler(t, &lines{}, func(ctx context.Context, _ *queue) error {
		<-time.After(time.Minute - time.Nanosecond)
		if ctx.Err() != nil {
			t.Errorf("too early: %v", ctx.Err())
		}
		<-time.After(time.Nanosecond)
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("at the deadline: %v", ctx.Err())
		}
		select {
		case <-ctx.Done():
		default:
			t.Error("Err says that it ended, and Done is open")
		}
		return nil
	})
}

func TestTheContextEndsWhenTheHandlerReturns(t *testing.T) {
	t.Parallel()
	contexts := make(chan context.Context, 2)
	m := consumer.NewMux("pay")
	consumer.Handle(m, "orders", func(ctx context.Context, s string) error {
		if s == "asks" {
			ctx.Done()
		}
		contexts <- ctx
		return nil
	})
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("m1", "orders", "", "asks"), msg("m2", "orders", "", "does not ask"))
	q.await(2)
	for range 2 {
		ctx := <-contexts
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("%s: %v, want canceled", message.DeliveryFrom(ctx).ID, ctx.Err())
		}
		<-ctx.Done()
	}
}

func TestContextsDerivedFromTheHandlersEndWithIt(t *testing.T) {
	t.Parallel()
	inHandler(t, &lines{}, func(ctx context.Context, _ *queue) error {
		child, cancel := context.WithCancelCause(context.WithValue(ctx, ctxKey("k"), "v"))
		defer cancel(nil)
		fired := make(chan struct{})
		defer context.AfterFunc(ctx, func() { close(fired) })()
		if child.Value(ctxKey("k")) != "v" || message.DeliveryFrom(child).ID != "m1" {
			t.Error("values are lost")
		}
		<-child.Done()
		<-fired
		if !errors.Is(context.Cause(child), context.DeadlineExceeded) {
			t.Errorf("cause: %v", context.Cause(child))
		}
		return nil
	})
}

// Not parallel: it counts goroutines.
func TestContextsDerivedFromTheHandlersNeedNoGoroutine(t *testing.T) {
	inHandler(t, &lines{}, func(ctx context.Context, _ *queue) error {
		before := runtime.NumGoroutine()
		for range 100 {
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			child.Done()
		}
		if n := runtime.NumGoroutine() - before; n > 50 {
			t.Errorf("%d goroutines for 100 derived contexts", n)
		}
		return nil
	})
}

func TestTheContextEndsWhenTheQueueIsRevoked(t *testing.T) {
	t.Parallel()
	log := &lines{}
	got := inHandler(t, log, func(ctx context.Context, q *queue) error {
		q.revoke()
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("without Done: %v", ctx.Err())
		}
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("with Done: %v", ctx.Err())
		}
		return ctx.Err()
	}, consumer.Retry(retry.None().Immediately(3)))
	if len(got) != 0 {
		t.Errorf("%+v counted after the revocation", got)
	}
	records := log.records(t)
	if len(records) != 1 || records[0]["msg"] != "queue was revoked while the handler ran" || records[0]["next"] != "its outcome does not count; the message is delivered again" {
		t.Errorf("log: %v", records)
	}
}

func TestAnOverrunIsLoggedWithTheHandlersNameWhileItLasts(t *testing.T) {
	t.Parallel()
	log := &lines{}
	got := inHandler(t, log, func(context.Context, *queue) error {
		<-time.After(time.Minute + time.Second)
		records := log.records(t)
		if len(records) != 1 {
			t.Errorf("%d records while it overruns, want 1: %v", len(records), records)
			return nil
		}
		r := records[0]
		if r["msg"] != "handler overran its consume time-out" || r["handler"] != "paid" || r["message_id"] != "m1" || r["timeout"] != float64(time.Minute) || r["running"] != float64(time.Minute) {
			t.Errorf("log: %v", r)
		}
		<-time.After(time.Hour)
		return nil
	})
	if len(got) != 1 || got[0].Verdict.Action != driver.ActionAck {
		t.Errorf("settled %+v: what was done late is done", got)
	}
	records := log.records(t)
	if len(records) != 2 || records[1]["msg"] != "handler returned after its consume time-out" || records[1]["after"] != float64(time.Hour+time.Minute+time.Second) {
		t.Errorf("log: %v", records)
	}
}

func TestAnEarlierDeadlineOfTheQueueWins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := consumer.NewMux("pay", consumer.Timeout(time.Hour))
		left := make(chan time.Duration, 1)
		consumer.Handle(m, "orders", func(ctx context.Context, _ string) error {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			return nil
		})
		drv := newScripted()
		c := start(t, drv, m)
		q := drv.sub(t, "pay").assign()
		q.ctx, q.revoke = context.WithTimeout(q.ctx, time.Minute)
		q.deliver(msg("m1", "orders", "", "x"))
		if d := <-left; d != time.Minute {
			t.Errorf("%s left, want 1m", d)
		}
		q.idle()
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
