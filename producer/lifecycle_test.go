package producer_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// slow answers after d, or with the ctx's end.
func slow(d time.Duration) func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
	return func(ctx context.Context, _ message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
		select {
		case <-time.After(d):
			return driver.Receipt{}, nil
		case <-ctx.Done():
			return driver.Receipt{}, unknown(ctx.Err())
		}
	}
}

func TestDrainFinishesWhatHasBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.send = slow(time.Second)
		p := start(t, s, producer.MaxInFlight(2))
		var ok atomic.Int32
		cb := func(_ context.Context, _ message.SendResult, err error) {
			<-time.After(time.Second)
			if err != nil {
				t.Error(err)
			}
			ok.Add(1)
		}
		for range 5 { // two under way, three waiting for a place
			go p.SendAsync(context.Background(), msg(), cb)
		}
		go func() {
			if _, err := p.Send(context.Background(), msg()); err != nil {
				t.Error(err)
			}
			ok.Add(1)
		}()
		synctest.Wait()
		begun := time.Now()
		if err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if n := ok.Load(); n != 6 || time.Since(begun) != 4*time.Second {
			t.Errorf("%d sends were finished in %s", n, time.Since(begun))
		}
		if s.closed.Load() != 1 {
			t.Error("the sender is not closed")
		}
	})
}

func TestDrainLetsRetriesFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
			if len(s.tried()) < 3 {
				return driver.Receipt{}, refusal(2, "SYSTEM_BUSY")
			}
			return driver.Receipt{}, nil
		}
		p := start(t, s)
		var got error = errors.New("no callback")
		p.SendAsync(t.Context(), msg(), func(_ context.Context, _ message.SendResult, err error) { got = err })
		synctest.Wait() // it pauses
		if err := p.Drain(t.Context()); err != nil || got != nil || len(s.tried()) != 3 {
			t.Errorf("drain %v, outcome %v after %d attempts", err, got, len(s.tried()))
		}
	})
}

func TestADrainThatTakesTooLongSaysWhatWasLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.send = slow(time.Hour)
		p, err := producer.New(s, "pay_group", producer.SendTimeout(2*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		outcomes := make(chan error, 3)
		for range 3 {
			p.SendAsync(context.Background(), msg(), func(_ context.Context, _ message.SendResult, err error) {
				outcomes <- err
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		err = p.Drain(ctx)
		if err == nil || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "3 sends") {
			t.Errorf("drain: %v", err)
		}
		if time.Since(begun) != time.Second || len(outcomes) != 3 || s.closed.Load() != 1 {
			t.Errorf("after %s, %d callbacks, %d closes", time.Since(begun), len(outcomes), s.closed.Load())
		}
		for range 3 {
			if err := <-outcomes; !errors.Is(err, message.ErrClosed) || !errors.Is(err, message.ErrOutcomeUnknown) || message.SafeToRetry(err) {
				t.Errorf("outcome %v", err)
			}
		}
	})
}

func TestStopCutsOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.send = slow(time.Second)
		p := start(t, s, producer.MaxInFlight(1))
		errs := make(chan error, 3)
		go func() { _, err := p.Send(context.Background(), msg()); errs <- err }()
		synctest.Wait()
		go func() { _, err := p.Send(context.Background(), msg()); errs <- err }() // waits for a place
		go p.SendAsync(context.Background(), msg(), func(_ context.Context, _ message.SendResult, err error) { errs <- err })
		synctest.Wait()
		begun := time.Now()
		if err := p.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if time.Since(begun) != 0 {
			t.Errorf("stop took %s", time.Since(begun))
		}
		safe := 0
		for range 3 {
			err := <-errs
			if !errors.Is(err, message.ErrClosed) {
				t.Errorf("outcome %v", err)
			}
			if message.SafeToRetry(err) {
				safe++
			}
		}
		if safe != 2 {
			t.Errorf("%d of 3 are safe to retry, want those that waited", safe)
		}
	})
}

func TestStopForgetsNoAttemptThatMayHaveStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a", "b")
		s.send = func(ctx context.Context, _ message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
			if len(s.tried()) == 1 {
				return driver.Receipt{}, &message.UnknownOutcomeError{Op: "send", Err: errors.New("connection lost")}
			}
			<-ctx.Done() // before a byte of the second was written
			return driver.Receipt{}, ctx.Err()
		}
		p := start(t, s, producer.RetryUnknownOutcome())
		var err error
		go func() { _, err = p.Send(context.Background(), msg()) }()
		synctest.Wait()
		if stopErr := p.Stop(t.Context()); stopErr != nil {
			t.Error(stopErr)
		}
		synctest.Wait()
		if len(s.tried()) != 2 || !errors.Is(err, message.ErrClosed) || message.SafeToRetry(err) {
			t.Errorf("%d attempts, safe to retry %v: %v", len(s.tried()), message.SafeToRetry(err), err)
		}
	})
}

func TestStopDuringAPauseEndsTheSend(t *testing.T) {
	t.Parallel()
	for way, send := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScript("a")
				s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
					return driver.Receipt{}, refusal(2, "SYSTEM_BUSY")
				}
				p := start(t, s)
				var err error
				go func() { _, err = send(context.Background(), p, msg()) }()
				synctest.Wait()
				begun := time.Now()
				if stopErr := p.Stop(t.Context()); stopErr != nil {
					t.Error(stopErr)
				}
				synctest.Wait()
				if err == nil || len(s.tried()) != 1 || time.Since(begun) != 0 {
					t.Errorf("%d attempts, %s: %v", len(s.tried()), time.Since(begun), err)
				}
			})
		})
	}
}

func TestAStopWaitsForCallbacksAsLongAsItsContextSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		p, err := producer.New(s, "pay_group")
		if err != nil {
			t.Fatal(err)
		}
		hold := make(chan struct{})
		p.SendAsync(t.Context(), msg(), func(context.Context, message.SendResult, error) { <-hold })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		if err := p.Stop(ctx); err == nil || !strings.Contains(err.Error(), "1 sends and callbacks") || time.Since(begun) != 5*time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		close(hold)
	})
}

func TestEndsAreIdempotentAndFinal(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*producer.Producer) error{
		"drain": func(p *producer.Producer) error { return p.Drain(context.Background()) },
		"stop":  func(p *producer.Producer) error { return p.Stop(context.Background()) },
		"close": (*producer.Producer).Close,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript("a")
			p := start(t, s)
			if err := p.Start(t.Context()); err != nil {
				t.Error(err)
			}
			for range 3 {
				if err := end(p); err != nil {
					t.Error(err)
				}
			}
			if err := errors.Join(p.Drain(t.Context()), p.Stop(t.Context()), p.Close()); err != nil {
				t.Error(err)
			}
			if n := s.closed.Load(); n != 1 {
				t.Errorf("the sender was closed %d times", n)
			}
			for way, send := range ways {
				if _, err := send(t.Context(), p, msg()); !errors.Is(err, message.ErrClosed) || !message.SafeToRetry(err) {
					t.Errorf("%s: %v", way, err)
				}
			}
			if err := p.SendOneway(t.Context(), msg()); !errors.Is(err, message.ErrClosed) {
				t.Errorf("oneway: %v", err)
			}
			if err := p.Start(t.Context()); !errors.Is(err, message.ErrClosed) {
				t.Errorf("start: %v", err)
			}
		})
	}
}

func TestASecondDrainWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.send = slow(2 * time.Second)
		p := start(t, s)
		p.SendAsync(t.Context(), msg(), nil)
		first := make(chan error, 1)
		go func() { first <- p.Drain(context.Background()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the impatient drain: %v", err)
		}
		if err := p.Drain(t.Context()); err != nil {
			t.Errorf("the patient drain: %v", err)
		}
		if err := <-first; err != nil {
			t.Errorf("the first drain: %v", err)
		}
	})
}

func TestAStopCutsADrainShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.send = slow(2 * time.Second)
		p := start(t, s)
		p.SendAsync(t.Context(), msg(), func(context.Context, message.SendResult, error) {})
		go func() { _ = p.Drain(context.Background()) }()
		synctest.Wait()
		begun := time.Now()
		if err := p.Stop(t.Context()); err != nil || time.Since(begun) != 0 {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}

func TestIdleWorkersEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		p := start(t, s, producer.CallbackWorkers(3))
		send := func() {
			for range 10 {
				p.SendAsync(t.Context(), msg(), func(context.Context, message.SendResult, error) { <-time.After(time.Millisecond) })
			}
			<-time.After(time.Second)
		}
		send()
		if n := p.Workers(); n != 3 {
			t.Errorf("%d workers for 10 callbacks, want 3", n)
		}
		<-time.After(10 * time.Second)
		if n := p.Workers(); n != 0 {
			t.Errorf("%d workers have nothing to do", n)
		}
		send()
		if n := p.Workers(); n != 3 {
			t.Errorf("%d workers, want 3 again", n)
		}
	})
}
