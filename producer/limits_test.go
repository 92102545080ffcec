package producer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

func TestARateIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		p := start(t, s, producer.RateLimit(20)) // a burst of 2
		begun := time.Now()
		for range 22 {
			if _, err := p.Send(t.Context(), msg()); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begun); d != time.Second {
			t.Errorf("22 messages took %s, want 1s", d)
		}
		begun = time.Now()
		if _, err := p.SendBatch(t.Context(), []*message.Message{msg(), msg(), msg(), msg(), msg()}); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begun); d != 250*time.Millisecond {
			t.Errorf("a batch of 5 took %s, want 250ms", d)
		}
	})
}

func TestARateThatChangesHoldsForWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		p := start(t, s, producer.RateLimit(0.1))
		begun := time.Now()
		time.AfterFunc(2*time.Second, func() {
			if err := p.Adjust(producer.RateLimit(-1)); err == nil {
				t.Error("a negative rate was taken")
			}
			if err := p.Adjust(producer.RateLimit(10)); err != nil {
				t.Error(err)
			}
		})
		for range 3 {
			if _, err := p.Send(t.Context(), msg()); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begun); d != 2100*time.Millisecond {
			t.Errorf("3 messages took %s, want 2.1s", d)
		}
		if err := p.Adjust(); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if _, err := p.Send(t.Context(), msg()); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begun); d != 2100*time.Millisecond {
			t.Errorf("without a rate 100 messages took %s more", d-2100*time.Millisecond)
		}
	})
}

func TestAMessageThatWaitsForItsTurnIsLetGo(t *testing.T) {
	t.Parallel()
	second := func(ctx context.Context, p *producer.Producer) error {
		if _, err := p.Send(ctx, msg()); err != nil {
			return err
		}
		_, err := p.Send(ctx, msg())
		return err
	}
	for name, tt := range map[string]struct {
		opts []producer.Option
		ctx  func(context.Context, *producer.Producer) context.Context
		want error
		took time.Duration
	}{
		"its deadline is before": {nil, func(ctx context.Context, _ *producer.Producer) context.Context {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			context.AfterFunc(ctx, cancel)
			return ctx
		}, message.ErrOverloaded, 0},
		"it is cancelled": {nil, func(ctx context.Context, _ *producer.Producer) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(3*time.Second, cancel)
			return ctx
		}, context.Canceled, 3 * time.Second},
		"the producer stops": {nil, func(ctx context.Context, p *producer.Producer) context.Context {
			time.AfterFunc(2*time.Second, func() { _ = p.Stop(context.Background()) })
			return ctx
		}, message.ErrClosed, 2 * time.Second},
		"fail fast": {[]producer.Option{producer.FailFast()}, func(ctx context.Context, _ *producer.Producer) context.Context { return ctx }, message.ErrOverloaded, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScript("a")
				p := start(t, s, append(tt.opts, producer.RateLimit(0.1))...)
				begun := time.Now()
				err := second(tt.ctx(t.Context(), p), p)
				if !errors.Is(err, tt.want) || !message.SafeToRetry(err) || len(s.tried()) != 1 {
					t.Errorf("%d attempts, %v", len(s.tried()), err)
				}
				if d := time.Since(begun); d != tt.took {
					t.Errorf("after %s, want %s", d, tt.took)
				}
			})
		})
	}
}

func TestAsynchronousRetriesCanBeOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a", "b")
		s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
			return driver.Receipt{}, unreachable()
		}
		p := start(t, s, producer.RetryAsync(false))
		done := make(chan error, 1)
		p.SendAsync(t.Context(), msg(), func(_ context.Context, _ message.SendResult, err error) { done <- err })
		if err := <-done; !errors.Is(err, message.ErrUnreachable) || len(s.tried()) != 1 {
			t.Errorf("asynchronous: %d attempts, %v", len(s.tried()), err)
		}
		if _, err := p.Send(t.Context(), msg()); !errors.Is(err, message.ErrUnreachable) || len(s.tried()) != 4 {
			t.Errorf("synchronous: %d attempts in all, %v", len(s.tried()), err)
		}
	})
}

func TestWhatIsNotDurableIsAnErrorOnRequest(t *testing.T) {
	t.Parallel()
	s := newScript("a")
	s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
		return driver.Receipt{Status: message.FlushDiskTimeout, QueueOffset: 9}, nil
	}
	p := start(t, s, producer.RequireDurable(), producer.Transactions(checker(nil)))
	check := func(what string, r message.SendResult, err error) {
		t.Helper()
		var weak *producer.NotDurableError
		if !errors.As(err, &weak) || weak.Result.Status != message.FlushDiskTimeout || weak.Result.QueueOffset != 9 || message.SafeToRetry(err) || r != (message.SendResult{}) {
			t.Errorf("%s: %v, %v", what, r, err)
		}
	}
	r, err := p.Send(t.Context(), msg())
	check("sync", r, err)
	outs, err := p.SendBatch(t.Context(), []*message.Message{msg()})
	if err == nil {
		t.Error("a batch without an error")
	}
	check("a batch of one", outs[0].Result, outs[0].Err)
	outs, err = p.SendBatch(t.Context(), []*message.Message{msg(), msg()})
	if err == nil {
		t.Error("a batch without an error")
	}
	check("a batch", outs[0].Result, outs[0].Err)
	ran := false
	r, state, err := p.SendHalf(t.Context(), msg(), nil, func(context.Context, message.SendResult) driver.TxState {
		ran = true
		return driver.TxCommit
	})
	check("half", r, err)
	if ran || state != driver.TxRollback {
		t.Errorf("the local transaction ran: %t; state %s", ran, state)
	}
	if n := len(s.tried()); n != 4 {
		t.Errorf("%d attempts: what is stored must not be sent again", n)
	}
}
