package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// Two members, each with all messages; what fails is tried at once, counted and passed
// over; a member that starts again goes on where it was.
func TestBroadcastReachesEveryMemberOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inWorld(t, func(w *world) {
		mux := func(instance string, j *journal) *consumer.Mux {
			m := consumer.NewMux("cache", consumer.From(consumer.First), consumer.Broadcast(), consumer.Instance(instance),
				consumer.OffsetDir(dir), consumer.Retry(retry.None().Immediately(1)))
			consumer.Handle(m, "changes", func(_ context.Context, s string) error {
				j.add("%s", s)
				switch s {
				case "fails":
					return errDown
				case "later":
					return retry.After(errDown, time.Second)
				case "never":
					return retry.Permanent(errDown)
				case "panics":
					panic("boom")
				case "ends":
					runtime.Goexit()
				}
				return nil
			})
			return m
		}
		w.produce("changes", "", "one", "fails", "later", "never", "panics", "ends", "two")
		var first, second, again journal
		sorted := func(j *journal) []string {
			got, _ := j.read()
			slices.Sort(got)
			return got
		}
		c, end := w.member(mux("1", &first))
		_, endSecond := w.member(mux("2", &second))
		pass(time.Minute)
		want := []string{"ends", "fails", "fails", "later", "never", "one", "panics", "panics", "two"}
		for _, j := range []*journal{&first, &second} {
			if diff := cmp.Diff(want, sorted(j)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		}
		if n := c.Skipped(); n != 5 {
			t.Errorf("%d counted as passed over, want 5", n)
		}
		end((*consumer.Consumer).Drain)
		w.produce("changes", "", "three")
		_, end = w.member(mux("1", &again))
		pass(10 * time.Second)
		again.want(t, "three")
		end((*consumer.Consumer).Drain)
		endSecond((*consumer.Consumer).Drain)
	})
}

func TestBroadcastReachesTheDriver(t *testing.T) {
	t.Parallel()
	drv := newScripted()
	m := consumer.NewMux("cache", consumer.Broadcast(), consumer.Instance("blue"), consumer.OffsetDir("/data"), consumer.Ordered(), consumer.Retry(retry.Levels(2)))
	consumer.Handle(m, "changes", func(context.Context, string) error { return errDown })
	var log lines
	c := start(t, drv, m, consumer.Logger(log.logger()))
	sub := drv.sub(t, "cache")
	if diff := cmp.Diff(&driver.Broadcast{Dir: "/data", Instance: "blue"}, sub.cfg.Broadcast); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// In order it keeps its place, and is passed over after its retries.
	q := sub.assign()
	for i := range 3 {
		d := msg(fmt.Sprint(i), "changes", "", "x")
		d.ReconsumeTimes = i
		q.deliver(d)
		got := q.await(i + 1)[i].Verdict.Action
		if want := []driver.Action{driver.ActionRetry, driver.ActionRetry, driver.ActionAck}[i]; got != want {
			t.Errorf("attempt %d: action %d, want %d", i+1, got, want)
		}
	}
	if c.Skipped() != 1 {
		t.Errorf("%d counted as passed over, want 1", c.Skipped())
	}
	last := log.records(t)[2]
	if next, _ := last["next"].(string); last["level"] != "ERROR" || last["message_id"] != "2" || !strings.Contains(next, "passed over") {
		t.Errorf("logged %v", last)
	}
}

func TestBroadcastIsRefusedWithWhatItCannotDo(t *testing.T) {
	t.Parallel()
	able := driver.Capabilities{Broadcast: true, Ordered: true, ExactRetryDelay: true}
	b := consumer.Broadcast()
	for name, tt := range map[string]struct {
		caps driver.Capabilities
		opts []consumer.GroupOption
		dlq  bool
		want []string // nil: it is taken
	}{
		"by a driver without files":  {driver.Capabilities{}, []consumer.GroupOption{b}, false, []string{"not supported", "scripted", "native driver"}},
		"retries by the broker":      {able, []consumer.GroupOption{b, consumer.Retry(retry.Levels(3))}, false, []string{"3 retries by the broker", "Immediately"}},
		"dead letters":               {able, []consumer.GroupOption{b}, true, []string{"no dead letters", "remove HandleDLQ"}},
		"a strategy":                 {able, []consumer.GroupOption{b, consumer.Allocate(strategy{})}, false, []string{"Allocate"}},
		"exact retries":              {able, []consumer.GroupOption{b, consumer.StrictRetryDelay()}, false, []string{"StrictRetryDelay"}},
		"an empty name":              {able, []consumer.GroupOption{b, consumer.Instance("")}, false, []string{"empty"}},
		"a name without it":          {able, []consumer.GroupOption{consumer.Instance("x")}, false, []string{"add Broadcast"}},
		"a directory without it":     {able, []consumer.GroupOption{consumer.OffsetDir("x")}, false, []string{"add Broadcast"}},
		"retries in order":           {able, []consumer.GroupOption{b, consumer.Ordered(), consumer.Retry(retry.Levels(3))}, false, nil},
		"immediate retries":          {able, []consumer.GroupOption{b, consumer.Retry(retry.None().Immediately(3))}, false, nil},
		"nothing said about retries": {able, []consumer.GroupOption{b}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := consumer.NewMux("cache", tt.opts...)
			consumer.HandleRaw(m, "changes", func(context.Context, *message.Delivery) error { return nil })
			if tt.dlq {
				consumer.HandleDLQ(m, func(context.Context, *message.Delivery) error { return nil })
			}
			taken(t, tt.caps, m, tt.want)
		})
	}
	_, err := consumer.NewFetcher(newScripted(), "pay", []consumer.Subscription{{Topic: "orders"}}, b)
	if !errors.Is(err, message.ErrUnsupported) {
		t.Errorf("a fetcher of a broadcast group: %v", err)
	}
}

type strategy struct{}

func (strategy) Name() string { return "NONE" }
func (strategy) Allocate(string, string, []message.Queue, []string) []message.Queue {
	return nil
}
