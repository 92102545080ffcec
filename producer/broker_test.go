package producer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// cluster is a name server and brokers in a bubble, on a network that can fail.
type cluster struct {
	t       *testing.T
	net     *brokerlite.Network
	names   *brokerlite.Broker
	brokers map[string]*brokerlite.Broker
}

// inCluster runs f in a bubble with brokers of these names.
func inCluster(t *testing.T, brokers []string, f func(*testing.T, *cluster), opts ...brokerlite.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{t: t, net: brokerlite.NewNetwork(), brokers: map[string]*brokerlite.Broker{}}
		c.names = c.begin(brokerlite.WithRole(brokerlite.RoleNameServer))
		for _, name := range brokers {
			c.brokers[name] = c.begin(append([]brokerlite.Option{
				brokerlite.WithRole(brokerlite.RoleBroker), brokerlite.Name(name, "c"), brokerlite.NameServers(c.names.NameServer()),
			}, opts...)...)
		}
		synctest.Wait() // until they are registered
		f(t, c)
	})
}

func (c *cluster) begin(opts ...brokerlite.Option) *brokerlite.Broker {
	c.t.Helper()
	b, err := brokerlite.Start(c.t.Context(), append(opts, brokerlite.InMemory(), brokerlite.VirtualNetwork(c.net))...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { c.end(b) })
	return b
}

func (c *cluster) end(b *brokerlite.Broker) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		c.t.Error(err)
	}
}

func (c *cluster) producer(opts ...producer.Option) *producer.Producer {
	c.t.Helper()
	client, err := rocketkit.Open(c.t.Context(), rocketkit.Config{NameServers: []string{c.names.NameServer()}}, rocketkit.WithDial(c.net.Dial))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := client.Close(); err != nil {
			c.t.Error(err)
		}
	})
	p, err := client.NewProducer("pay_group", opts...)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// warm sends until every broker has been sent to, so that routes are known and
// connections are up.
func (c *cluster) warm(p *producer.Producer) {
	c.t.Helper()
	seen := map[string]bool{}
	for range 100 {
		r, err := p.Send(c.t.Context(), msg())
		if err != nil {
			c.t.Fatal(err)
		}
		if seen[r.Queue.Broker] = true; len(seen) == len(c.brokers) {
			return
		}
	}
	c.t.Fatalf("only %v of %d brokers were sent to", seen, len(c.brokers))
}

// real are the ways that send one message to a real server.
var real = map[string]func(context.Context, *producer.Producer, *message.Message) (message.SendResult, error){
	"sync": ways["sync"], "async": ways["async"],
}

func TestSendsGoOnWhenABrokerIsGone(t *testing.T) {
	t.Parallel()
	for way, send := range real {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			inCluster(t, []string{"broker-a", "broker-b"}, func(t *testing.T, c *cluster) {
				// What is written to a broker that then goes is of unknown outcome;
				// here nothing is under way at that moment.
				p := c.producer()
				c.warm(p)
				c.net.Cut(c.brokers["broker-a"].Addr())
				synctest.Wait()
				for range 20 {
					r, err := send(t.Context(), p, msg())
					if err != nil || r.Queue.Broker != "broker-b" {
						t.Errorf("%v, %v", r, err)
					}
				}
				c.net.Restore(c.brokers["broker-a"].Addr())
				<-time.After(time.Minute)
				c.warm(p)
			})
		})
	}
}

// Two brokers over the real driver: the one that is cut off gets no message until it has
// answered a probe.
func TestABrokerThatIsGoneIsProbed(t *testing.T) {
	t.Parallel()
	inCluster(t, []string{"broker-a", "broker-b"}, func(t *testing.T, c *cluster) {
		var gone atomic.Int32
		p := c.producer(producer.AvoidSlow(), producer.NoBreaker(), producer.Intercept(producer.Interceptor{
			After: func(_ context.Context, _ *driver.Outgoing, r message.SendResult, err error) {
				if err != nil || r.Queue.Broker == "broker-a" {
					gone.Add(1)
				}
			},
		}))
		c.warm(p)
		addr := c.brokers["broker-a"].Addr()
		c.net.Cut(addr)
		synctest.Wait()
		sendSlowly(t, p, 3) // one of them finds it gone, and goes elsewhere
		gone.Store(0)
		if sendSlowly(t, p, 60) > 0 || gone.Load() > 0 {
			t.Errorf("%d messages failed or went to the broker that is gone", gone.Load())
		}
		c.net.Restore(addr)
		sendSlowly(t, p, 40) // a probe half a minute later at most
		c.warm(p)
		if gone.Load() == 0 {
			t.Error("no message goes to the broker that is back")
		}
	})
}

func TestTheOnlyBrokersAddressIsNamedWhenItIsGone(t *testing.T) {
	t.Parallel()
	for way, send := range real {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			inCluster(t, []string{"broker-a"}, func(t *testing.T, c *cluster) {
				p := c.producer(producer.Retries(0)) // later attempts find that the route is gone too
				c.warm(p)
				addr := c.brokers["broker-a"].Addr()
				c.net.Cut(addr)
				synctest.Wait()
				_, err := send(t.Context(), p, msg())
				if !errors.Is(err, message.ErrUnreachable) || !message.SafeToRetry(err) || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "brokerIP1") {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

// A host that vanishes answers nothing and refuses nothing.
func TestASilentBrokerCostsOneTimeOutAndIsAvoided(t *testing.T) {
	t.Parallel()
	for way, send := range real {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			inCluster(t, []string{"broker-a", "broker-b"}, func(t *testing.T, c *cluster) {
				p := c.producer()
				c.warm(p)
				c.net.Freeze(c.brokers["broker-a"].Addr())
				failed := 0
				for range 20 {
					begun := time.Now()
					_, err := send(t.Context(), p, msg())
					if err == nil {
						continue
					}
					failed++
					if !errors.Is(err, message.ErrOutcomeUnknown) || message.SafeToRetry(err) || time.Since(begun) != 3*time.Second {
						t.Errorf("after %s: %v", time.Since(begun), err)
					}
				}
				if failed != 1 {
					t.Errorf("%d sends failed, want only the first to the silent broker", failed)
				}
			})
		})
	}
}

func TestASilentBrokerIsPassedOverWhenDuplicatesAreAccepted(t *testing.T) {
	t.Parallel()
	for way, send := range real {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			inCluster(t, []string{"broker-a", "broker-b"}, func(t *testing.T, c *cluster) {
				p := c.producer(producer.AttemptTimeout(time.Second), producer.RetryUnknownOutcome())
				c.warm(p)
				c.net.Freeze(c.brokers["broker-a"].Addr())
				begun := time.Now()
				for range 20 {
					if r, err := send(t.Context(), p, msg()); err != nil || r.Queue.Broker != "broker-b" {
						t.Errorf("%v, %v", r, err)
					}
				}
				if took := time.Since(begun); took < time.Second || took > 3*time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestAnEndedContextHarmsNoOtherSend(t *testing.T) {
	t.Parallel()
	inCluster(t, []string{"broker-a"}, func(t *testing.T, c *cluster) {
		p := c.producer()
		c.warm(p)
		addr := c.brokers["broker-a"].Addr()
		c.net.Freeze(addr)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var patient, impatient atomic.Int32
		for range 10 {
			wg.Go(func() {
				_, err := p.Send(ctx, msg())
				if !errors.Is(err, context.Canceled) || !errors.Is(err, message.ErrOutcomeUnknown) {
					t.Errorf("the impatient: %v", err)
				}
				impatient.Add(1)
			})
			wg.Go(func() {
				if _, err := p.Send(t.Context(), msg()); err != nil {
					t.Errorf("the patient: %v", err)
				}
				patient.Add(1)
			})
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if impatient.Load() != 10 || patient.Load() != 0 {
			t.Errorf("%d and %d sends have ended", impatient.Load(), patient.Load())
		}
		c.net.Restore(addr)
		wg.Wait()
	})
}

func TestWithoutANameServerNothingIsSent(t *testing.T) {
	t.Parallel()
	inCluster(t, nil, func(t *testing.T, c *cluster) {
		c.net.Cut(c.names.NameServer())
		p := c.producer()
		_, err := p.Send(t.Context(), msg())
		if !errors.Is(err, message.ErrNoNameServer) || !message.SafeToRetry(err) || !strings.Contains(err.Error(), c.names.NameServer()) {
			t.Errorf("error %v", err)
		}
		if _, err := async(t.Context(), p, msg()); !errors.Is(err, message.ErrNoNameServer) {
			t.Errorf("async: %v", err)
		}
	})
}

func TestAMissingTopicIsNamedWithTheRemedy(t *testing.T) {
	t.Parallel()
	inCluster(t, []string{"broker-a"}, func(t *testing.T, c *cluster) {
		p := c.producer()
		_, err := p.Send(t.Context(), msg())
		if !errors.Is(err, message.ErrNoRoute) || !message.SafeToRetry(err) {
			t.Errorf("error %v", err)
		}
		for _, want := range []string{"No route info of this topic", "orders", c.names.NameServer(), "autoCreateTopicEnable"} {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("not mentioned: %s in %v", want, err)
			}
		}
	}, brokerlite.AutoCreateTopics(false))
}

// A broker that is cut off while messages flow: every callback comes, and says stored or
// not known, the latter of no more than were under way.
func TestManySendsWhileABrokerIsCutOff(t *testing.T) {
	t.Parallel()
	inCluster(t, []string{"broker-a", "broker-b"}, func(t *testing.T, c *cluster) {
		p := c.producer(producer.MaxInFlight(64))
		c.warm(p)
		var stored, unknown atomic.Int32
		const n = 2000
		for i := range n {
			if i == n/2 {
				c.net.Cut(c.brokers["broker-a"].Addr())
			}
			p.SendAsync(t.Context(), msg(), func(_ context.Context, _ message.SendResult, err error) {
				switch {
				case err == nil:
					stored.Add(1)
				case errors.Is(err, message.ErrOutcomeUnknown) && !message.SafeToRetry(err):
					unknown.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		if err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if s, u := stored.Load(), unknown.Load(); s+u != n || u > 64 {
			t.Errorf("%d stored and %d unknown of %d", s, u, n)
		}
	})
}

func TestAStopEndsSoonAfterTheSendTimeoutOfASilentBroker(t *testing.T) {
	t.Parallel()
	inCluster(t, []string{"broker-a"}, func(t *testing.T, c *cluster) {
		p := c.producer()
		c.warm(p)
		addr := c.brokers["broker-a"].Addr()
		c.net.Freeze(addr)
		var got error
		p.SendAsync(t.Context(), msg(), func(_ context.Context, _ message.SendResult, err error) { got = err })
		synctest.Wait()
		begun := time.Now()
		if err := p.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > 4*time.Second || !errors.Is(got, message.ErrOutcomeUnknown) {
			t.Errorf("after %s: %v", took, got)
		}
		c.net.Restore(addr)
	})
}
