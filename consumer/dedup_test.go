package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// watched is a store that notes what it is asked, and fails when it is told to.
type watched struct {
	dedup.Store

	mu    sync.Mutex // guards the following
	calls []string
	fail  map[string]error // by call: claim, complete, release; panicked with when it is errPanic
}

var errPanic = errors.New("panic")

func watch(s dedup.Store) *watched { return &watched{Store: s, fail: map[string]error{}} }

func (w *watched) note(call, key string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, call+" "+key)
	err := w.fail[call]
	if errors.Is(err, errPanic) {
		panic(err)
	}
	return err
}

func (w *watched) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

func (w *watched) Claim(ctx context.Context, key string, lease time.Duration) (dedup.Claim, error) {
	if err := w.note("claim", fmt.Sprint(key, " for ", lease)); err != nil {
		return dedup.Claim{}, err
	}
	return w.Store.Claim(ctx, key, lease)
}

func (w *watched) Complete(ctx context.Context, c dedup.Claim, ttl time.Duration) error {
	if err := cmpErr(ctx.Err(), w.note("complete", fmt.Sprint(c.Key, " for ", ttl))); err != nil {
		return err
	}
	return w.Store.Complete(ctx, c, ttl)
}

func (w *watched) Release(ctx context.Context, c dedup.Claim) error {
	if err := cmpErr(ctx.Err(), w.note("release", c.Key)); err != nil {
		return err
	}
	return w.Store.Release(ctx, c)
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

var comesAgain = driver.Verdict{Action: driver.ActionRetry, MaxRetries: math.MaxInt32}

// What the handler's outcome makes of the claim, and what the store's makes of the
// message.
func TestAMessageIsClaimedForItsHandlerAndRememberedAfterIt(t *testing.T) {
	t.Parallel()
	const claim, complete, release = "claim pay/orders/m1 for 3m0s", "complete pay/orders/m1 for 1h0m0s", "release pay/orders/m1"
	for name, tc := range map[string]struct {
		before dedup.State // of the message in the store
		fail   map[string]error
		opts   []consumer.DedupOption
		err    error // the handler's; errPanic panics, runtime's end is errGoexit
		policy retry.Policy
		calls  []string
		runs   int
		want   driver.Verdict
	}{
		"handled":              {calls: []string{claim, complete}, runs: 1, want: acked},
		"failed":               {err: errDown, calls: []string{claim, release}, runs: 1, want: retried},
		"failed and retried":   {err: errDown, policy: retry.Levels(16).Immediately(2), calls: []string{claim, release}, runs: 3, want: retried},
		"permanent":            {err: retry.Permanent(errDown), calls: []string{claim, release}, runs: 1, want: dead},
		"skipped":              {err: retry.Skip(errDown), calls: []string{claim, complete}, runs: 1, want: acked},
		"panicked":             {err: errPanic, calls: []string{claim, release}, runs: 1, want: retried},
		"ended its goroutine":  {err: errGoexit, calls: []string{claim, release}, runs: 1, want: driver.Verdict{}},
		"done before":          {before: dedup.Done, calls: []string{claim}, want: acked},
		"claimed elsewhere":    {before: dedup.Busy, policy: retry.None(), calls: []string{claim}, want: comesAgain},
		"no store":             {fail: map[string]error{"claim": errDown}, policy: retry.None(), calls: []string{claim}, want: comesAgain},
		"a store that panics":  {fail: map[string]error{"claim": errPanic}, calls: []string{claim}, want: comesAgain},
		"no store, fail open":  {fail: map[string]error{"claim": errDown}, opts: []consumer.DedupOption{consumer.DedupFailOpen()}, calls: []string{claim}, runs: 1, want: acked},
		"no store after":       {fail: map[string]error{"complete": errDown}, calls: []string{claim, complete}, runs: 1, want: acked},
		"no store to release":  {err: errDown, fail: map[string]error{"release": errPanic}, calls: []string{claim, release}, runs: 1, want: retried},
		"no key":               {opts: []consumer.DedupOption{consumer.DedupBy(func(*message.Delivery) string { return "" })}, want: retried},
		"no key, no retries":   {opts: []consumer.DedupOption{consumer.DedupFailOpen(), consumer.DedupBy(func(*message.Delivery) string { return "" })}, policy: retry.None(), want: dead},
		"a key that panics":    {opts: []consumer.DedupOption{consumer.DedupBy(func(*message.Delivery) string { panic("boom") })}, policy: retry.Levels(16).Immediately(2), want: retried},
		"a key of its own":     {opts: []consumer.DedupOption{consumer.DedupBy(func(*message.Delivery) string { return "k" }), consumer.DedupTTL(time.Minute)}, calls: []string{"claim pay/orders/k for 3m0s", "complete pay/orders/k for 1m0s"}, runs: 1, want: acked},
		"a key that is a hash": {opts: []consumer.DedupOption{consumer.DedupBy(func(*message.Delivery) string { return strings.Repeat("k", 300) })}, runs: 1, want: acked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memory := dedup.NewMemory()
			if tc.before != dedup.Busy || name == "claimed elsewhere" {
				c, err := memory.Claim(t.Context(), "pay/orders/m1", time.Hour)
				if err == nil && tc.before == dedup.Done {
					err = memory.Complete(t.Context(), c, time.Hour)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			store := watch(memory)
			if tc.fail != nil {
				store.fail = tc.fail
			}
			runs := make(chan struct{}, 9)
			got, _ := outcome(t, msg("m1", "orders", "", "x"), func(context.Context, string) error {
				runs <- struct{}{}
				switch {
				case errors.Is(tc.err, errPanic):
					panic("boom")
				case errors.Is(tc.err, errGoexit):
					runtime.Goexit()
				}
				return tc.err
			}, consumer.Deduplicate(store, append([]consumer.DedupOption{consumer.DedupTTL(time.Hour)}, tc.opts...)...), consumer.Retry(tc.policy), consumer.Timeout(2*time.Minute))
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("verdict (-want +got):\n%s", d)
			}
			if len(runs) != tc.runs {
				t.Errorf("the handler ran %d times, want %d", len(runs), tc.runs)
			}
			calls := store.seen()
			if name == "a key that is a hash" {
				if len(calls) != 2 || !strings.HasPrefix(calls[0], "claim pay/#") || len(calls[0]) != len("claim pay/# for 3m0s")+64 {
					t.Errorf("calls %q", calls)
				}
				return
			}
			if d := cmp.Diff(tc.calls, calls); d != "" {
				t.Errorf("calls (-want +got):\n%s", d)
			}
		})
	}
}

var errGoexit = errors.New("goexit")

// A body that cannot be read gives its claim back, too.
func TestAClaimIsGivenBackWhenTheMessageCannotBeDecoded(t *testing.T) {
	t.Parallel()
	store := watch(dedup.NewMemory())
	mux := consumer.NewMux("pay", consumer.Deduplicate(store))
	consumer.Handle(mux, "orders", func(context.Context, struct{}) error { return nil })
	drv := newScripted()
	start(t, drv, mux)
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("m1", "orders", "", "{"))
	if v := q.await(1)[0].Verdict; v.Action != driver.ActionDeadLetter {
		t.Errorf("%+v", v)
	}
	if d := cmp.Diff([]string{"claim pay/orders/m1 for 16m0s", "release pay/orders/m1"}, store.seen()); d != "" {
		t.Error(d)
	}
}

// In a batch each message goes its own way.
func TestABatchHasWhatIsNeitherDoneNorElsewhere(t *testing.T) {
	t.Parallel()
	memory := dedup.NewMemory()
	prepared := func() *watched {
		for i, state := range []dedup.State{dedup.Done, dedup.Busy} {
			c, err := memory.Claim(context.Background(), fmt.Sprint("pay/orders/m", i), time.Hour)
			if err == nil && state == dedup.Done {
				err = memory.Complete(context.Background(), c, time.Hour)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return watch(memory)
	}
	store := prepared()
	got, _ := batched(t, func(_ context.Context, b *texts) error {
		if d := cmp.Diff([]string{"c", "d"}, b.Values()); d != "" {
			t.Error(d)
		}
		b.Fail(1, errDown)
		return nil
	}, []consumer.HandlerOption{consumer.Deduplicate(store), consumer.BatchSize(4)}, four()...)
	if d := cmp.Diff(map[string]driver.Verdict{"m0": acked, "m1": comesAgain, "m2": acked, "m3": retried}, got); d != "" {
		t.Error(d)
	}
	want := []string{
		"claim pay/orders/m0 for 16m0s", "claim pay/orders/m1 for 16m0s", "claim pay/orders/m2 for 16m0s", "claim pay/orders/m3 for 16m0s",
		"complete pay/orders/m2 for 24h0m0s", "release pay/orders/m3",
	}
	if d := cmp.Diff(want, store.seen()); d != "" {
		t.Error(d)
	}
	// Now nothing is left of the first three.
	got, _ = batched(t, func(context.Context, *texts) error {
		t.Error("a batch of nothing was handled")
		return nil
	}, []consumer.HandlerOption{consumer.Deduplicate(store), consumer.BatchSize(4)}, four()[:3]...)
	if d := cmp.Diff(map[string]driver.Verdict{"m0": acked, "m1": comesAgain, "m2": acked}, got); d != "" {
		t.Error(d)
	}
	store.fail["claim"] = errDown
	got, _ = batched(t, func(context.Context, *texts) error { return nil },
		[]consumer.HandlerOption{consumer.Deduplicate(store), consumer.BatchSize(4)}, four()...)
	if d := cmp.Diff(map[string]driver.Verdict{"m0": comesAgain, "m1": comesAgain, "m2": comesAgain, "m3": comesAgain}, got); d != "" {
		t.Errorf("without a store: %s", d)
	}
}

// Of messages that others are at work with, a kill switch knows nothing.
func TestWhatIsClaimedElsewhereDoesNotPauseTheHandler(t *testing.T) {
	t.Parallel()
	memory := dedup.NewMemory()
	for _, d := range four() {
		if _, err := memory.Claim(t.Context(), "pay/orders/"+d.ID, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	trips := consumer.KillSwitch(consumer.KillSwitchSettings{AtLeast: 2, PauseFor: time.Hour})
	for name, register := range map[string]func(*consumer.Mux){
		"single": func(m *consumer.Mux) {
			consumer.Handle(m, "orders", fails(nil), consumer.Deduplicate(memory), trips, consumer.Concurrency(1))
		},
		"batches": func(m *consumer.Mux) {
			consumer.HandleBatch(m, "orders", func(context.Context, *texts) error { return nil }, consumer.Deduplicate(memory), trips, consumer.BatchSize(2))
		},
	} {
		mux := consumer.NewMux("pay")
		register(mux)
		drv := newScripted()
		start(t, drv, mux)
		q := drv.sub(t, "pay").assign()
		q.deliver(four()...)
		q.await(4)
		q.deliver(msg("m4"+name, "orders", "", "x")) // a paused handler would not take it
		if v := q.await(5)[4].Verdict; v != acked {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestMistakesOfDeduplicationAreReported(t *testing.T) {
	t.Parallel()
	mux := consumer.NewMux("pay", consumer.Broadcast(), consumer.Deduplicate(dedup.NewMemory()))
	consumer.Handle(mux, "orders", fails(nil), consumer.Deduplicate(nil, consumer.DedupBy(nil), consumer.DedupTTL(-1)))
	_, err := consumer.New(newScripted(), mux)
	for _, want := range []string{
		"Deduplicate in a broadcast group is not supported: each member is to handle each message; remove one of them",
		`handler "orders": Deduplicate(nil): name a store, such as dedup.NewMemory()`,
		`handler "orders": DedupBy(nil): name a function, or leave it out for dedup.ByID`,
		`handler "orders": DedupTTL(-1ns): must be positive`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

// A key that some store would refuse is its hash: its message would come again for ever.
func TestEveryStoreTakesAMessagesKey(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"a zero byte": "a\x00b", "not UTF-8": "a\xff", "long": strings.Repeat("k", 300)} {
		store := watch(dedup.NewMemory())
		got, _ := outcome(t, msg("m1", "orders", "", "x"), fails(nil), consumer.Deduplicate(store, consumer.DedupBy(func(*message.Delivery) string { return key })))
		calls := store.seen()
		if got != acked || len(calls) != 2 || !strings.HasPrefix(calls[0], "claim pay/#") {
			t.Errorf("%s: %+v, calls %q", name, got, calls)
		}
	}
}

// What is sent twice is handled once; what fails is handled until it succeeds; and a
// message whose member loses its queue while it is handled is not handled by the next.
func TestAMessageThatComesTwiceIsHandledOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		store := dedup.NewMemory() // as a database would be, for both members
		var seen journal
		mux := func(h consumer.Func[string]) *consumer.Mux {
			m := consumer.NewMux("pay", consumer.From(consumer.First))
			consumer.Handle(m, "orders", h, consumer.Deduplicate(store))
			return m
		}
		hold, entered := make(chan struct{}), make(chan struct{})
		_, endFirst := w.member(mux(func(_ context.Context, body string) error {
			n := seen.add("%s", body)
			switch {
			case body == "fails once" && n == 2:
				return errDown
			case body == "is held":
				close(entered)
				<-hold
			}
			return nil
		}))
		send := func(id, body string) {
			m := message.New("orders", []byte(body), message.Property(dedup.IDProperty, id))
			if _, err := w.send.Send(w.t.Context(), m); err != nil {
				w.t.Fatal(err)
			}
		}
		for _, id := range []string{"a", "a"} {
			send(id, "is sent twice")
			pass(time.Second)
		}
		send("b", "fails once")
		pass(time.Minute)
		send("c", "is held")
		<-entered
		go func() {
			<-time.After(time.Second)
			close(hold) // the queues are gone by then
		}()
		endFirst((*consumer.Consumer).Stop)
		_, endSecond := w.member(mux(func(_ context.Context, body string) error {
			seen.add("%s by the second", body)
			return nil
		}))
		pass(5 * time.Minute)
		send("d", "is new")
		pass(time.Minute)
		endSecond((*consumer.Consumer).Drain)
		seen.want(w.t, "is sent twice", "fails once", "fails once", "is held", "is new by the second")
	})
}

// A claim outlasts the handler's ctx by a minute, and is not renewed: a handler that does
// not return for so long has lost it, and a copy of the message is handled beside it.
func TestAHandlerThatIgnoresItsCtxLosesItsClaim(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		late time.Duration // after its ctx has ended
		want []string
	}{
		"it returns in time": {50 * time.Second, []string{"begins", "ends"}},
		"it goes on":         {9 * time.Minute, []string{"begins", "begins", "ends", "ends"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				const timeout = 5 * time.Minute
				store := dedup.NewMemory()
				var seen journal
				mux := consumer.NewMux("pay", consumer.From(consumer.First))
				consumer.Handle(mux, "orders", func(ctx context.Context, _ string) error {
					seen.add("begins")
					<-ctx.Done()
					<-time.After(tc.late)
					seen.add("ends")
					return nil
				}, consumer.Deduplicate(store), consumer.Timeout(timeout))
				_, end := w.member(mux)
				for range 2 {
					if _, err := w.send.Send(w.t.Context(), message.New("orders", []byte("x"), message.Property(dedup.IDProperty, "x"))); err != nil {
						w.t.Fatal(err)
					}
				}
				pass(time.Hour)
				end((*consumer.Consumer).Drain)
				seen.want(w.t, tc.want...)
				if _, times := seen.read(); len(times) == 4 && times[1].Sub(times[0]) < timeout+time.Minute {
					w.t.Errorf("handled again after %s, while it was claimed", times[1].Sub(times[0]))
				}
			})
		})
	}
}

// A member that vanishes with a claim holds its message up for as long as that lasts, in
// an ordered group with all that is behind it; nothing is lost and nothing dead-lettered.
func TestTheClaimOfAMemberThatVanishedLapses(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]consumer.GroupOption{"concurrent": nil, "ordered": {consumer.Ordered()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				store := dedup.NewMemory()
				if _, err := store.Claim(w.t.Context(), "pay/orders/vanished", 10*time.Minute); err != nil {
					w.t.Fatal(err)
				}
				began := time.Now()
				var seen journal
				mux := consumer.NewMux("pay", append(opts, consumer.From(consumer.First), consumer.Deduplicate(store), consumer.Retry(retry.None()))...)
				consumer.Handle(mux, "orders", func(_ context.Context, body string) error {
					seen.add("%s", body)
					return nil
				})
				consumer.HandleDLQ(mux, func(_ context.Context, d *message.Delivery) error {
					seen.add("dead: %s", d.Body)
					return nil
				})
				_, end := w.member(mux)
				for _, id := range []string{"vanished", "next"} {
					m := message.New("orders", []byte(id), message.Property(dedup.IDProperty, id), message.ShardingKey("k"))
					if _, err := w.send.Send(w.t.Context(), m); err != nil {
						w.t.Fatal(err)
					}
				}
				pass(30 * time.Minute)
				end((*consumer.Consumer).Drain)
				want, at := []string{"next", "vanished"}, 1
				if name == "ordered" {
					want, at = []string{"vanished", "next"}, 0
				}
				seen.want(w.t, want...)
				if _, times := seen.read(); len(times) == 2 && times[at].Sub(began) < 10*time.Minute {
					w.t.Errorf("it was handled after %s, while it was claimed", times[at].Sub(began))
				}
			})
		})
	}
}
