package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// sleepy makes a started consumer in a bubble whose handler takes an hour unless
// its ctx ends, or stubbornly whatever happens.
func sleepy(t *testing.T, stubborn bool, opts ...consumer.GroupOption) (*consumer.Consumer, *subscription, *queue) {
	t.Helper()
	m := consumer.NewMux("pay", append([]consumer.GroupOption{consumer.Concurrency(2)}, opts...)...)
	consumer.Handle(m, "orders", func(ctx context.Context, _ string) error {
		var ended <-chan struct{}
		if !stubborn {
			ended = ctx.Done()
		}
		select {
		case <-time.After(time.Hour):
			return nil
		case <-ended:
			return ctx.Err()
		}
	}, consumer.Name("sleepy"), consumer.Timeout(24*time.Hour))
	drv := newScripted()
	c, err := consumer.New(drv, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	sub := drv.sub(t, m.Group())
	return c, sub, sub.assign()
}

func three() []*message.Delivery {
	return []*message.Delivery{msg("m1", "orders", "", "x"), msg("m2", "orders", "", "x"), msg("m3", "orders", "", "x")}
}

func TestDrainFinishesWhatWasDelivered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, sub, q := sleepy(t, false, consumer.ShutdownTimeout(3*time.Hour))
		q.deliver(three()...)
		began := time.Now()
		if err := c.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
		if d := time.Since(began); d != 2*time.Hour {
			t.Errorf("Drain took %s, want 2 h: three messages, two at a time", d)
		}
		if d := cmp.Diff([]settled{ack("m1"), ack("m2"), ack("m3")}, sortByID(q.idle())); d != "" {
			t.Errorf("settled (-want +got):\n%s", d)
		}
		if d := cmp.Diff([]string{"Start", "Drain"}, sub.calls); d != "" {
			t.Errorf("calls (-want +got):\n%s", d)
		}
	})
}

func sortByID(s []settled) []settled {
	for i := range s {
		for j := i; j > 0 && s[j].ID < s[j-1].ID; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
	return s
}

func TestStopEndsTheHandlersContextsAndSettlesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, sub, q := sleepy(t, false)
		q.deliver(three()...)
		synctest.Wait()
		began := time.Now()
		if err := c.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("Stop took %s", d)
		}
		if got := q.idle(); len(got) != 0 {
			t.Errorf("%+v counted after Stop", got)
		}
		if d := cmp.Diff([]string{"Start", "Stop"}, sub.calls); d != "" {
			t.Errorf("calls (-want +got):\n%s", d)
		}
		select {
		case <-c.Closed():
		default:
			t.Error("Closed is open after Stop")
		}
	})
}

func TestADrainThatTakesTooLongGoesOnLikeStop(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]func(*testing.T) (context.Context, []consumer.GroupOption){
		"the caller's": func(t *testing.T) (context.Context, []consumer.GroupOption) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			t.Cleanup(cancel)
			return ctx, []consumer.GroupOption{consumer.ShutdownTimeout(24 * time.Hour)}
		},
		"the consumer's": func(t *testing.T) (context.Context, []consumer.GroupOption) {
			return t.Context(), []consumer.GroupOption{consumer.ShutdownTimeout(time.Minute)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, opts := limit(t)
				c, _, q := sleepy(t, false, opts...)
				q.deliver(three()...)
				began := time.Now()
				err := c.Drain(ctx)
				if want := `end consumer group "pay": 3 messages left: context deadline exceeded`; err == nil || err.Error() != want {
					t.Errorf("Drain: %v, want %s", err, want)
				}
				if d := time.Since(began); d != time.Minute {
					t.Errorf("Drain took %s, want 1 m: handlers that heed their ctx end at once", d)
				}
			})
		})
	}
}

func TestHandlersThatIgnoreTheirContextAreNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _, q := sleepy(t, true, consumer.ShutdownTimeout(time.Minute))
		q.deliver(msg("m1", "orders", "", "x"))
		synctest.Wait()
		began := time.Now()
		err := c.Stop(t.Context())
		if want := `consumer group "pay": handlers still running: "sleepy" with message m1 for 1m0s; a handler must return when its ctx ends`; !errors.Is(err, consumer.ErrUnfinished) || err.Error() != want {
			t.Errorf("Stop: %v\nwant %s", err, want)
		}
		if d := time.Since(began); d != time.Minute {
			t.Errorf("Stop took %s, want the shutdown timeout of 1 m", d)
		}
		q.idle() // the handler returns in the end, and its worker with it
	})
}

// The caller's time may be over before Stop begins: handlers get a second to
// notice.
func TestHandlersGetAMomentToNotice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _, q := sleepy(t, false)
		q.deliver(three()...)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, _, q := sleepy(t, true)
		q.deliver(three()...)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		if err := c.Stop(ctx); !errors.Is(err, consumer.ErrUnfinished) {
			t.Errorf("Stop: %v", err)
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("Stop took %s, want 1 s", d)
		}
		q.idle()
	})
}

func TestStopCutsADrainShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, sub, q := sleepy(t, false, consumer.ShutdownTimeout(24*time.Hour))
		q.deliver(three()...)
		drained := make(chan error, 1)
		go func() { drained <- c.Drain(context.Background()) }()
		synctest.Wait()
		began := time.Now()
		stopErr := c.Stop(t.Context())
		drainErr := <-drained
		if want := `end consumer group "pay": 3 messages left: context canceled`; drainErr == nil || drainErr.Error() != want {
			t.Errorf("Drain: %v, want %s", drainErr, want)
		}
		if !errors.Is(stopErr, drainErr) {
			t.Errorf("Stop: %v, want what the drain left", stopErr)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("took %s", d)
		}
		if d := cmp.Diff([]string{"Start", "Drain"}, sub.calls); d != "" {
			t.Errorf("calls (-want +got):\n%s", d)
		}
	})
}

func TestLifecycleCallsMayBeRepeated(t *testing.T) {
	t.Parallel()
	c, sub, q := sleepy(t, false)
	if c.Group() != "pay" {
		t.Errorf("group %q", c.Group())
	}
	if err := c.Start(t.Context()); err != nil {
		t.Errorf("second Start: %v", err)
	}
	q.deliver()
	for range 2 {
		if err := c.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	if d := cmp.Diff([]string{"Start", "Drain"}, sub.calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
	err := c.Start(t.Context())
	if want := `start consumer group "pay": closed: a consumer starts once; make a new one`; !errors.Is(err, message.ErrClosed) || err.Error() != want {
		t.Errorf("Start after Drain: %v, want %s", err, want)
	}
}

func TestAConsumerThatNeverStartedCanBeStopped(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay")
	consumer.Handle(m, "orders", onText)
	consumer.HandleDLQ(m, onRaw)
	drv := newScripted()
	c, err := consumer.New(drv, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	for _, s := range drv.subs {
		if d := cmp.Diff([]string{"Stop"}, s.calls); d != "" {
			t.Errorf("%s: calls (-want +got):\n%s", s.cfg.Group, d)
		}
	}
}

func TestAWaitingSecondDrainHeedsItsOwnContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _, q := sleepy(t, false, consumer.ShutdownTimeout(24*time.Hour))
		q.deliver(msg("m1", "orders", "", "x"))
		drained := make(chan error, 1)
		go func() { drained <- c.Drain(context.Background()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := c.Drain(ctx)
		if want := `consumer group "pay" is still ending: context deadline exceeded`; !errors.Is(err, context.DeadlineExceeded) || err.Error() != want {
			t.Errorf("second Drain: %v, want %s", err, want)
		}
		if err := <-drained; err != nil {
			t.Errorf("first Drain: %v", err)
		}
	})
}

func TestAFailedStartNamesTheGroup(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay")
	consumer.Handle(m, "orders", onText)
	drv := newScripted()
	drv.startup = errDown
	c, err := consumer.New(drv, m)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err = c.Start(t.Context())
		if want := `start consumer group "pay": card service is down`; !errors.Is(err, errDown) || err.Error() != want {
			t.Errorf("Start: %v, want %s", err, want)
		}
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// Messages that wait when their queue is revoked never reach the handler.
func TestWaitingMessagesOfARevokedQueueAreGivenBack(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	handled := make(chan string, 8)
	m := consumer.NewMux("pay", consumer.Concurrency(1))
	consumer.Handle(m, "orders", func(_ context.Context, s string) error {
		handled <- s
		if s == "first" {
			close(began)
			<-release
		}
		return nil
	})
	drv := newScripted()
	start(t, drv, m)
	revoked, kept := drv.sub(t, "pay").assign(), drv.sub(t, "pay").assign()
	revoked.deliver(msg("m1", "orders", "", "first"), msg("m2", "orders", "", "second"))
	<-began
	kept.deliver(msg("m3", "orders", "", "other queue"))
	revoked.revoke()
	close(release)
	if d := cmp.Diff([]settled{ack("m3")}, kept.await(1)); d != "" {
		t.Errorf("kept queue (-want +got):\n%s", d)
	}
	if got := revoked.idle(); len(got) != 0 {
		t.Errorf("revoked queue: %+v counted", got)
	}
	close(handled)
	var order []string
	for s := range handled {
		order = append(order, s)
	}
	if d := cmp.Diff([]string{"first", "other queue"}, order); d != "" {
		t.Errorf("handled (-want +got):\n%s", d)
	}
}

// A driver should not, but if it delivers after the end nothing is lost.
func TestADeliveryAfterTheEndIsGivenBack(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay")
	consumer.Handle(m, "orders", func(context.Context, string) error { t.Error("the handler ran"); return nil })
	drv := newScripted()
	c := start(t, drv, m)
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := drv.sub(t, "pay").assign()
	q.deliver(three()...)
	want := []settled{{"m1", driver.Verdict{}}, {"m2", driver.Verdict{}}, {"m3", driver.Verdict{}}}
	if d := cmp.Diff(want, q.await(3)); d != "" {
		t.Errorf("settled (-want +got):\n%s", d)
	}
}

// Deliveries, revocations and the shutdown at the same time: every message is
// settled exactly once (the scripted driver checks it).
func TestShutdownUnderLoadSettlesEverythingOnce(t *testing.T) {
	t.Parallel()
	for _, drain := range []bool{true, false} {
		m := consumer.NewMux("pay", consumer.Concurrency(4))
		consumer.Handle(m, "orders", onText)
		drv := newScripted()
		c := start(t, drv, m)
		sub := drv.sub(t, "pay")
		var queues []*queue
		done := make(chan struct{})
		for i := range 4 {
			q := sub.assign()
			queues = append(queues, q)
			go func() {
				defer func() { done <- struct{}{} }()
				for j := range 200 {
					q.deliver(msg(fmt.Sprint(i, "-", j), "orders", "", "x"))
					if i == 0 && j == 100 {
						q.revoke()
					}
				}
			}()
		}
		var err error
		if drain {
			err = c.Drain(context.Background())
		} else {
			err = c.Stop(context.Background())
		}
		if err != nil {
			t.Errorf("drain %t: %v", drain, err)
		}
		for range queues {
			<-done
		}
		for _, q := range queues {
			q.idle()
		}
	}
}
