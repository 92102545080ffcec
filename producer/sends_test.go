package producer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// with is p with other options for its sends.
func with(t *testing.T, p *producer.Producer, opts ...producer.SendOption) *producer.Producer {
	t.Helper()
	w, err := p.With(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWithChangesSomeSendsOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a", "b", "c")
		s.send = func(ctx context.Context, q message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
			if q.Broker == "c" {
				return driver.Receipt{Status: message.FlushDiskTimeout}, nil
			}
			<-ctx.Done()
			return driver.Receipt{}, ctx.Err()
		}
		p := start(t, s, producer.FaultAvoidance(false), producer.NoBreaker(), producer.SendTimeout(8*time.Second))
		to := func(broker string) producer.SendOption {
			return producer.ToQueue(message.Queue{Topic: msg().Topic, Broker: broker, ID: 1})
		}
		elapsed := func(p *producer.Producer) time.Duration {
			t.Helper()
			begun := time.Now()
			if _, err := p.Send(t.Context(), msg()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a send to a silent broker: %v", err)
			}
			return time.Since(begun)
		}
		attempts := func(p *producer.Producer) (n int) {
			t.Helper()
			before := len(s.tried())
			elapsed(p)
			return len(s.tried()) - before
		}
		silent := with(t, p, to("a"))
		if d := elapsed(silent); d != 8*time.Second {
			t.Errorf("the producer's time-out: %s", d)
		}
		if d := elapsed(with(t, silent, producer.SendTimeout(20*time.Second))); d != 20*time.Second {
			t.Errorf("a longer time-out: %s", d)
		}
		if d := elapsed(with(t, silent, producer.SendTimeout(time.Second))); d != time.Second {
			t.Errorf("a shorter time-out: %s", d)
		}
		if n := attempts(with(t, silent, producer.AttemptTimeout(time.Second))); n != 3 {
			t.Errorf("%d attempts, want 3", n)
		}
		if n := attempts(with(t, silent, producer.AttemptTimeout(time.Second), producer.Retries(0))); n != 1 {
			t.Errorf("%d attempts, want 1", n)
		}
		weak := with(t, p, to("c"))
		if r, err := weak.Send(t.Context(), msg()); err != nil || r.Status != message.FlushDiskTimeout || r.Queue.Broker != "c" || r.Queue.ID != 1 {
			t.Errorf("to a queue: %v, %v", r, err)
		}
		var notDurable *producer.NotDurableError
		if _, err := with(t, weak, producer.RequireDurable()).Send(t.Context(), msg()); !errors.As(err, &notDurable) {
			t.Errorf("RequireDurable: %v", err)
		}
		async := make(chan error, 1)
		with(t, weak, producer.RequireDurable()).SendAsync(t.Context(), msg(), func(_ context.Context, _ message.SendResult, err error) { async <- err })
		if err := <-async; !errors.As(err, &notDurable) {
			t.Errorf("RequireDurable of an asynchronous send: %v", err)
		}
		if outs, err := with(t, weak, producer.RequireDurable()).SendBatch(t.Context(), []*message.Message{msg(), msg()}); !errors.As(err, &notDurable) || outs[0].Err == nil {
			t.Errorf("RequireDurable of a batch: %v", err)
		}
		_, err := with(t, p, producer.ToQueue(message.Queue{Topic: msg().Topic, Broker: "gone"}), producer.Retries(0)).Send(t.Context(), msg())
		if !errors.Is(err, message.ErrUnreachable) || !message.SafeToRetry(err) {
			t.Errorf("a queue that is not there: %v", err)
		}
		gone := producer.ToQueue(message.Queue{Topic: msg().Topic, Broker: "gone", ID: 7})
		if _, err := with(t, p, gone, producer.Retries(2)).Send(t.Context(), msg()); strings.Count(err.Error(), `queue 7 of broker "gone"`) != 1 {
			t.Errorf("does not name the queue once: %v", err)
		}
	})
}

func TestWithFailFastLeavesOtherSendsWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		release := make(chan struct{})
		s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
			<-release
			return driver.Receipt{}, nil
		}
		p := start(t, s, producer.MaxInFlight(1), producer.RateLimit(1000))
		errs := make(chan error, 2)
		for range 2 { // the second waits for the first's place
			go func() {
				_, err := p.Send(t.Context(), msg())
				errs <- err
			}()
		}
		synctest.Wait()
		if _, err := with(t, p, producer.FailFast()).Send(t.Context(), msg()); !errors.Is(err, message.ErrOverloaded) {
			t.Errorf("FailFast: %v", err)
		}
		close(release)
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestWithIsNotHeldUpByLinger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		p := start(t, s, producer.Linger(time.Second))
		begun := time.Now()
		if _, err := with(t, p).Send(t.Context(), msg()); err != nil || time.Since(begun) > 0 {
			t.Errorf("%v, after %s", err, time.Since(begun))
		}
		if _, err := p.Send(t.Context(), msg()); err != nil || time.Since(begun) != time.Second {
			t.Errorf("the producer's own: %v, after %s", err, time.Since(begun))
		}
	})
}

func TestWithEndsWithTheProducer(t *testing.T) {
	t.Parallel()
	p := start(t, newScript("a"))
	w := with(t, p)
	if err := w.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send(t.Context(), msg()); !errors.Is(err, message.ErrClosed) {
		t.Errorf("after the drain: %v", err)
	}
}

func TestMistakesInSendOptionsAreReportedTogether(t *testing.T) {
	t.Parallel()
	p := start(t, newScript("a"))
	_, err := p.With(producer.Retries(-1), nil, producer.SendTimeout(0), producer.AttemptTimeout(-1))
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{`"pay_group"`, "Retries(-1)", "1 of the options", "SendTimeout(0s)", "AttemptTimeout(-1ns)"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}
}

// A time-out that With shortens is what a broker is judged by, too.
func TestASilentBrokerIsFoundOutByShorterSends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.send = func(ctx context.Context, _ message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
			<-ctx.Done()
			return driver.Receipt{}, unknown(ctx.Err())
		}
		urgent, err := start(t, s, producer.Retries(0)).With(producer.SendTimeout(300 * time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		for range 6 {
			<-time.After(time.Second)
			_, err = urgent.Send(t.Context(), msg())
		}
		if !errors.Is(err, message.ErrBreakerOpen) {
			t.Errorf("after five sends without an answer: %v", err)
		}
	})
}
