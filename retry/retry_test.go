package retry_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errPlain = errors.New("card service is down")

func TestSixteenRetriesAreSeventeenDeliveries(t *testing.T) {
	t.Parallel()
	p := retry.Levels(16)
	deliveries, waited := 0, time.Duration(0)
	for reconsumed := 0; ; reconsumed++ {
		deliveries++
		d := p.Decide(retry.Attempt{Reconsumed: reconsumed}, errPlain)
		if d.Action == retry.DeadLetter {
			break
		}
		if want := (retry.Decision{Action: retry.Later, MaxRetries: 16}); d != want {
			t.Fatalf("after delivery %d: %+v, want %+v", deliveries, d, want)
		}
		waited += retry.BrokerDelay(reconsumed)
	}
	if deliveries != 17 {
		t.Errorf("%d deliveries, want 17", deliveries)
	}
	if want := 4*time.Hour + 45*time.Minute + 40*time.Second; waited != want {
		t.Errorf("waited %s, want %s", waited, want)
	}
	if got := retry.BrokerDelay(99); got != 2*time.Hour {
		t.Errorf("delays beyond the last level: %s, want 2h", got)
	}
}

func TestDecisionsFollowFromAttemptAndError(t *testing.T) {
	t.Parallel()
	at := func(reconsumed, immediate int) retry.Attempt {
		return retry.Attempt{Reconsumed: reconsumed, Immediate: immediate}
	}
	later := func(max int) retry.Decision { return retry.Decision{Action: retry.Later, MaxRetries: max} }
	var (
		ack  = retry.Decision{Action: retry.Acknowledge}
		dead = retry.Decision{Action: retry.DeadLetter}
		now  = retry.Decision{Action: retry.Now}
	)
	twice := retry.Levels(3).Immediately(2)
	growing := retry.Exponential(5, retry.Backoff{Base: 10 * time.Second, Factor: 3, Max: time.Minute})
	jittered := retry.Exponential(5, retry.Backoff{Base: 10 * time.Second, Jitter: 0.2})
	strict := retry.Exponential(5, retry.Backoff{Base: time.Second, Strict: true})
	for _, tc := range []struct {
		name string
		p    retry.Policy
		a    retry.Attempt
		err  error
		want retry.Decision
	}{
		{"nil acknowledges", retry.None(), at(9, 9), nil, ack},
		{"the zero policy is Levels(16)", retry.Policy{}, at(15, 0), errPlain, later(16)},
		{"the zero policy ends after 16", retry.Policy{}, at(16, 0), errPlain, dead},
		{"none dead-letters the first failure", retry.None(), at(0, 0), errPlain, dead},
		{"none beats after", retry.None(), at(0, 0), retry.After(errPlain, time.Second), dead},
		{"one retry", retry.Levels(1), at(0, 0), errPlain, later(1)},
		{"one retry used", retry.Levels(1), at(1, 0), errPlain, dead},
		{"over the maximum", retry.Levels(1), at(7, 0), errPlain, dead},
		{"more than RocketMQ's 16", retry.Levels(20), at(19, 0), errPlain, later(20)},
		{"immediately, first", twice, at(0, 0), errPlain, now},
		{"immediately, second", twice, at(0, 1), errPlain, now},
		{"immediately used, then the broker", twice, at(0, 2), errPlain, later(3)},
		{"immediately again with each delivery", twice, at(3, 1), errPlain, now},
		{"immediately, then dead", twice, at(3, 2), errPlain, dead},
		{"immediately on the zero policy", retry.Policy{}.Immediately(1), at(15, 1), errPlain, later(16)},
		{"immediately without the broker", retry.None().Immediately(1), at(0, 1), errPlain, dead},
		{"permanent is not tried immediately", twice, at(0, 0), retry.Permanent(errPlain), dead},
		{"after is not tried immediately", twice, at(0, 0), retry.After(errPlain, time.Hour), retry.Decision{Delay: time.Hour, MaxRetries: 3}},
		{"after at the maximum", twice, at(3, 0), retry.After(errPlain, time.Hour), dead},
		{"after 0 is as soon as the broker can", retry.Levels(2), at(0, 0), retry.After(errPlain, 0), retry.Decision{Level: 1, MaxRetries: 2}},
		{"after a negative delay", retry.Levels(2), at(0, 0), retry.After(errPlain, -time.Hour), retry.Decision{Level: 1, MaxRetries: 2}},
		{"a back-off's base", growing, at(0, 0), errPlain, retry.Decision{Delay: 10 * time.Second, MaxRetries: 5}},
		{"a back-off's next delay", growing, at(1, 0), errPlain, retry.Decision{Delay: 30 * time.Second, MaxRetries: 5}},
		{"a back-off's maximum", growing, at(2, 0), errPlain, retry.Decision{Delay: time.Minute, MaxRetries: 5}},
		{"a back-off ends", growing, at(5, 0), errPlain, dead},
		{"a back-off after what is at once", growing.Immediately(1), at(0, 0), errPlain, now},
		{"a back-off and after", growing, at(1, 0), retry.After(errPlain, time.Hour), retry.Decision{Delay: time.Hour, MaxRetries: 5}},
		{"a back-off and after nothing", growing, at(1, 0), retry.After(errPlain, 0), retry.Decision{Level: 1, MaxRetries: 5}},
		{"a back-off and permanent", growing, at(1, 0), retry.Permanent(errPlain), dead},
		{"a back-off with jitter", jittered, retry.Attempt{Reconsumed: 1, Random: 0.5}, errPlain, retry.Decision{Delay: 18 * time.Second, MaxRetries: 5}},
		{"no back-off is none", retry.Exponential(5, retry.Backoff{Base: time.Second, Jitter: 1}), retry.Attempt{Random: 1 - 1e-16}, errPlain, retry.Decision{Delay: time.Millisecond, MaxRetries: 5}},
		{"a strict back-off", strict, at(0, 0), errPlain, retry.Decision{Delay: time.Second, Strict: true, MaxRetries: 5}},
		{"after in a strict back-off", strict, at(0, 0), retry.After(errPlain, time.Hour), retry.Decision{Delay: time.Hour, Strict: true, MaxRetries: 5}},
		{"another number", growing.UpTo(2), at(2, 0), errPlain, dead},
		{"another number of levels", retry.Levels(3).UpTo(1), at(0, 0), errPlain, later(1)},
		{"another number of nothing chosen", retry.Policy{}.UpTo(0), at(0, 0), errPlain, dead},
		{"skip acknowledges", twice, at(0, 0), retry.Skip(errPlain), ack},
		{"a time-out is an error like others", retry.Levels(2), at(0, 0), context.DeadlineExceeded, later(2)},
	} {
		if d := cmp.Diff(tc.want, tc.p.Decide(tc.a, tc.err)); d != "" {
			t.Errorf("%s: Decide(%+v, %v) (-want +got):\n%s", tc.name, tc.a, tc.err, d)
		}
	}
}

func TestTheZeroDecisionAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	if (retry.Decision{}).Action != retry.Later {
		t.Error("the zero Decision must retry")
	}
}

type codeError struct{ code int }

func (e *codeError) Error() string { return fmt.Sprint("code ", e.code) }

func TestMarkedErrorsShowTheirCause(t *testing.T) {
	t.Parallel()
	cause := &codeError{7}
	for _, err := range []error{retry.Permanent(cause), retry.After(cause, time.Second), retry.Skip(cause)} {
		err = fmt.Errorf("pay: %w", err)
		var got *codeError
		if !errors.Is(err, cause) || !errors.As(err, &got) || got.code != 7 || err.Error() != "pay: code 7" {
			t.Errorf("%v hides its cause", err)
		}
	}
}

func TestMarkingNilIsNil(t *testing.T) {
	t.Parallel()
	for _, err := range []error{retry.Permanent(nil), retry.After(nil, time.Second), retry.Skip(nil)} {
		if err != nil {
			t.Errorf("got %v; success must stay success", err)
		}
	}
}

func TestClassificationFindsTheMarkThatDecides(t *testing.T) {
	t.Parallel()
	type class struct {
		Permanent, Skip bool
		Delay           time.Duration
		After           bool
	}
	perm, skip, plain := class{Permanent: true}, class{Skip: true}, class{}
	after := func(d time.Duration) class { return class{Delay: d, After: true} }
	for _, tc := range []struct {
		name string
		err  error
		want class
	}{
		{"nil", nil, plain},
		{"unmarked", errPlain, plain},
		{"wrapped", fmt.Errorf("a: %w", fmt.Errorf("b: %w", retry.Permanent(errPlain))), perm},
		{"the outermost mark decides", retry.Skip(retry.Permanent(errPlain)), skip},
		{"the outermost mark decides, wrapped", retry.After(fmt.Errorf("x: %w", retry.Skip(errPlain)), time.Minute), after(time.Minute)},
		{"joined: permanent beats all", errors.Join(retry.Skip(errPlain), errPlain, retry.After(errPlain, 1), retry.Permanent(errPlain)), perm},
		{"joined: unmarked beats skip", errors.Join(retry.Skip(errPlain), errPlain), plain},
		{"joined: all skipped", errors.Join(retry.Skip(errPlain), retry.Skip(errPlain)), skip},
		{"joined: the longest delay", errors.Join(retry.After(errPlain, 1), retry.After(errPlain, 3), retry.After(errPlain, 2)), after(3)},
		{"joined inside a mark", retry.Skip(errors.Join(errPlain, errPlain)), skip},
		{"two verbs", fmt.Errorf("%w: %w", retry.Skip(errPlain), errPlain), plain},
		{"joined of nothing", joined{}, plain},
	} {
		var got class
		got.Permanent, got.Skip = retry.IsPermanent(tc.err), retry.IsSkip(tc.err)
		got.Delay, got.After = retry.Delay(tc.err)
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, d)
		}
	}
}

// joined is a foreign error that joins nothing but nil.
type joined struct{}

func (joined) Error() string   { return "joined" }
func (joined) Unwrap() []error { return []error{nil} }

func TestPoliciesSayWhatIsWrongWithThem(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		p    retry.Policy
		want string
	}{
		{retry.Policy{}, ""},
		{retry.None(), ""},
		{retry.Levels(16).Immediately(3), ""},
		{retry.Levels(-1), "invalid retry policy: -1 retries; use retry.None() for a message that is never retried"},
		{retry.Levels(2).Immediately(-4), "invalid retry policy: -4 immediate retries; at least 0"},
		{retry.Exponential(3, retry.Backoff{Base: time.Second}), ""},
		{retry.Exponential(3, retry.Backoff{Base: time.Second, Factor: 1, Max: time.Second, Jitter: 1}), ""},
		{retry.Exponential(3, retry.Backoff{}), "invalid retry policy: back-off: base 0s; at least 1ms"},
		{retry.Exponential(-3, retry.Backoff{Base: 3 * time.Hour, Factor: 0.5, Jitter: 1.5}), "invalid retry policy: -3 retries; use retry.None() for a message that is never retried\n" +
			"invalid retry policy: back-off: its maximum of 2h0m0s is less than its base of 3h0m0s\n" +
			"invalid retry policy: back-off: factor 0.5; at least 1\n" +
			"invalid retry policy: back-off: jitter 1.5; a share from 0 to 1"},
		{retry.Exponential(3, retry.Backoff{Base: time.Second, Factor: math.NaN(), Jitter: math.NaN()}), "invalid retry policy: back-off: factor NaN; at least 1\n" +
			"invalid retry policy: back-off: jitter NaN; a share from 0 to 1"},
		{retry.Exponential(3, retry.Backoff{Base: time.Second, Factor: math.Inf(1)}), "invalid retry policy: back-off: factor +Inf; at least 1"},
		{retry.Levels(-2).Immediately(-4), "invalid retry policy: -2 retries; use retry.None() for a message that is never retried\ninvalid retry policy: -4 immediate retries; at least 0"},
	} {
		got := ""
		if err := tc.p.Validate(); err != nil {
			if !errors.Is(err, retry.ErrPolicy) {
				t.Errorf("%v: not ErrPolicy: %v", tc.p, err)
			}
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%v: %q, want %q", tc.p, got, tc.want)
		}
	}
}

func TestOnlyTheZeroPolicyIsZero(t *testing.T) {
	t.Parallel()
	if !(retry.Policy{}).IsZero() || retry.None().IsZero() || retry.Levels(16).IsZero() || (retry.Policy{}).Immediately(0).IsZero() {
		t.Error("IsZero must tell a choice from none")
	}
}

func TestPoliciesPrintTheirNumbers(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]retry.Policy{
		"16 retries by the broker":                  {},
		"0 retries by the broker":                   retry.None(),
		"2 immediate retries, then 3 by the broker": retry.Levels(3).Immediately(2),
		"5 retries after 1s, times 2 up to 2h0m0s":  retry.Exponential(5, retry.Backoff{Base: time.Second}),
		"1 immediate retries, then 5 after 1s, times 1.5 up to 1m0s, less up to 20 %, strictly": retry.Exponential(5, retry.Backoff{Base: time.Second, Factor: 1.5, Max: time.Minute, Jitter: 0.2, Strict: true}).Immediately(1),
	} {
		if got := p.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func ExampleLevels() {
	p := retry.Levels(16)
	for _, reconsumed := range []int{0, 15, 16} {
		d := p.Decide(retry.Attempt{Reconsumed: reconsumed}, errors.New("card service is down"))
		fmt.Println(reconsumed, d.Action == retry.DeadLetter, retry.BrokerDelay(reconsumed))
	}
	// Output:
	// 0 false 10s
	// 15 false 2h0m0s
	// 16 true 2h0m0s
}

func ExamplePolicy_Immediately() {
	fmt.Println(retry.Levels(16).Immediately(2))
	// Output: 2 immediate retries, then 16 by the broker
}

func ExamplePermanent() {
	errRefused := errors.New("card refused")
	handle := func(context.Context, string) error {
		return retry.Permanent(fmt.Errorf("pay: %w", errRefused))
	}
	err := handle(context.Background(), "order-1")
	fmt.Println(err, errors.Is(err, errRefused), retry.IsPermanent(err))
	// Output: pay: card refused true true
}

func ExampleAfter() {
	err := retry.After(errors.New("bank opens at nine"), 3*time.Hour)
	fmt.Println(retry.Delay(err))
	// Output: 3h0m0s true
}

func ExampleSkip() {
	err := retry.Skip(errors.New("order was cancelled"))
	fmt.Println(retry.Levels(16).Decide(retry.Attempt{}, err).Action == retry.Acknowledge)
	// Output: true
}

// What fails goes to the dead letters, after two further calls at once.
func ExampleNone() {
	p := retry.None().Immediately(2)
	err := errors.New("card service is down")
	for immediate := range 3 {
		d := p.Decide(retry.Attempt{Immediate: immediate}, err)
		fmt.Println(d.Action == retry.Now, d.Action == retry.DeadLetter)
	}
	// Output:
	// true false
	// true false
	// false true
}

// However many attempts there were and whatever the numbers, a delay is between the base
// less its jitter and the maximum.
func TestDelaysStayWithinTheirBounds(t *testing.T) {
	t.Parallel()
	for _, b := range []retry.Backoff{
		{Base: time.Second},
		{Base: time.Millisecond, Factor: 1.01, Max: time.Hour, Jitter: 1},
		{Base: time.Hour, Factor: 1e300, Max: math.MaxInt64, Jitter: 0.5},
		{Base: math.MaxInt64, Max: math.MaxInt64, Jitter: 1},
	} {
		last := time.Duration(0)
		for reconsumed := range 3000 {
			p := retry.Exponential(math.MaxInt32, b)
			longest := p.Decide(retry.Attempt{Reconsumed: reconsumed}, errPlain).Delay
			shortest := p.Decide(retry.Attempt{Reconsumed: reconsumed, Random: math.Nextafter(1, 0)}, errPlain).Delay
			most := b.Max
			if most == 0 {
				most = 2 * time.Hour
			}
			if longest < last || longest > most || longest < b.Base {
				t.Fatalf("%+v: delay %d is %s after one of %s", b, reconsumed, longest, last)
			}
			if floor := time.Duration(float64(longest) * (1 - b.Jitter)); shortest < time.Millisecond || shortest > longest || shortest < floor-floor/1e9-1 {
				t.Fatalf("%+v: delay %d is %s to %s", b, reconsumed, shortest, longest)
			}
			last = longest
		}
	}
}

// 5 s, 10 s, 20 s … 10 minutes, each up to a tenth shorter.
func ExampleExponential() {
	p := retry.Exponential(20, retry.Backoff{Base: 5 * time.Second, Factor: 2, Max: 10 * time.Minute, Jitter: 0.1})
	err := errors.New("card service is down")
	for _, reconsumed := range []int{0, 1, 2, 7, 19} {
		fmt.Println(reconsumed, p.Decide(retry.Attempt{Reconsumed: reconsumed, Random: 0.5}, err).Delay)
	}
	fmt.Println(p.Decide(retry.Attempt{Reconsumed: 20}, err).Action == retry.DeadLetter)
	// Output:
	// 0 4.75s
	// 1 9.5s
	// 2 19s
	// 7 9m30s
	// 19 9m30s
	// true
}
