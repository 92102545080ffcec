package producer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// ways are the kinds of sends that share the retry rules.
var ways = map[string]func(context.Context, *producer.Producer, *message.Message) (message.SendResult, error){
	"sync": func(ctx context.Context, p *producer.Producer, m *message.Message) (message.SendResult, error) {
		return p.Send(ctx, m)
	},
	"async": func(ctx context.Context, p *producer.Producer, m *message.Message) (message.SendResult, error) {
		return async(ctx, p, m)
	},
	"batch": func(ctx context.Context, p *producer.Producer, m *message.Message) (message.SendResult, error) {
		out, err := p.SendBatch(ctx, []*message.Message{m, m})
		if err != nil {
			return message.SendResult{}, out[0].Err
		}
		return out[0].Result, nil
	},
}

// async sends and waits for the callback.
func async(ctx context.Context, p *producer.Producer, m *message.Message) (r message.SendResult, err error) {
	done := make(chan struct{})
	p.SendAsync(ctx, m, func(_ context.Context, res message.SendResult, e error) {
		r, err = res, e
		close(done)
	})
	<-done
	return r, err
}

func TestSendSaysWhereTheMessageIsStored(t *testing.T) {
	t.Parallel()
	for name, send := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, status := range []message.Status{message.SendOK, message.FlushDiskTimeout, message.FlushSlaveTimeout, message.SlaveNotAvailable} {
				s := newScript("a")
				s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
					return driver.Receipt{Status: status, OffsetMessageID: "0A,0B", QueueOffset: 7, RecallHandle: "h"}, nil
				}
				p := start(t, s)
				r, err := send(t.Context(), p, msg())
				if err != nil {
					t.Fatal(err)
				}
				q := s.tried()[0].queue
				want := message.SendResult{Status: status, MessageID: "ID1", OffsetMessageID: "0A,0B", Queue: q, QueueOffset: 7, RecallHandle: "h"}
				if name == "batch" {
					want.OffsetMessageID = "0A"
				}
				if diff := cmp.Diff(want, r); diff != "" {
					t.Errorf("result (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestFailedAttemptsAreRepeatedOnlyWhereThatIsSafe(t *testing.T) {
	t.Parallel()
	plain, unknownToo := []producer.Option(nil), []producer.Option{producer.RetryUnknownOutcome()}
	for name, tc := range map[string]struct {
		err      error
		opts     []producer.Option
		attempts int // with 3 brokers and 2 retries
		safe     bool
	}{
		"broker unreachable":             {unreachable(), plain, 3, true},
		"system busy":                    {refusal(2, "SYSTEM_BUSY"), plain, 3, true},
		"system error":                   {refusal(1, "SYSTEM_ERROR"), plain, 3, true},
		"service not available":          {refusal(14, "SERVICE_NOT_AVAILABLE"), plain, 3, true},
		"no permission":                  {refusal(16, "NO_PERMISSION"), plain, 3, true},
		"topic not there":                {refusal(17, "TOPIC_NOT_EXIST"), plain, 3, true},
		"flow control":                   {refusal(215, "FLOW_CONTROL"), plain, 3, true},
		"message illegal":                {refusal(13, "MESSAGE_ILLEGAL"), plain, 1, true},
		"unsupported":                    {fmt.Errorf("timer: %w", message.ErrUnsupported), plain, 1, true},
		"unsupported, as a system error": {fmt.Errorf("timer: %w: %w", message.ErrUnsupported, refusal(1, "SYSTEM_ERROR")), plain, 1, true},
		"driver closed":                  {message.ErrClosed, plain, 1, true},
		"unknown outcome":                {unknown(errors.New("connection lost")), plain, 1, false},
		"unknown outcome, opted in":      {unknown(errors.New("connection lost")), unknownToo, 3, false},
		"a stranger's error":             {errors.New("boom"), plain, 1, false},
		"without retries":                {unreachable(), []producer.Option{producer.Retries(0)}, 1, true},
		"with three retries":             {unreachable(), []producer.Option{producer.Retries(3)}, 4, true},
		"message illegal, opted in":      {refusal(13, "MESSAGE_ILLEGAL"), unknownToo, 1, true},
		"system busy, five attempts":     {refusal(2, "SYSTEM_BUSY"), []producer.Option{producer.Retries(4)}, 5, true},
	} {
		for way, send := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newScript("a", "b", "c")
					s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
						return driver.Receipt{}, tc.err
					}
					p := start(t, s, tc.opts...)
					_, err := send(t.Context(), p, msg())
					if !errors.Is(err, tc.err) {
						t.Errorf("error %v, want one that wraps %v", err, tc.err)
					}
					if message.SafeToRetry(err) != tc.safe {
						t.Errorf("SafeToRetry = %v: %v", !tc.safe, err)
					}
					tried := s.tried()
					if len(tried) != tc.attempts {
						t.Fatalf("%d attempts at %v, want %d", len(tried), s.brokers(), tc.attempts)
					}
					seen := map[string]bool{}
					for i, at := range tried {
						if i < 3 && seen[at.queue.Broker] {
							t.Errorf("attempts at %v: another broker was there", s.brokers())
						}
						seen[at.queue.Broker] = true
						if diff := cmp.Diff(tried[0].ids, at.ids); diff != "" {
							t.Errorf("ids differ between attempts: %s", diff)
						}
					}
				})
			})
		}
	}
}

func TestOnewayIsRepeatedOnAnotherBroker(t *testing.T) {
	t.Parallel()
	s := newScript("a", "b")
	s.send = func(_ context.Context, q message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
		if len(s.tried()) == 1 {
			return driver.Receipt{}, unreachable()
		}
		return driver.Receipt{}, nil
	}
	p := start(t, s)
	if err := p.SendOneway(t.Context(), msg()); err != nil {
		t.Fatal(err)
	}
	if b := s.brokers(); len(b) != 2 || b[0] == b[1] {
		t.Errorf("attempts at %v", b)
	}
}

func TestManyFailedAttemptsAreTold(t *testing.T) {
	t.Parallel()
	s := newScript("a", "b")
	s.send = func(_ context.Context, q message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
		if len(s.tried()) == 1 {
			return driver.Receipt{}, unknown(errors.New("connection lost"))
		}
		return driver.Receipt{}, refusal(13, "MESSAGE_ILLEGAL")
	}
	p := start(t, s, producer.RetryUnknownOutcome())
	_, err := p.Send(t.Context(), msg())
	var se *producer.SendError
	if !errors.As(err, &se) {
		t.Fatalf("error %T: %v", err, err)
	}
	if se.Attempts != 2 || !cmp.Equal(se.Brokers, s.brokers()) || se.Topic != "orders" || se.Group != "pay_group" {
		t.Errorf("%+v", se)
	}
	if message.SafeToRetry(err) || !errors.Is(err, message.ErrOutcomeUnknown) {
		t.Error("safe to retry although the first attempt may have stored the message")
	}
	for _, want := range []string{"pay_group", "orders", "2 attempts", "MESSAGE_ILLEGAL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestPausesBetweenAttempts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		brokers  []string
		err      error
		min, max time.Duration // of two pauses of 50 and 100 ms, give or take a quarter
	}{
		"another broker at once":      {[]string{"a", "b", "c"}, unreachable(), 0, 0},
		"the only broker after some":  {[]string{"a"}, unreachable(), 112 * time.Millisecond, 188 * time.Millisecond},
		"any broker after being busy": {[]string{"a", "b", "c"}, refusal(2, "SYSTEM_BUSY"), 112 * time.Millisecond, 188 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScript(tc.brokers...)
				s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
					return driver.Receipt{}, tc.err
				}
				p := start(t, s)
				begun := time.Now()
				_, _ = p.Send(t.Context(), msg())
				if took := time.Since(begun); took < tc.min || took > tc.max || len(s.tried()) != 3 {
					t.Errorf("%d attempts took %s, want %s–%s", len(s.tried()), took, tc.min, tc.max)
				}
			})
		})
	}
}

func TestSendTimeoutBoundsAllAttempts(t *testing.T) {
	t.Parallel()
	for way, send := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScript("a")
				s.send = func(ctx context.Context, _ message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
					if len(s.tried()) < 3 {
						<-time.After(400 * time.Millisecond)
						return driver.Receipt{}, refusal(2, "SYSTEM_BUSY")
					}
					<-ctx.Done()
					return driver.Receipt{}, unknown(ctx.Err())
				}
				p := start(t, s, producer.SendTimeout(time.Second), producer.Retries(9))
				begun := time.Now()
				_, err := send(t.Context(), p, msg())
				if !errors.Is(err, message.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
				if took := time.Since(begun); took != time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestNoAttemptBeginsThatThePauseLeavesNoTimeFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
			<-time.After(90 * time.Millisecond)
			return driver.Receipt{}, refusal(2, "SYSTEM_BUSY")
		}
		p := start(t, s, producer.SendTimeout(100*time.Millisecond))
		begun := time.Now()
		_, err := p.Send(t.Context(), msg())
		if len(s.tried()) != 1 || time.Since(begun) != 90*time.Millisecond || !message.SafeToRetry(err) {
			t.Errorf("%d attempts in %s: %v", len(s.tried()), time.Since(begun), err)
		}
	})
}

func TestAttemptTimeoutLeavesTimeForAnotherBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a", "b")
		s.send = func(ctx context.Context, _ message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
			if len(s.tried()) == 1 {
				<-ctx.Done() // a dial that nobody answers: nothing is written
				return driver.Receipt{}, ctx.Err()
			}
			return driver.Receipt{}, nil
		}
		p := start(t, s, producer.AttemptTimeout(time.Second))
		begun := time.Now()
		if _, err := p.Send(t.Context(), msg()); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took != time.Second || len(s.tried()) != 2 {
			t.Errorf("%d attempts in %s", len(s.tried()), took)
		}
	})
}

func TestAttemptsLeaveNoContextBehind(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]producer.Option{"send": nil, "attempt": {producer.AttemptTimeout(time.Second)}} {
		for way, send := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				var got context.Context
				s := newScript("a")
				s.send = func(ctx context.Context, _ message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
					ctx.Done()
					got = ctx
					return driver.Receipt{}, nil
				}
				p := start(t, s, opts...)
				if _, err := send(t.Context(), p, msg()); err != nil {
					t.Fatal(err)
				}
				<-got.Done()
				if !errors.Is(got.Err(), context.Canceled) {
					t.Errorf("its ctx ended with %v", got.Err())
				}
			})
		}
	}
}

func TestEndedContextsSendNothing(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for way, send := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := newScript("a")
			p := start(t, s)
			_, err := send(cancelled, p, msg())
			if !errors.Is(err, context.Canceled) || !message.SafeToRetry(err) || len(s.tried()) != 0 {
				t.Errorf("%d attempts: %v", len(s.tried()), err)
			}
		})
	}
}

func TestCancellingEndsASendUnderWay(t *testing.T) {
	t.Parallel()
	for name, written := range map[string]bool{"after the write": true, "before the write": false} {
		for way, send := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				s := newScript("a", "b")
				ctx, cancel := context.WithCancel(t.Context())
				s.send = func(ctx context.Context, _ message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
					cancel()
					<-ctx.Done()
					if written {
						return driver.Receipt{}, unknown(ctx.Err())
					}
					return driver.Receipt{}, ctx.Err()
				}
				p := start(t, s, producer.RetryUnknownOutcome())
				_, err := send(ctx, p, msg())
				if !errors.Is(err, context.Canceled) || errors.Is(err, message.ErrOutcomeUnknown) != written || message.SafeToRetry(err) == written {
					t.Errorf("error %v", err)
				}
				if len(s.tried()) != 1 {
					t.Errorf("%d attempts", len(s.tried()))
				}
			})
		}
	}
}

func TestBadMessagesAreRefusedBeforeAnything(t *testing.T) {
	t.Parallel()
	big := make([]byte, 101)
	for name, tc := range map[string]struct {
		m    *message.Message
		want error
	}{
		"nil":                    {nil, message.ErrInvalidMessage},
		"no topic":               {message.New("", []byte("b")), message.ErrInvalidTopic},
		"topic with a space":     {message.New("a b", []byte("b")), message.ErrInvalidTopic},
		"topic of 128 bytes":     {message.New(strings.Repeat("t", 128), []byte("b")), message.ErrInvalidTopic},
		"no body":                {message.New("orders", nil), message.ErrEmptyBody},
		"body over the limit":    {message.New("orders", big), message.ErrBodyTooLarge},
		"separator in a key":     {msg(message.Key("a\x01b")), message.ErrInvalidMessage},
		"separator in a value":   {msg(message.Property("k", "a\x02b")), message.ErrInvalidMessage},
		"RocketMQ's property":    {msg(message.Property("UNIQ_KEY", "1")), message.ErrInvalidMessage},
		"two delays":             {msg(func(m *message.Message) { m.Delay = message.Delay{Level: 1, After: 1} }), message.ErrInvalidMessage},
		"too many properties":    {msg(message.Property("k", strings.Repeat("v", 32767))), message.ErrInvalidMessage},
		"a delay by time":        {msg(func(m *message.Message) { m.Delay.After = time.Second }), message.ErrUnsupported},
		"a delay until a time":   {msg(func(m *message.Message) { m.Delay.At = time.Unix(1, 0) }), message.ErrUnsupported},
		"no level or none":       {msg(func(m *message.Message) { m.Delay = message.Delay{After: 1, OrLevel: -1} }), message.ErrInvalidMessage},
		"a level for want of it": {msg(func(m *message.Message) { m.Delay.OrLevel = 3 }), message.ErrInvalidMessage},
		"several things at once": {message.New("", nil), message.ErrEmptyBody},
	} {
		for way, send := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				s := newScript("a")
				s.caps.TimerMessages = false
				s.queues = func(string) ([]message.Queue, error) {
					t.Error("the route was asked for")
					return nil, message.ErrNoRoute
				}
				p := start(t, s, producer.MaxMessageSize(100))
				_, err := send(t.Context(), p, tc.m)
				if !errors.Is(err, tc.want) || !message.SafeToRetry(err) {
					t.Errorf("error %v, want %v", err, tc.want)
				}
			})
		}
	}
}

func TestTheMessageIsNeverChanged(t *testing.T) {
	t.Parallel()
	s := newScript("a", "b")
	s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
		if len(s.tried())%2 == 1 {
			return driver.Receipt{}, unreachable()
		}
		return driver.Receipt{}, nil
	}
	p := start(t, s, producer.NoBreaker(), producer.Intercept(producer.Interceptor{
		Before: func(ctx context.Context, o *driver.Outgoing) (context.Context, error) {
			o.Extra = append(o.Extra, driver.Property{Name: "by", Value: "interceptor"})
			return ctx, nil
		},
	}))
	m := msg(message.Tag("paid"), message.Key("1"), message.Property("a", "b"), message.ShardingKey("k"))
	before := m.Clone()
	for way, send := range ways {
		if _, err := send(t.Context(), p, m); err != nil {
			t.Errorf("%s: %v", way, err)
		}
		if diff := cmp.Diff(before, m); diff != "" {
			t.Errorf("%s changed the message:\n%s", way, diff)
		}
	}
}

func TestMissingRoutesAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	s := newScript("a")
	s.queues = func(topic string) ([]message.Queue, error) {
		return nil, &message.RouteError{Topic: topic, NameServers: []string{"ns:9876"}, Err: message.ErrNoRoute}
	}
	p := start(t, s)
	_, err := p.Send(t.Context(), msg())
	if !errors.Is(err, message.ErrNoRoute) || !message.SafeToRetry(err) || !strings.Contains(err.Error(), "orders") || !strings.Contains(err.Error(), "ns:9876") {
		t.Errorf("error %v", err)
	}
	s.queues = func(string) ([]message.Queue, error) { return nil, nil }
	if _, err = p.Send(t.Context(), msg()); !errors.Is(err, message.ErrUnreachable) {
		t.Errorf("without queues: %v", err)
	}
}

// wrong is a checker with a mistake.
type wrong struct{ producer.Checker }

func (wrong) Validate() error { return message.CheckTopic("bad topic") }

func TestARateThatIsNoNumberIsRefused(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e-300} {
		if _, err := producer.New(newScript("a"), "shop", producer.RateLimit(rate)); err == nil || !strings.Contains(err.Error(), "RateLimit") {
			t.Errorf("%v: %v", rate, err)
		}
	}
}

func TestMistakesInOptionsAreReportedTogether(t *testing.T) {
	t.Parallel()
	s := newScript("a")
	s.caps.Transactions = false
	_, err := producer.New(s, "bad group", nil, producer.Retries(-1), producer.SendTimeout(0), producer.AttemptTimeout(-1),
		producer.MaxMessageSize(0), producer.MaxInFlight(0), producer.MaxInFlightBytes(-1), producer.CallbackWorkers(0),
		producer.Breaker(producer.BreakerSettings{Failures: -1, OpenFor: -1}), producer.Transactions(nil), producer.Transactions(wrong{}),
		producer.RateLimit(0), producer.Compress(driver.Compression{Over: -1, Kind: driver.Zstd, Level: 23}))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"bad group", "1 of the options are nil", "Retries", "SendTimeout", "AttemptTimeout", "MaxMessageSize", "MaxInFlight(", "MaxInFlightBytes", "CallbackWorkers", "Failures", "OpenFor", "RateLimit(0)", "Over -1", "Level 23: want 1 to 22", "zstd is not supported", "checker is nil", "given 2 times", "not supported", "bad topic"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not mentioned: %s in\n%v", want, err)
		}
	}
	if !errors.Is(err, message.ErrInvalidGroup) || !errors.Is(err, message.ErrUnsupported) || !errors.Is(err, message.ErrInvalidTopic) {
		t.Errorf("sentinels are missing: %v", err)
	}
	if _, err := producer.New(s, ""); err == nil || !strings.Contains(err.Error(), "configure producer.group") {
		t.Errorf("without a group: %v, want to hear where one is set", err)
	}
}
