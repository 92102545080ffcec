package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// keyed sends a message to the queue of its key.
func (w *world) keyed(topic, key, body string) {
	w.t.Helper()
	if _, err := w.send.Send(w.t.Context(), message.New(topic, []byte(body), message.ShardingKey(key))); err != nil {
		w.t.Fatal(err)
	}
}

// Every failure keeps its place: errors, panics, time-outs and delays.
func TestWhatFailsInOrderKeepsItsPlace(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var seen, dead journal
		m := consumer.NewMux("pay", consumer.From(consumer.First), consumer.Ordered(), consumer.Timeout(3*time.Second), consumer.Retry(retry.Levels(3)))
		consumer.Handle(m, "orders", func(ctx context.Context, s string) error {
			n := message.DeliveryFrom(ctx).ReconsumeTimes
			seen.add("%s/%d", s, n)
			switch {
			case s == "gone":
				return errDown
			case s == "refused":
				return retry.Permanent(errDown)
			case n > 0:
				return nil
			}
			switch s {
			case "fails":
				return errDown
			case "panics":
				panic("boom")
			case "hangs":
				<-ctx.Done()
				return ctx.Err()
			case "waits":
				return retry.After(errDown, 7*time.Second)
			}
			return nil
		})
		consumer.HandleDLQ(m, func(_ context.Context, d *message.Delivery) error { dead.add("%s", d.Body); return nil })
		for _, s := range []string{"first", "fails", "panics", "hangs", "waits", "gone", "refused", "last"} {
			w.keyed("orders", "k", s)
		}
		_, end := w.member(m)
		pass(time.Minute)
		end((*consumer.Consumer).Drain)
		seen.want(t, "first/0", "fails/0", "fails/1", "panics/0", "panics/1", "hangs/0", "hangs/1", "waits/0", "waits/1",
			"gone/0", "gone/1", "gone/2", "gone/3", "refused/0", "last/0")
		dead.want(t, "gone", "refused")
		_, at := seen.read()
		for i, want := range map[int]time.Duration{2: time.Second, 4: time.Second, 6: 4 * time.Second, 8: 7 * time.Second, 10: time.Second, 13: 0} {
			if got := at[i].Sub(at[i-1]); got < want || got > want+100*time.Millisecond {
				t.Errorf("attempt %d came %s after the one before, want %s", i, got, want)
			}
		}
	})
}

// gauge counts handlers that run at the same time.
type gauge struct {
	mu       sync.Mutex // guards the following
	now, top map[string]int
}

func (g *gauge) enter(names ...string) (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now == nil {
		g.now, g.top = map[string]int{}, map[string]int{}
	}
	for _, n := range names {
		g.now[n]++
		g.top[n] = max(g.top[n], g.now[n])
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, n := range names {
			g.now[n]--
		}
	}
}

func TestQueuesOfAnOrderedGroupAreHandledAtTheSameTime(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var g gauge
		var seen journal
		m := consumer.NewMux("pay", consumer.From(consumer.First), consumer.Ordered(), consumer.Concurrency(3))
		handle := func(ctx context.Context, s string) error {
			d := message.DeliveryFrom(ctx)
			defer g.enter("all", fmt.Sprint(d.Queue.ID))()
			seen.add("%d:%s", d.Queue.ID, s)
			<-time.After(time.Second)
			return nil
		}
		// Two handlers of a topic take turns.
		consumer.Handle(m, "orders", handle, consumer.Tags("even"))
		consumer.Handle(m, "orders", handle, consumer.Tags("odd"))
		for i := range 24 {
			if _, err := w.send.Send(w.t.Context(), message.New("orders", fmt.Append(nil, i/4), message.ShardingKey(fmt.Sprint(i%4)), message.Tag([]string{"even", "odd"}[i/4%2]))); err != nil {
				t.Fatal(err)
			}
		}
		_, end := w.member(m)
		pass(time.Minute)
		end((*consumer.Consumer).Drain)
		for name, n := range map[string]int{"0": 1, "1": 1, "2": 1, "3": 1} {
			if g.top[name] != n {
				t.Errorf("%d handlers of queue %s at the same time, want %d", g.top[name], name, n)
			}
		}
		if g.top["all"] < 3 {
			t.Errorf("%d handlers at the same time, want 3 and more", g.top["all"])
		}
		entries, _ := seen.read()
		for q := range 4 {
			var got []string
			for _, e := range entries {
				if id, body, _ := strings.Cut(e, ":"); id == fmt.Sprint(q) {
					got = append(got, body)
				}
			}
			if s := strings.Join(got, ""); s != "012345" {
				t.Errorf("queue %d was handled as %s", q, s)
			}
		}
	})
}

func TestKeysOfAQueueAreHandledAtTheSameTime(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var g gauge
		var mu sync.Mutex
		got := map[string]string{}
		m := consumer.NewMux("pay", consumer.From(consumer.First), consumer.OrderedBy((*message.Delivery).ShardingKey), consumer.Suspend(10*time.Second))
		failing := true
		consumer.Handle(m, "orders", func(ctx context.Context, s string) error {
			key := message.DeliveryFrom(ctx).ShardingKey()
			defer g.enter("all", key)()
			<-time.After(time.Second)
			mu.Lock()
			defer mu.Unlock()
			if failing && key == "b" && s == "2" {
				return errDown
			}
			got[key] += s
			return nil
		})
		// Java's hashes of a, e and i are 4 apart: one queue of 4.
		for i := range 5 {
			for _, key := range []string{"a", "e", "i", "b"} {
				w.keyed("orders", key, fmt.Sprint(i))
			}
		}
		_, end := w.member(m)
		pass(20 * time.Second)
		mu.Lock()
		if got["b"] != "01" || got["a"] != "01234" {
			t.Errorf("while a key fails: %v", got)
		}
		failing = false
		mu.Unlock()
		pass(20 * time.Second)
		end((*consumer.Consumer).Drain)
		for _, key := range []string{"a", "e", "i", "b"} {
			if got[key] != "01234" || g.top[key] != 1 {
				t.Errorf("key %s was handled as %s, %d at the same time", key, got[key], g.top[key])
			}
		}
		if g.top["all"] < 4 {
			t.Errorf("%d handlers at the same time, want 4: three keys of one queue and one of another", g.top["all"])
		}
	})
}

func TestOrderReachesTheDriver(t *testing.T) {
	t.Parallel()
	drv := newScripted()
	drv.caps.Ordered = true
	m := consumer.NewMux("pay", consumer.OrderedBy(func(d *message.Delivery) string {
		if d.Tag == "bad" {
			panic("no key")
		}
		return d.Tag
	}), consumer.Suspend(2*time.Second), consumer.Retry(retry.Levels(math.MaxInt32)))
	consumer.HandleRaw(m, "orders", func(context.Context, *message.Delivery) error { return nil })
	consumer.HandleDLQ(m, func(context.Context, *message.Delivery) error { return nil })
	var log lines
	c, err := consumer.New(drv, m, consumer.Logger(log.logger()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop(context.Background())
	cfg := drv.sub(t, "pay").cfg
	if !cfg.Ordered || cfg.Suspend != 2*time.Second || cfg.MaxRetries != math.MaxInt32 || cfg.OrderKey(msg("1", "orders", "t", "")) != "t" {
		t.Errorf("the driver is asked for %+v", cfg)
	}
	if k := cfg.OrderKey(msg("2", "orders", "bad", "")); k != "" || len(log.records(t)) != 1 || log.records(t)[0]["message_id"] != "2" {
		t.Errorf("a key that panics is %q, and logged as %v", k, log.records(t))
	}
	if drv.sub(t, "pay_dlq").cfg.Ordered {
		t.Error("the dead letters' own group is ordered")
	}
}

func TestOrderIsRefusedWhereItCannotBe(t *testing.T) {
	t.Parallel()
	able := driver.Capabilities{Ordered: true}
	for name, tt := range map[string]struct {
		caps driver.Capabilities
		opts []consumer.GroupOption
		want []string // nil: it is taken
	}{
		"by a driver without locks": {driver.Capabilities{}, []consumer.GroupOption{consumer.Ordered()}, []string{"not supported", "scripted", "native driver"}},
		"without a key":             {able, []consumer.GroupOption{consumer.OrderedBy(nil)}, []string{"OrderedBy(nil)"}},
		"rest without order":        {able, []consumer.GroupOption{consumer.Suspend(time.Second)}, []string{"Suspend(1s)", "add Ordered"}},
		"no rest":                   {able, []consumer.GroupOption{consumer.Ordered(), consumer.Suspend(0)}, []string{"Suspend(0s)", "positive"}},
		"in order":                  {able, []consumer.GroupOption{consumer.Ordered(), consumer.Suspend(time.Second)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := consumer.NewMux("pay", tt.opts...)
			consumer.HandleRaw(m, "orders", func(context.Context, *message.Delivery) error { return nil })
			taken(t, tt.caps, m, tt.want)
		})
	}
	_, err := consumer.NewFetcher(newScripted(), "pay", []consumer.Subscription{{Topic: "orders"}}, consumer.Ordered())
	if !errors.Is(err, message.ErrUnsupported) {
		t.Errorf("a fetcher in order: %v", err)
	}
}

// Drain finishes the message at hand and leaves the others to the next member.
func TestDrainOfAnOrderedGroupFinishesWhatIsAtHand(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var seen journal
		mux := func() *consumer.Mux {
			m := consumer.NewMux("pay", consumer.From(consumer.First), consumer.Ordered())
			consumer.Handle(m, "orders", func(_ context.Context, s string) error {
				<-time.After(4 * time.Second)
				seen.add("%s", s)
				return nil
			})
			return m
		}
		for i := range 4 {
			w.keyed("orders", "k", fmt.Sprint(i))
		}
		_, end := w.member(mux())
		pass(6 * time.Second)
		end((*consumer.Consumer).Drain)
		seen.want(t, "0", "1")
		_, end = w.member(mux())
		pass(5 * time.Second)
		end((*consumer.Consumer).Stop)
		synctest.Wait()
		seen.want(t, "0", "1", "2", "3")
		_, end = w.member(mux())
		pass(time.Minute)
		end((*consumer.Consumer).Drain)
		seen.want(t, "0", "1", "2", "3", "3")
	})
}
