package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

var growing = retry.Backoff{Base: 7 * time.Second, Factor: 3, Max: 40 * time.Second}

// backedOff runs a message that always fails through a broker, and returns how long
// after one another its attempts came. The broker keeps, or rounds, every delay.
func backedOff(t *testing.T, group []consumer.GroupOption, opts []consumer.HandlerOption, server ...brokerlite.Option) (waits []time.Duration) {
	t.Helper()
	inWorld(t, func(w *world) {
		var tries, dead journal
		m := consumer.NewMux("pay", append(group, consumer.From(consumer.First))...)
		consumer.HandleRaw(m, "orders", func(_ context.Context, d *message.Delivery) error {
			tries.add("%s %s %v %d", d.Body, d.ID, d.Keys(), d.ReconsumeTimes)
			return errDown
		}, opts...)
		consumer.HandleDLQ(m, func(_ context.Context, d *message.Delivery) error {
			dead.add("%s %s %v from %s", d.Body, d.ID, d.Keys(), d.OriginTopic())
			return nil
		})
		_, end := w.member(m)
		sent, err := w.send.Send(w.t.Context(), message.New("orders", []byte("o-1"), message.Key("order-1")))
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		end((*consumer.Consumer).Drain)
		got, at := tries.read()
		for i, try := range got {
			if want := fmt.Sprintf("o-1 %s [order-1] %d", sent.MessageID, i); try != want {
				t.Errorf("attempt %d: %q, want %q", i+1, try, want)
			}
			if i > 0 {
				waits = append(waits, at[i].Sub(at[i-1]).Round(2*time.Second))
			}
		}
		dead.want(t, fmt.Sprintf("o-1 %s [order-1] from orders", sent.MessageID))
	}, server...)
	return waits
}

func TestABackoffIsKeptWhereTheServerHasATimer(t *testing.T) {
	t.Parallel()
	waits := backedOff(t, nil, []consumer.HandlerOption{consumer.Retry(retry.Exponential(4, growing))})
	if d := cmp.Diff([]time.Duration{8 * time.Second, 22 * time.Second, 40 * time.Second, 40 * time.Second}, waits); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestABackoffTakesTheNextLevelUpWhereTheServerHasNoTimer(t *testing.T) {
	t.Parallel()
	waits := backedOff(t, []consumer.GroupOption{consumer.Retry(retry.Exponential(9, growing))}, []consumer.HandlerOption{consumer.MaxRetries(3)},
		brokerlite.Conf("timerWheelEnable=false"))
	if d := cmp.Diff([]time.Duration{10 * time.Second, 30 * time.Second, time.Minute}, waits); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The broker says 5.x and turns out to have no timer.
func TestAStrictBackoffWaitsHereWhereTheServerHasNoTimer(t *testing.T) {
	t.Parallel()
	strict := growing
	strict.Strict = true
	waits := backedOff(t, nil, []consumer.HandlerOption{consumer.Retry(retry.Exponential(2, strict))}, brokerlite.Conf("timerWheelEnable=false"))
	if d := cmp.Diff([]time.Duration{8 * time.Second, 22 * time.Second}, waits); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestABackoffInOrderIsWaitedForInItsPlace(t *testing.T) {
	t.Parallel()
	strict := growing
	strict.Strict = true
	waits := backedOff(t, []consumer.GroupOption{consumer.Ordered()}, []consumer.HandlerOption{consumer.Retry(retry.Exponential(2, strict))},
		brokerlite.Conf("timerWheelEnable=false"))
	if d := cmp.Diff([]time.Duration{8 * time.Second, 22 * time.Second}, waits); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Each failure has a delay of its own.
func TestJitterIsDrawnForEachFailure(t *testing.T) {
	t.Parallel()
	m := consumer.NewMux("pay")
	consumer.Handle(m, "orders", fails(errDown), consumer.Retry(retry.Exponential(5, retry.Backoff{Base: time.Hour, Jitter: 0.5})))
	drv := newScripted()
	start(t, drv, m)
	q := drv.sub(t, "pay").assign()
	for i := range 50 {
		q.deliver(msg(fmt.Sprint(i), "orders", "", "x"))
	}
	delays := make(map[time.Duration]bool)
	for _, s := range q.await(50) {
		if s.Verdict.Delay < 30*time.Minute || s.Verdict.Delay > time.Hour {
			t.Errorf("delay %s, want 30m to 1h", s.Verdict.Delay)
		}
		delays[s.Verdict.Delay] = true
	}
	if len(delays) < 45 {
		t.Errorf("%d different delays of 50", len(delays))
	}
}

func TestWhoChoosesTheMaximumOfRetries(t *testing.T) {
	t.Parallel()
	backoff := retry.Exponential(9, retry.Backoff{Base: time.Minute, Strict: true})
	by := func(max int) driver.Verdict {
		return driver.Verdict{Action: driver.ActionRetry, Delay: time.Minute, Strict: true, MaxRetries: max}
	}
	levels := func(max int) driver.Verdict { return driver.Verdict{Action: driver.ActionRetry, MaxRetries: max} }
	type (
		groups   = []consumer.GroupOption
		handlers = []consumer.HandlerOption
	)
	for _, tc := range []struct {
		name    string
		group   groups
		handler handlers
		want    driver.Verdict
	}{
		{"the group's policy", groups{consumer.Retry(backoff)}, nil, by(9)},
		{"the group", groups{consumer.Retry(backoff), consumer.MaxRetries(3)}, nil, by(3)},
		{"the group's policy, which came later", groups{consumer.MaxRetries(3), consumer.Retry(backoff)}, nil, by(9)},
		{"the group without a policy", groups{consumer.MaxRetries(3)}, nil, levels(3)},
		{"the handler", groups{consumer.Retry(backoff)}, handlers{consumer.MaxRetries(2)}, by(2)},
		{"the handler, not the group", groups{consumer.Retry(backoff), consumer.MaxRetries(3)}, handlers{consumer.MaxRetries(2)}, by(2)},
		{"the handler's policy, not the group", groups{consumer.MaxRetries(3)}, handlers{consumer.Retry(backoff)}, by(9)},
		{"the handler with its policy", nil, handlers{consumer.Retry(backoff), consumer.MaxRetries(2)}, by(2)},
		{"the handler's policy, which came later", nil, handlers{consumer.MaxRetries(2), consumer.Retry(backoff)}, by(9)},
		{"what came later", groups{consumer.ForHandler("paid", consumer.Retry(backoff))}, handlers{consumer.MaxRetries(2)}, by(9)},
		{"a number that came later", groups{consumer.ForHandler("paid", consumer.MaxRetries(1))}, handlers{consumer.Retry(backoff)}, by(1)},
		{"nothing is retried", groups{consumer.Retry(backoff)}, handlers{consumer.MaxRetries(0)}, dead},
	} {
		m := consumer.NewMux("pay", tc.group...)
		consumer.Handle(m, "orders", fails(errDown), append(tc.handler, consumer.Name("paid"))...)
		drv := newScripted()
		start(t, drv, m)
		sub := drv.sub(t, "pay")
		q := sub.assign()
		q.deliver(msg("1", "orders", "", "x"))
		if d := cmp.Diff(tc.want, q.await(1)[0].Verdict); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, d)
		}
		if want := tc.want.MaxRetries; want > 0 && sub.cfg.MaxRetries != want {
			t.Errorf("%s: the driver was told %d retries", tc.name, sub.cfg.MaxRetries)
		}
	}
}

// A driver is asked for exact retries when a handler has to have them.
func TestDelaysThatMustBeKeptAreAskedForEarly(t *testing.T) {
	t.Parallel()
	strict, lax := growing, growing
	strict.Strict = true
	for _, tc := range []struct {
		name    string
		opts    []consumer.GroupOption
		policy  retry.Policy
		exact   bool
		refused string // by a driver that rounds
	}{
		{"levels", nil, retry.Levels(3), false, ""},
		{"a back-off", nil, retry.Exponential(3, lax), false, ""},
		{"a strict back-off", nil, retry.Exponential(3, strict), true, `handler "orders": not supported: Retry(3 retries after 7s, times 3 up to 40s, strictly): its delays must be kept, and scripted rounds them up to delay levels; use the native driver or a back-off that is not Strict`},
		{"a strict group", []consumer.GroupOption{consumer.StrictRetryDelay()}, retry.Exponential(3, lax), true, "StrictRetryDelay needs a driver"},
		{"levels in a strict group", []consumer.GroupOption{consumer.StrictRetryDelay()}, retry.Levels(3), false, "StrictRetryDelay needs a driver"},
		{"in order", []consumer.GroupOption{consumer.Ordered()}, retry.Exponential(3, strict), false, ""},
		{"disabled", []consumer.GroupOption{consumer.Disable("orders")}, retry.Exponential(3, strict), false, ""},
	} {
		m := consumer.NewMux("pay", tc.opts...)
		consumer.Handle(m, "orders", onText, consumer.Retry(tc.policy))
		consumer.Handle(m, "others", onText)
		drv := newScripted()
		start(t, drv, m)
		if got := drv.sub(t, "pay").cfg.ExactRetries; got != tc.exact {
			t.Errorf("%s: exact retries asked for: %v", tc.name, got)
		}
		rounding := newScripted()
		rounding.caps.ExactRetryDelay = false
		c, err := consumer.New(rounding, m)
		if tc.refused == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
				continue
			}
			if err := c.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		} else if !errors.Is(err, message.ErrUnsupported) || !strings.Contains(err.Error(), tc.refused) {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.refused)
		}
	}
}

func TestAFetcherRetriesByItsBackoff(t *testing.T) {
	t.Parallel()
	drv := newScripted()
	policy := retry.Exponential(5, retry.Backoff{Base: 10 * time.Second, Factor: 3, Strict: true}).Immediately(2)
	f, err := consumer.NewFetcher(drv, "pay", []consumer.Subscription{{Topic: "orders"}}, consumer.Retry(policy))
	if err != nil {
		t.Fatal(err)
	}
	q := drv.sub(t, "pay").assign()
	first, second, third := msg("1", "orders", "", "x"), msg("2", "orders", "", "x"), msg("3", "orders", "", "x")
	second.ReconsumeTimes = 1
	q.deliver(first, second, third)
	ds, err := f.Fetch(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Retry(0, append(ds[:2:2], nil)...); !errors.Is(err, consumer.ErrRevoked) { // of the nil
		t.Errorf("error %v", err)
	}
	if err := f.Retry(time.Minute, ds[2]); err != nil {
		t.Error(err)
	}
	again := func(d time.Duration) driver.Verdict {
		return driver.Verdict{Action: driver.ActionRetry, Delay: d, Strict: true}
	}
	if d := cmp.Diff([]settled{{"1", again(10 * time.Second)}, {"2", again(30 * time.Second)}, {"3", again(time.Minute)}}, q.await(3)); d != "" {
		t.Errorf("settled (-want +got):\n%s", d)
	}
	if cfg := drv.sub(t, "pay").cfg; !cfg.ExactRetries || cfg.MaxRetries != 5 {
		t.Errorf("asked for %+v", cfg)
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
