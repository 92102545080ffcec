package producer_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// probed is a script whose driver can ask brokers.
type probed struct {
	*script
	probes atomic.Int32
	probe  func(ctx context.Context, q message.Queue) error
}

type probedSender struct {
	*scriptSender
	p *probed
}

func (p *probed) NewSender(driver.SenderConfig) (driver.Sender, error) {
	return &probedSender{&scriptSender{p.script}, p}, nil
}

func (s *probedSender) Probe(ctx context.Context, q message.Queue) error {
	s.p.probes.Add(1)
	return s.p.probe(ctx, q)
}

// late is a script of brokers a and b; a answers after d.
func late(d *time.Duration) *script {
	s := newScript("a", "b")
	s.send = func(_ context.Context, q message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
		if q.Broker == "a" {
			<-time.After(*d)
		}
		return driver.Receipt{}, nil
	}
	return s
}

func TestSlowBrokersAreAvoidedAsLongAsJavaAvoidsThem(t *testing.T) {
	t.Parallel()
	for took, avoided := range map[time.Duration]time.Duration{
		549 * time.Millisecond: 0, 550 * time.Millisecond: 2 * time.Second, 1800 * time.Millisecond: 5 * time.Second, 3 * time.Second: 6 * time.Second,
		5 * time.Second: 10 * time.Second, 15 * time.Second: 30 * time.Second, 20 * time.Second: 30 * time.Second,
	} {
		t.Run(took.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := took
				s := late(&d)
				p := start(t, s, producer.AvoidSlow(), producer.SendTimeout(time.Minute))
				for count(s.brokers(), "a") == 0 {
					sendMany(t, p, 1)
				}
				d = 0
				ended := time.Now()
				for count(s.brokers(), "a") == 1 {
					if avoided > 0 && time.Since(ended) > avoided+time.Second {
						t.Fatalf("still avoided after %s", time.Since(ended))
					}
					<-time.After(100 * time.Millisecond)
					sendMany(t, p, 2)
				}
				if got := time.Since(ended); got < avoided || got > avoided+200*time.Millisecond {
					t.Errorf("avoided for %s, want %s", got, avoided)
				}
			})
		})
	}
}

func TestSlowBrokersAreNotAvoidedUnlessAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := time.Second
		s := late(&d)
		p := start(t, s)
		sendMany(t, p, 20)
		if n := count(s.brokers(), "a"); n != 10 {
			t.Errorf("a was sent %d of 20, want half", n)
		}
	})
}

func TestSlowBrokersAreUsedWhenThereIsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a", "b")
		s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
			<-time.After(time.Second)
			return driver.Receipt{}, nil
		}
		p := start(t, s, producer.AvoidSlow())
		if failed := sendMany(t, p, 20); failed > 0 {
			t.Errorf("%d sends failed", failed)
		}
		if a, b := count(s.brokers(), "a"), count(s.brokers(), "b"); a < 8 || b < 8 {
			t.Errorf("%d went to a and %d to b", a, b)
		}
	})
}

// No message tries a broker that failed before it has answered a probe.
func TestABrokerThatFailedIsProbedBeforeMessagesGoThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &probed{script: newScript("a", "b")}
		sick := true
		failing(s.script, unreachable(), &sick)
		s.probe = func(_ context.Context, q message.Queue) error {
			if q.Broker != "a" || q.Topic != "orders" {
				t.Errorf("probed by %v", q)
			}
			if sick {
				return unreachable()
			}
			return nil
		}
		p := start(t, s, producer.NoBreaker(), producer.AvoidSlow())
		if sendSlowly(t, p, 60) != 0 {
			t.Error("sends failed although b is well")
		}
		if n := count(s.brokers(), "a"); n != 1 {
			t.Errorf("a was tried %d times, want once", n)
		}
		if n := s.probes.Load(); n < 4 || n > 8 { // after 1, 2, 4, 8, 16, 30 seconds
			t.Errorf("a was probed %d times in a minute", n)
		}
		sick = false
		if sendSlowly(t, p, 90) != 0 {
			t.Error("sends failed although both are well")
		}
		if n := count(s.brokers(), "a"); n < 20 {
			t.Errorf("a was tried %d times after it was well again", n)
		}
	})
}

func TestOneProbeIsUnderWayAndEndsWithTheProducer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end  func(*producer.Producer) error
		took time.Duration
	}{
		"stop":  {func(p *producer.Producer) error { return p.Stop(context.Background()) }, 0},
		"drain": {func(p *producer.Producer) error { return p.Drain(context.Background()) }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &probed{script: newScript("a", "b")}
				sick := true
				failing(s.script, unreachable(), &sick)
				s.probe = func(ctx context.Context, _ message.Queue) error {
					<-ctx.Done()
					return ctx.Err()
				}
				p := start(t, s, producer.NoBreaker(), producer.AvoidSlow())
				sendMany(t, p, 10)
				<-time.After(time.Second)
				sendMany(t, p, 10)
				synctest.Wait()
				if n := s.probes.Load(); n != 1 {
					t.Errorf("%d probes", n)
				}
				begun := time.Now()
				if err := tt.end(p); err != nil || time.Since(begun) != tt.took {
					t.Errorf("%v, after %s", err, time.Since(begun))
				}
			})
		})
	}
}

func TestAvoidSlowNeedsFaultAvoidance(t *testing.T) {
	t.Parallel()
	if _, err := producer.New(newScript("a"), "pay_group", producer.AvoidSlow(), producer.FaultAvoidance(false)); err == nil {
		t.Error("no error")
	}
}

func BenchmarkSendAvoidingSlow(b *testing.B) {
	p := start(b, newNoop(), producer.AvoidSlow())
	m := msg()
	b.SetBytes(int64(len(m.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Send(context.Background(), m); err != nil {
			b.Fatal(err)
		}
	}
}
