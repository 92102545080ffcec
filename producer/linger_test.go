package producer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// queued sends a message and returns where its outcome comes.
func queued(ctx context.Context, p *producer.Producer, m *message.Message) <-chan producer.Outcome {
	done := make(chan producer.Outcome, 2)
	p.SendAsync(ctx, m, func(_ context.Context, r message.SendResult, err error) {
		done <- producer.Outcome{Result: r, Err: err}
	})
	return done
}

func sizes(s *script) []int {
	var n []int
	for _, t := range s.tried() {
		n = append(n, len(t.ids))
	}
	return n
}

func keyed(key string) *message.Message { return msg(message.ShardingKey(key)) }

func TestMessagesThatLingerShareARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.send = func(_ context.Context, _ message.Queue, ms []*driver.Outgoing) (driver.Receipt, error) {
			ids := make([]string, len(ms))
			for i := range ids {
				ids[i] = fmt.Sprint("offset", i)
			}
			return driver.Receipt{QueueOffset: 100, OffsetMessageID: strings.Join(ids, ",")}, nil
		}
		p := start(t, s, producer.Linger(10*time.Millisecond))
		begun := time.Now()
		var all []<-chan producer.Outcome
		for range 5 {
			all = append(all, queued(t.Context(), p, msg()))
		}
		sync := make(chan producer.Outcome)
		go func() {
			r, err := p.Send(t.Context(), msg())
			sync <- producer.Outcome{Result: r, Err: err}
		}()
		for i, done := range append(all, sync) {
			o := <-done
			if o.Err != nil || o.Result.QueueOffset != int64(100+i) || o.Result.OffsetMessageID != fmt.Sprint("offset", i) || o.Result.MessageID != fmt.Sprint("ID", i+1) || o.Result.Queue.Broker != "a" {
				t.Errorf("message %d: %+v", i, o)
			}
		}
		if d := time.Since(begun); d != 10*time.Millisecond || !slices.Equal(sizes(s), []int{6}) {
			t.Errorf("requests of %v messages after %s", sizes(s), d)
		}
	})
}

func TestAFullRequestDoesNotLinger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		p := start(t, s, producer.Linger(time.Hour), producer.BatchBytes(2000))
		for range 10 { // of some 300 bytes each, as the broker counts
			queued(t.Context(), p, msg())
		}
		synctest.Wait()
		if got := sizes(s); len(got) != 1 || got[0] < 5 || got[0] > 9 {
			t.Errorf("requests of %v messages", got)
		}
		large := queued(t.Context(), p, message.New("orders", make([]byte, 5000)))
		if o := <-large; o.Err != nil {
			t.Error(o.Err)
		}
		if got := sizes(s); len(got) != 3 || got[2] != 1 {
			t.Errorf("requests of %v messages: what waited goes before one that is too large", got)
		}
	})
}

func TestRequestsAreOfOneQueueAndOneTopic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a", "b")
		p := start(t, s, producer.Linger(time.Millisecond))
		var all []<-chan producer.Outcome
		for i := range 40 {
			all = append(all, queued(t.Context(), p, keyed(fmt.Sprint(i%8))), queued(t.Context(), p, message.New("other", []byte("b"))))
		}
		for _, done := range all {
			if o := <-done; o.Err != nil {
				t.Error(o.Err)
			}
		}
		seen := map[message.Queue]bool{}
		for _, tr := range s.tried() {
			if seen[tr.queue] {
				t.Errorf("%v has two requests", tr.queue)
			}
			seen[tr.queue] = true
		}
		if len(seen) < 4 {
			t.Errorf("requests to %v", seen)
		}
	})
}

func TestWhatCannotShareDoesNotLinger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		p := start(t, s, producer.Linger(time.Hour), producer.Transactions(checker(nil)))
		begun := time.Now()
		if _, err := p.Send(t.Context(), msg(func(m *message.Message) { m.Delay.Level = 3 })); err != nil {
			t.Error(err)
		}
		if err := p.SendOneway(t.Context(), msg()); err != nil {
			t.Error(err)
		}
		if _, _, err := p.SendHalf(t.Context(), msg(), nil, func(context.Context, message.SendResult) driver.TxState { return driver.TxCommit }); err != nil {
			t.Error(err)
		}
		if _, err := p.SendBatch(t.Context(), []*message.Message{msg(), msg()}); err != nil {
			t.Error(err)
		}
		if d := time.Since(begun); d != 0 || !slices.Equal(sizes(s), []int{1, 1, 1, 2}) {
			t.Errorf("requests of %v messages after %s", sizes(s), d)
		}
	})
}

func TestARequestIsTriedAgainAsAWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a", "b")
		s.send = func(_ context.Context, q message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
			if q.Broker == "a" {
				return driver.Receipt{}, unreachable()
			}
			return driver.Receipt{}, nil
		}
		p := start(t, s, producer.Linger(time.Millisecond), producer.FaultAvoidance(false), producer.NoBreaker())
		for range 4 {
			one, two := queued(t.Context(), p, msg()), queued(t.Context(), p, msg())
			if o := <-one; o.Err != nil || o.Result.Queue.Broker != "b" {
				t.Errorf("%+v", o)
			}
			if o := <-two; o.Err != nil {
				t.Errorf("%+v", o)
			}
		}
		retried := false
		for _, tr := range s.tried() {
			retried = retried || tr.queue.Broker == "a"
			if len(tr.ids) != 2 {
				t.Errorf("a request of %d messages", len(tr.ids))
			}
		}
		if !retried {
			t.Error("no request went to the broker that fails: nothing was tested")
		}
		s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
			return driver.Receipt{}, unreachable()
		}
		one, two := queued(t.Context(), p, msg()), queued(t.Context(), p, msg())
		for _, done := range []<-chan producer.Outcome{one, two} {
			var failed *producer.SendError
			if o := <-done; !errors.As(o.Err, &failed) || failed.Attempts != 3 || !message.SafeToRetry(o.Err) {
				t.Errorf("%v", o.Err)
			}
		}
	})
}

func TestAMessageLeavesItsRequestWithItsContext(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		after time.Duration // the ctx ends
		safe  bool
		sent  []int
	}{
		"while it waits for company": {5 * time.Millisecond, true, []int{1}},
		"while the request is out":   {time.Second, false, []int{2}},
		"after the request's answer": {time.Minute, true, []int{2}},
		"before anything":            {0, true, []int{1}},
		"as the request is made":     {10 * time.Millisecond, false, nil}, // either way
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScript("a")
				s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
					<-time.After(2 * time.Second)
					return driver.Receipt{}, nil
				}
				p := start(t, s, producer.Linger(10*time.Millisecond))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				begun := time.Now()
				if tt.after == 0 {
					cancel()
				} else {
					time.AfterFunc(tt.after, cancel)
				}
				leaves, stays := queued(ctx, p, msg()), queued(t.Context(), p, msg())
				o := <-leaves
				if took := time.Since(begun); tt.after < time.Minute {
					if !errors.Is(o.Err, context.Canceled) || took != tt.after || tt.sent != nil && message.SafeToRetry(o.Err) != tt.safe {
						t.Errorf("after %s: %v", took, o.Err)
					}
				} else if o.Err != nil {
					t.Error(o.Err)
				}
				if o := <-stays; o.Err != nil || time.Since(begun) != 2010*time.Millisecond {
					t.Errorf("the other one after %s: %v", time.Since(begun), o.Err)
				}
				if got := sizes(s); tt.sent != nil && !slices.Equal(got, tt.sent) {
					t.Errorf("requests of %v messages, want %v", got, tt.sent)
				}
				cancel()
				synctest.Wait()
				if len(leaves)+len(stays) > 0 {
					t.Error("a callback fired twice")
				}
			})
		})
	}
}

func TestEndsDoNotLinger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		p := start(t, s, producer.Linger(time.Hour))
		drained := queued(t.Context(), p, msg())
		begun := time.Now()
		if err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if o := <-drained; o.Err != nil || time.Since(begun) != 0 {
			t.Errorf("drain: %v after %s", o.Err, time.Since(begun))
		}
		s = newScript("a")
		hung := make(chan struct{})
		s.send = func(ctx context.Context, _ message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
			select {
			case <-ctx.Done():
				return driver.Receipt{}, &message.UnknownOutcomeError{Op: "send", Err: ctx.Err()}
			case <-hung:
				return driver.Receipt{}, nil
			}
		}
		p = start(t, s, producer.Linger(time.Minute), producer.SendTimeout(time.Hour))
		out := queued(t.Context(), p, msg())
		<-time.After(2 * time.Minute)
		waiting := queued(t.Context(), p, msg())
		if err := p.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if o := <-out; !errors.Is(o.Err, message.ErrClosed) || !errors.Is(o.Err, message.ErrOutcomeUnknown) {
			t.Errorf("stop, under way: %v", o.Err)
		}
		if o := <-waiting; !errors.Is(o.Err, message.ErrClosed) {
			t.Errorf("stop, waiting: %v", o.Err)
		}
	})
}

// Each goroutine's messages of a key keep their order, whoever hands them over.
func TestMessagesThatLingerKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := newScript("a")
	var mu sync.Mutex
	var stored []string
	s.inline = true
	s.send = func(_ context.Context, _ message.Queue, ms []*driver.Outgoing) (driver.Receipt, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range ms {
			stored = append(stored, string(m.Body))
		}
		return driver.Receipt{}, nil
	}
	p := start(t, s, producer.Linger(50*time.Microsecond), producer.BatchBytes(3000))
	const senders, each = 8, 500
	var wg sync.WaitGroup
	for g := range senders {
		wg.Go(func() {
			for i := range each {
				m := keyed("one key")
				m.Body = fmt.Appendf(nil, "%d:%d", g, i)
				p.SendAsync(t.Context(), m, func(_ context.Context, _ message.SendResult, err error) {
					if err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
	wg.Wait()
	if err := p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := make([]int, senders)
	for _, body := range stored {
		var g, i int
		if _, err := fmt.Sscanf(body, "%d:%d", &g, &i); err != nil || next[g] != i {
			t.Fatalf("%q where %d:%d was expected (%v)", body, g, next[g], err)
		}
		next[g]++
	}
	if len(stored) != senders*each || len(s.tried()) > len(stored)/2 {
		t.Errorf("%d messages in %d requests", len(stored), len(s.tried()))
	}
}

// Once a message waits for company the send is no longer its sender's: it may be over,
// and its memory another's. The race detector sees who looks at it still.
func TestASenderLeavesWhatLingersAlone(t *testing.T) {
	t.Parallel()
	p := start(t, newScript("a"), producer.Linger(time.Millisecond))
	for range 20 {
		if o := <-queued(context.Background(), p, msg()); o.Err != nil {
			t.Fatal(o.Err)
		}
	}
}
