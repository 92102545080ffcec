package producer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

func TestMessagesTakeTheQueuesInTurn(t *testing.T) {
	t.Parallel()
	s := newScript("a", "b")
	p := start(t, s)
	count := map[message.Queue]int{}
	for range 40 {
		for _, topic := range []string{"orders", "refunds"} { // each topic has a turn of its own
			if _, err := p.Send(t.Context(), message.New(topic, []byte("b"))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, at := range s.tried() {
		count[at.queue]++
	}
	for q, n := range count {
		if n != 10 {
			t.Errorf("queue %v got %d of 40", q, n)
		}
	}
	if len(count) != 8 {
		t.Errorf("%d queues were used", len(count))
	}
}

// The numbers come from Java: key.hashCode() % 8, made absolute as
// SelectMessageQueueByHash does.
func TestShardingKeysChooseTheQueueThatJavaChooses(t *testing.T) {
	t.Parallel()
	queues, err := queuesOf("a", "b", "c", "d")("orders")
	if err != nil || len(queues) != 8 {
		t.Fatal(queues, err)
	}
	for key, want := range map[string]int{
		"":                   0,
		"a":                  1, // 97
		"order-1":            6, // -1207111310
		"订单":                 3, // 1129459
		"\U0001F600":         3, // 1772899, two UTF-16 units
		"polygenelubricants": 0, // -2147483648
		"customer-7":         0, // -1581185528
	} {
		if got := producer.ByShardingKey(msg(message.ShardingKey(key)), queues); got != want {
			t.Errorf("key %q: queue %d, want %d", key, got, want)
		}
	}
}

func TestOneShardingKeyKeepsItsQueueThroughRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a", "b", "c")
		s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
			if len(s.tried())%2 == 1 {
				return driver.Receipt{}, unreachable()
			}
			return driver.Receipt{}, nil
		}
		p := start(t, s)
		for range 5 {
			if _, err := p.Send(t.Context(), msg(message.ShardingKey("customer-7"))); err != nil {
				t.Fatal(err)
			}
		}
		tried := s.tried()
		if len(tried) != 10 {
			t.Fatalf("%d attempts", len(tried))
		}
		for _, at := range tried {
			if at.queue != tried[0].queue {
				t.Errorf("went to %v and %v", tried[0].queue, at.queue)
			}
		}
	})
}

// A broker that is lost takes its own keys with it and no others, and gets them back.
func TestStableKeysStayWhenAnotherBrokerIsLost(t *testing.T) {
	t.Parallel()
	s := newScript("a", "b", "c")
	p := start(t, s, producer.StableKeys())
	place := func(key string) message.Queue {
		if _, err := p.Send(t.Context(), msg(message.ShardingKey(key))); err != nil {
			t.Fatal(err)
		}
		tried := s.tried()
		return tried[len(tried)-1].queue
	}
	const keys = 300
	before, load := map[string]message.Queue{}, map[message.Queue]int{}
	for i := range keys {
		key := fmt.Sprint("customer-", i)
		before[key] = place(key)
		load[before[key]]++
	}
	if len(load) != 6 {
		t.Errorf("%d keys use %d of 6 queues", keys, len(load))
	}
	for q, n := range load {
		if n < keys/12 || n > keys/3 {
			t.Errorf("queue %v has %d of %d keys", q, n, keys)
		}
	}
	s.queues = queuesOf("a", "c")
	moved := 0
	for key, q := range before {
		now := place(key)
		if q.Broker != "b" && now != q {
			t.Errorf("key %s went from %v to %v, though its broker is there", key, q, now)
		}
		if now != q {
			moved++
		}
	}
	if moved == 0 {
		t.Error("no key moved")
	}
	s.queues = queuesOf("a", "b", "c")
	for key, q := range before {
		if now := place(key); now != q {
			t.Errorf("key %s is in %v when its broker is back, want %v", key, now, q)
		}
	}
}

func TestSelectorsChooseAndMayFail(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		sel  producer.QueueSelector
		want string // of the error
	}{
		"chooses":     {func(_ *message.Message, qs []message.Queue) int { return len(qs) - 1 }, ""},
		"too far":     {func(_ *message.Message, qs []message.Queue) int { return len(qs) }, "chose 4 of 4"},
		"negative":    {func(*message.Message, []message.Queue) int { return -1 }, "chose -1 of 4"},
		"panics":      {func(*message.Message, []message.Queue) int { panic("boom") }, "panicked: boom"},
		"java's hash": {producer.ByShardingKey, ""},
	} {
		for way, send := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				s := newScript("a", "b")
				p := start(t, s, producer.Select(tc.sel))
				_, err := send(t.Context(), p, msg())
				switch {
				case tc.want == "" && err != nil:
					t.Error(err)
				case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || len(s.tried()) != 0):
					t.Errorf("%d attempts, error %v", len(s.tried()), err)
				case name == "chooses" && s.tried()[0].queue != (message.Queue{Topic: "orders", Broker: "b", ID: 1}):
					t.Errorf("went to %v", s.tried()[0].queue)
				}
			})
		}
	}
}

// failing lets broker a fail with err while *on.
func failing(s *script, err error, on *bool) {
	s.send = func(_ context.Context, q message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
		if q.Broker == "a" && *on {
			return driver.Receipt{}, err
		}
		return driver.Receipt{}, nil
	}
}

func sendMany(t *testing.T, p *producer.Producer, n int) (failed int) {
	t.Helper()
	for range n {
		if _, err := p.Send(t.Context(), msg()); err != nil {
			failed++
		}
	}
	return failed
}

// sendSlowly is sendMany with a second before each, in virtual time.
func sendSlowly(t *testing.T, p *producer.Producer, n int) (failed int) {
	t.Helper()
	for range n {
		<-time.After(time.Second)
		failed += sendMany(t, p, 1)
	}
	return failed
}

func count(names []string, name string) int { return strings.Count(strings.Join(names, ""), name) }

func TestBrokersThatFailedAreAvoidedForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a", "b")
		sick := true
		failing(s, unreachable(), &sick)
		p := start(t, s, producer.NoBreaker())
		if failed := sendMany(t, p, 100); failed != 0 {
			t.Errorf("%d sends failed although b is well", failed)
		}
		if n := count(s.brokers(), "a"); n != 1 {
			t.Errorf("a was tried %d times, want once", n)
		}
		<-time.After(time.Second) // the first avoidance is over
		sendMany(t, p, 100)
		if n := count(s.brokers(), "a"); n != 2 {
			t.Errorf("a was tried %d times, want twice", n)
		}
		<-time.After(time.Second) // the second takes two
		sendMany(t, p, 100)
		if n := count(s.brokers(), "a"); n != 2 {
			t.Errorf("a was tried %d times, still twice", n)
		}
		sick = false
		<-time.After(time.Second)
		sendMany(t, p, 100)
		if n := count(s.brokers(), "a"); n < 40 {
			t.Errorf("a was tried %d times after it was well again", n)
		}
		sick = true // and from the start again
		sendMany(t, p, 100)
		before := count(s.brokers(), "a")
		<-time.After(time.Second)
		sendMany(t, p, 100)
		if n := count(s.brokers(), "a") - before; n != 1 {
			t.Errorf("a was tried %d times a second after its next failure, want once", n)
		}
	})
}

func TestAllBrokersAreTriedWhenAllAreAvoided(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		sick := true
		failing(s, unreachable(), &sick)
		p := start(t, s, producer.NoBreaker(), producer.Retries(0))
		sendMany(t, p, 1)
		sick = false
		if sendMany(t, p, 10) != 0 {
			t.Error("the only broker was avoided")
		}
	})
}

func TestFaultAvoidanceCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	s := newScript("a", "b")
	sick := true
	failing(s, unreachable(), &sick)
	p := start(t, s, producer.NoBreaker(), producer.FaultAvoidance(false))
	sendMany(t, p, 40)
	if n := count(s.brokers(), "a"); n < 10 {
		t.Errorf("a was tried only %d times", n)
	}
}

func TestBreakerOpensAndTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		sick := true
		failing(s, unreachable(), &sick)
		p := start(t, s, producer.Retries(0), producer.Breaker(producer.BreakerSettings{Failures: 3, OpenFor: 5 * time.Second}))
		sendSlowly(t, p, 7)
		if n := len(s.tried()); n != 3 {
			t.Errorf("%d attempts before the circuit opened, want 3", n)
		}
		_, err := p.Send(t.Context(), msg())
		if !errors.Is(err, message.ErrBreakerOpen) || !message.SafeToRetry(err) || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("error %v", err)
		}
		_, err = p.Send(t.Context(), msg(message.ShardingKey("k")))
		if !errors.Is(err, message.ErrBreakerOpen) {
			t.Errorf("with a key: %v", err)
		}
		<-time.After(5*time.Second + 1)
		sendMany(t, p, 10) // one attempt, which fails, and the circuit is open again
		if n := len(s.tried()); n != 4 {
			t.Errorf("%d attempts, want one more", n)
		}
		sick = false
		<-time.After(5*time.Second + 1)
		if failed := sendMany(t, p, 10); failed != 0 {
			t.Errorf("%d sends failed after the broker was well", failed)
		}
	})
}

func TestOpenCircuitsArePassedBy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a", "b")
		sick := true
		failing(s, unreachable(), &sick)
		p := start(t, s, producer.FaultAvoidance(false), producer.Retries(0), producer.Breaker(producer.BreakerSettings{Failures: 2, OpenFor: time.Hour}))
		failed := sendSlowly(t, p, 100)
		if failed != 2 || count(s.brokers(), "a") != 2 {
			t.Errorf("%d failed, %d attempts at a; want 2 and 2", failed, count(s.brokers(), "a"))
		}
	})
}

func TestACircuitThatOpensDuringASendHidesNoCause(t *testing.T) {
	t.Parallel()
	for way, send := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			for _, cause := range []error{unknown(errors.New("connection lost")), unreachable()} {
				synctest.Test(t, func(t *testing.T) {
					s := newScript("a", "b")
					s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
						<-time.After(time.Second)
						return driver.Receipt{}, cause
					}
					p := start(t, s, producer.SendTimeout(time.Minute), producer.Retries(5), producer.RetryUnknownOutcome(), producer.Breaker(producer.BreakerSettings{Failures: 2}))
					_, err := send(t.Context(), p, msg())
					if !errors.Is(err, message.ErrBreakerOpen) || !errors.Is(err, cause) || message.SafeToRetry(err) != message.SafeToRetry(cause) || len(s.tried()) != 4 {
						t.Errorf("%d attempts: %v", len(s.tried()), err)
					}
					if n := strings.Count(err.Error(), "circuit breaker open"); n != 1 {
						t.Errorf("the circuit is mentioned %d times: %v", n, err)
					}
				})
			}
		})
	}
}

func TestOnlyTheBrokersFaultsOpenItsCircuit(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  func(ctx context.Context) error
		open bool
	}{
		"unreachable":                    {func(context.Context) error { return unreachable() }, true},
		"connection lost":                {func(context.Context) error { return unknown(errors.New("lost")) }, true},
		"system busy":                    {func(context.Context) error { return refusal(2, "SYSTEM_BUSY") }, true},
		"silent":                         {func(ctx context.Context) error { <-ctx.Done(); return unknown(ctx.Err()) }, true},
		"illegal message":                {func(context.Context) error { return refusal(13, "MESSAGE_ILLEGAL") }, false},
		"no permission":                  {func(context.Context) error { return refusal(16, "NO_PERMISSION") }, false},
		"cancelled":                      {func(context.Context) error { return unknown(context.Canceled) }, false},
		"unsupported":                    {func(context.Context) error { return message.ErrUnsupported }, false},
		"unsupported, as a system error": {func(context.Context) error { return errors.Join(message.ErrUnsupported, refusal(1, "SYSTEM_ERROR")) }, false},
		"a hasty caller's time-out": {func(context.Context) error {
			<-time.After(10 * time.Millisecond)
			return unknown(context.DeadlineExceeded)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScript("a")
				s.send = func(ctx context.Context, _ message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
					return driver.Receipt{}, tc.err(ctx)
				}
				p := start(t, s, producer.Retries(0))
				var err error
				for range 6 {
					<-time.After(time.Second)
					_, err = p.Send(t.Context(), msg())
				}
				if errors.Is(err, message.ErrBreakerOpen) != tc.open {
					t.Errorf("after five failures: %v", err)
				}
			})
		})
	}
}

func TestSuccessesBetweenFailuresKeepTheCircuitClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
			if len(s.tried())%3 == 0 {
				return driver.Receipt{}, nil
			}
			return driver.Receipt{}, unreachable()
		}
		p := start(t, s, producer.Retries(0), producer.Breaker(producer.BreakerSettings{Failures: 3}))
		sendSlowly(t, p, 30)
		if n := len(s.tried()); n != 30 {
			t.Errorf("%d attempts of 30 passed", n)
		}
	})
}

// A lost connection fails all sends on it at the same moment, and a restart many
// more in an instant: neither says that the broker is sick.
func TestFailuresOfAMomentLeaveTheCircuitClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		sick := true
		failing(s, unreachable(), &sick)
		p := start(t, s, producer.Retries(0))
		sendMany(t, p, 1000)
		<-time.After(999 * time.Millisecond)
		sendMany(t, p, 1000)
		if n := len(s.tried()); n != 2000 {
			t.Fatalf("%d attempts of 2000 passed", n)
		}
		<-time.After(time.Minute) // a row that is over
		sendMany(t, p, 1000)
		if n := len(s.tried()); n != 3000 {
			t.Fatalf("%d attempts of 3000 passed", n)
		}
		<-time.After(time.Second)
		sendMany(t, p, 1000)
		if n := len(s.tried()); n != 3001 {
			t.Errorf("%d attempts, want 3001: the row went on for a second", n)
		}
	})
}

func TestBatchesGoWhereTheirKeysSay(t *testing.T) {
	t.Parallel()
	s := newScript("a", "b")
	p := start(t, s)
	var ms []*message.Message
	for _, key := range []string{"x", "y", "", "x", "y", ""} {
		ms = append(ms, msg(message.ShardingKey(key)))
	}
	out, err := p.SendBatch(t.Context(), ms)
	if err != nil {
		t.Fatal(err)
	}
	queues, _ := s.queues("orders")
	for i, m := range ms {
		if m.ShardingKey != "" && out[i].Result.Queue != queues[producer.ByShardingKey(m, queues)] {
			t.Errorf("message %d with key %s went to %v", i, m.ShardingKey, out[i].Result.Queue)
		}
	}
	if diff := cmp.Diff([][]string{{"ID1", "ID4"}, {"ID2", "ID5"}, {"ID3", "ID6"}}, ids(s)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func ids(s *script) (all [][]string) {
	for _, at := range s.tried() {
		all = append(all, at.ids)
	}
	return all
}
