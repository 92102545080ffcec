package producer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// Every way in which an asynchronous send can end.
func TestTheCallbackFiresExactlyOnceOnEveryPath(t *testing.T) {
	t.Parallel()
	type env struct {
		s   *script
		p   *producer.Producer
		ctx context.Context
		m   *message.Message
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	answer := func(err error) func(*env) {
		return func(e *env) {
			e.s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
				return driver.Receipt{}, err
			}
		}
	}
	refuse := producer.Intercept(producer.Interceptor{Before: func(context.Context, *driver.Outgoing) (context.Context, error) {
		return nil, errors.New("refused")
	}})
	panics := producer.Intercept(producer.Interceptor{Before: func(context.Context, *driver.Outgoing) (context.Context, error) {
		panic("boom")
	}})
	for name, tc := range map[string]struct {
		opts   []producer.Option
		set    func(*env)
		want   error  // nil: none, unless text is set
		text   string // in the error
		inline bool
	}{
		"stored":                   {set: func(*env) {}},
		"stored, answered at once": {set: func(*env) {}, inline: true},
		"not valid":                {set: func(e *env) { e.m = message.New("", nil) }, want: message.ErrInvalidTopic},
		"nil message":              {set: func(e *env) { e.m = nil }, want: message.ErrInvalidMessage},
		"ctx ended before":         {set: func(e *env) { e.ctx = cancelled }, want: context.Canceled},
		"no route": {set: func(e *env) {
			e.s.queues = func(string) ([]message.Queue, error) { return nil, message.ErrNoRoute }
		}, want: message.ErrNoRoute},
		"refused":             {set: answer(refusal(13, "MESSAGE_ILLEGAL")), text: "MESSAGE_ILLEGAL"},
		"refused at once":     {set: answer(refusal(13, "MESSAGE_ILLEGAL")), text: "MESSAGE_ILLEGAL", inline: true},
		"all attempts failed": {set: answer(refusal(2, "SYSTEM_BUSY")), text: "3 attempts"},
		"all failed at once":  {set: answer(refusal(2, "SYSTEM_BUSY")), text: "3 attempts", inline: true},
		"outcome unknown":     {set: answer(unknown(errors.New("lost"))), want: message.ErrOutcomeUnknown},
		"timed out": {set: func(e *env) {
			e.s.send = func(ctx context.Context, _ message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
				<-ctx.Done()
				return driver.Receipt{}, unknown(ctx.Err())
			}
		}, want: context.DeadlineExceeded},
		"timed out while pausing": {opts: []producer.Option{producer.SendTimeout(60 * time.Millisecond), producer.Retries(9)},
			set: answer(refusal(2, "SYSTEM_BUSY")), text: "SYSTEM_BUSY"},
		"circuit open": {set: func(e *env) {
			answer(unreachable())(e)
			for range 5 {
				_, _ = e.p.Send(e.ctx, msg())
				<-time.After(time.Second)
			}
		}, opts: []producer.Option{producer.Retries(0)}, want: message.ErrBreakerOpen},
		"selector panics":     {set: func(*env) {}, opts: []producer.Option{producer.Select(func(*message.Message, []message.Queue) int { panic("boom") })}, text: "panicked"},
		"interceptor refuses": {set: func(*env) {}, opts: []producer.Option{refuse}, text: "refused"},
		"interceptor panics":  {set: func(*env) {}, opts: []producer.Option{panics}, text: "panicked"},
		"overloaded, failing fast": {opts: []producer.Option{producer.MaxInFlight(1), producer.FailFast()}, set: func(e *env) {
			hold := make(chan struct{})
			e.s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
				<-hold
				return driver.Receipt{}, nil
			}
			e.p.SendAsync(e.ctx, msg(), func(context.Context, message.SendResult, error) {})
			time.AfterFunc(time.Second, func() { close(hold) })
		}, want: message.ErrOverloaded},
		"overloaded until ctx ends": {opts: []producer.Option{producer.MaxInFlight(1)}, set: func(e *env) {
			hold := make(chan struct{})
			e.s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
				<-hold
				return driver.Receipt{}, nil
			}
			e.p.SendAsync(e.ctx, msg(), func(context.Context, message.SendResult, error) {})
			time.AfterFunc(2*time.Second, func() { close(hold) })
			ctx, cancel := context.WithTimeout(e.ctx, time.Second)
			context.AfterFunc(ctx, cancel)
			e.ctx = ctx
		}, want: message.ErrOverloaded},
		"drained": {set: func(e *env) { _ = e.p.Drain(e.ctx) }, want: message.ErrClosed},
		"stopped": {set: func(e *env) { _ = e.p.Stop(e.ctx) }, want: message.ErrClosed},
		"stopped under way": {set: func(e *env) {
			e.s.send = func(ctx context.Context, _ message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
				go func() { _ = e.p.Stop(context.Background()) }()
				<-ctx.Done()
				return driver.Receipt{}, ctx.Err()
			}
		}, want: message.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := &env{s: newScript("a"), m: msg()}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				e.ctx, e.s.inline = ctx, tc.inline
				e.p = start(t, e.s, tc.opts...)
				tc.set(e)

				var calls atomic.Int32
				returned, called := make(chan struct{}), make(chan struct{})
				var gotCtx context.Context
				var got error
				e.p.SendAsync(e.ctx, e.m, func(ctx context.Context, _ message.SendResult, err error) {
					<-returned    // on the caller's goroutine this would never come
					e.s.wg.Wait() // on the goroutine that answers neither
					gotCtx, got = ctx, err
					if calls.Add(1) == 1 {
						close(called)
					}
				})
				close(returned)
				<-called
				<-time.After(time.Minute) // for a second call
				if n := calls.Load(); n != 1 {
					t.Errorf("%d calls", n)
				}
				if gotCtx != e.ctx {
					t.Error("the callback got another ctx")
				}
				switch {
				case tc.want == nil && tc.text == "" && got != nil:
					t.Errorf("error %v", got)
				case tc.want != nil && !errors.Is(got, tc.want):
					t.Errorf("error %v, want %v", got, tc.want)
				case tc.text != "" && (got == nil || !strings.Contains(got.Error(), tc.text)):
					t.Errorf("error %v, want one with %q", got, tc.text)
				}
			})
		})
	}
}

// With one place and one worker: a tree of sends, each callback sending more,
// asynchronously and synchronously, while others send too.
func TestSendingFromCallbacksCannotDeadlock(t *testing.T) {
	t.Parallel()
	for name, inline := range map[string]bool{"answers come later": false, "answers come at once": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScript("a")
				s.inline = inline
				p := start(t, s, producer.MaxInFlight(1), producer.CallbackWorkers(1))
				var left sync.WaitGroup
				var ended atomic.Int32
				var cb func(depth int) producer.Callback
				cb = func(depth int) producer.Callback {
					return func(_ context.Context, _ message.SendResult, err error) {
						defer left.Done()
						ended.Add(1)
						if err != nil {
							t.Error(err)
						}
						if depth == 0 {
							return
						}
						if _, err := p.Send(context.Background(), msg()); err != nil {
							t.Error(err)
						}
						for range 3 {
							left.Add(1)
							p.SendAsync(context.Background(), msg(), cb(depth-1))
						}
					}
				}
				for range 20 {
					left.Add(1)
					p.SendAsync(context.Background(), msg(), cb(3))
				}
				left.Wait()
				if n := ended.Load(); n != 20*(1+3+9+27) {
					t.Errorf("%d callbacks", n)
				}
			})
		})
	}
}

func TestOneCallbackCanSendAnyNumber(t *testing.T) {
	t.Parallel()
	s := newScript("a")
	p := start(t, s, producer.MaxInFlight(2), producer.CallbackWorkers(1))
	var left sync.WaitGroup
	left.Add(1)
	p.SendAsync(t.Context(), msg(), func(context.Context, message.SendResult, error) {
		defer left.Done()
		for range 2000 {
			left.Add(1)
			p.SendAsync(context.Background(), msg(), func(_ context.Context, _ message.SendResult, err error) {
				if err != nil {
					t.Error(err)
				}
				left.Done()
			})
		}
	})
	left.Wait()
}

func TestSlowCallbacksHoldSendersBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		p := start(t, s, producer.MaxInFlight(4), producer.CallbackWorkers(2))
		hold := make(chan struct{})
		cb := func(context.Context, message.SendResult, error) { <-hold }
		var accepted atomic.Int32
		go func() {
			for range 20 {
				p.SendAsync(context.Background(), msg(), cb)
				accepted.Add(1)
			}
		}()
		synctest.Wait()
		// Two workers, one more because the sender waits, four places.
		if n := accepted.Load(); n != 7 {
			t.Errorf("%d sends were accepted, want 7", n)
		}
		close(hold)
		synctest.Wait()
		if n := accepted.Load(); n != 20 {
			t.Errorf("%d sends were accepted in the end", n)
		}
		if n := p.Workers(); n > 2 {
			t.Errorf("%d workers are left, at most 2 were allowed", n)
		}
	})
}

func TestPanicsAndExitsInCallbacksHarmNobody(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newScript("a")
	p := start(t, s, producer.CallbackWorkers(1), producer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	for range 3 {
		p.SendAsync(t.Context(), msg(), func(context.Context, message.SendResult, error) { panic("boom") })
		p.SendAsync(t.Context(), msg(), func(context.Context, message.SendResult, error) { runtime.Goexit() })
	}
	if _, err := async(t.Context(), p, msg()); err != nil {
		t.Error(err)
	}
	if err := p.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "callback of SendAsync panicked"); n != 3 || !strings.Contains(log.String(), "async_test.go") {
		t.Errorf("logged %d panics:\n%s", n, &log)
	}
}

func TestACallbackThatEndsItsGoroutineLeavesTheOthersToAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newScript("a"), producer.CallbackWorkers(1))
		hold := make(chan struct{})
		var ran atomic.Int32
		for range 3 {
			p.SendAsync(t.Context(), msg(), func(context.Context, message.SendResult, error) {
				<-hold
				ran.Add(1)
				runtime.Goexit()
			})
		}
		synctest.Wait()
		close(hold)
		synctest.Wait()
		if n := ran.Load(); n != 3 {
			t.Errorf("%d of 3 callbacks ran", n)
		}
	})
}

func TestWithoutACallbackFailuresAreLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newScript("a")
	p := start(t, s, producer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	p.SendAsync(t.Context(), msg(), nil)
	p.SendAsync(t.Context(), message.New("orders", nil), nil)
	if err := p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "asynchronous send failed"); n != 1 || !strings.Contains(log.String(), "empty message body") {
		t.Errorf("logged:\n%s", &log)
	}
}

func TestInFlightIsBounded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		opt  producer.Option
		size int
		most int
	}{
		"by count":                 {producer.MaxInFlight(3), 10, 3},
		"by bytes":                 {producer.MaxInFlightBytes(25), 10, 2},
		"a message over the limit": {producer.MaxInFlightBytes(25), 30, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScript("a")
				var now, most atomic.Int32
				s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
					n := now.Add(1)
					for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
					}
					<-time.After(time.Millisecond)
					now.Add(-1)
					return driver.Receipt{}, nil
				}
				p := start(t, s, tc.opt)
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() {
						if _, err := p.Send(t.Context(), message.New("orders", make([]byte, tc.size))); err != nil {
							t.Error(err)
						}
					})
					wg.Add(1)
					p.SendAsync(t.Context(), message.New("orders", make([]byte, tc.size)), func(_ context.Context, _ message.SendResult, err error) {
						if err != nil {
							t.Error(err)
						}
						wg.Done()
					})
				}
				wg.Wait()
				if n := int(most.Load()); n != tc.most {
					t.Errorf("%d were in flight at once, want %d", n, tc.most)
				}
			})
		})
	}
}

func TestPlacesAreGivenFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		hold := make(chan struct{})
		s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
			<-hold
			return driver.Receipt{}, nil
		}
		p := start(t, s, producer.MaxInFlight(1))
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { _, _ = p.Send(t.Context(), msg()) })
			synctest.Wait()
		}
		close(hold)
		wg.Wait()
		for i, at := range s.tried() {
			if want := "ID" + string(rune('1'+i)); at.ids[0] != want {
				t.Errorf("place %d went to %s", i, at.ids[0])
			}
		}
	})
}

func TestAWaitForAPlaceEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.send = slow(2 * time.Second)
		p := start(t, s, producer.MaxInFlight(1), producer.SendTimeout(2500*time.Millisecond))
		go func() { _, _ = p.Send(t.Context(), msg()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		_, err := p.Send(ctx, msg())
		if !errors.Is(err, message.ErrOverloaded) || !errors.Is(err, context.DeadlineExceeded) || !message.SafeToRetry(err) || time.Since(begun) != time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		// The time-out of the next counts from when it has its place.
		begun = time.Now()
		if _, err := p.Send(t.Context(), msg()); err != nil || time.Since(begun) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}

func TestALargeMessageIsNeitherOvertakenNorInTheWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.send = slow(2 * time.Second)
		p := start(t, s, producer.MaxInFlightBytes(25))
		send := func(ctx context.Context, size int) <-chan error {
			ended := make(chan error, 1)
			go func() {
				_, err := p.Send(ctx, message.New("orders", make([]byte, size)))
				ended <- err
			}()
			synctest.Wait()
			return ended
		}
		first := send(t.Context(), 20)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		large, small := send(ctx, 10), send(t.Context(), 5)
		if n := len(s.tried()); n != 1 {
			t.Errorf("%d are in flight: the small one overtook the large", n)
		}
		if err := <-large; !errors.Is(err, message.ErrOverloaded) {
			t.Errorf("the large one: %v", err)
		}
		synctest.Wait()
		if n := len(s.tried()); n != 2 {
			t.Errorf("%d are in flight after the large one gave up", n)
		}
		if err := errors.Join(<-first, <-small); err != nil {
			t.Error(err)
		}
	})
}

func TestOneGoroutinesMessagesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := newScript("a")
	s.inline = true
	p := start(t, s, producer.MaxInFlight(8))
	for range 100 {
		p.SendAsync(t.Context(), msg(message.ShardingKey("k")), func(context.Context, message.SendResult, error) {})
	}
	if err := p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, at := range s.tried() {
		if i > 0 && len(at.ids[0]) == len(s.tried()[i-1].ids[0]) && at.ids[0] <= s.tried()[i-1].ids[0] {
			t.Errorf("%s after %s", at.ids[0], s.tried()[i-1].ids[0])
		}
	}
}
