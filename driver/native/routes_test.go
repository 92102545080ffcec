package native

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

func TestFindsANameServerThatAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		servers := []string{"10.0.0.90:9876", "10.0.0.91:9876", nameServer, "10.0.0.92:9876"}
		for range 8 { // the first one is chosen at random
			s := newSender(t, c.open(func(cfg *driver.Config) { cfg.NameServers = servers }))
			if _, err := s.Queues(t.Context(), "orders"); err != nil {
				t.Fatal(err)
			}
			if at := servers[s.c.names.at.Load()]; at != nameServer {
				t.Errorf("goes on with %s", at)
			}
		}
	})
}

// A broker's address among name servers is a common slip. The others are asked; and where
// there is no other, the log and the probes say it, and not only who sends.
func TestABrokersAddressIsNoNameServer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.refuse(protocol.GetRouteInfo, protocol.CodeNotSupported)
		for range 8 { // the first one is chosen at random
			s := newSender(t, c.open(func(cfg *driver.Config) { cfg.NameServers = []string{b.addr, nameServer} }))
			if _, err := s.Queues(t.Context(), "orders"); err != nil {
				t.Fatal(err)
			}
		}
		cl := c.open(func(cfg *driver.Config) { cfg.NameServers = []string{b.addr} })
		subscribe(t, cl, acking(), driver.SubscriptionConfig{}, "orders")
		pass(10 * time.Second)
		const want = "is it a broker's address (10911 by default) where a name server's belongs (9876)?"
		if err := cl.Servers()[0].Err; !errors.Is(err, message.ErrNoNameServer) || !strings.Contains(err.Error(), want) {
			t.Errorf("told %v", err)
		}
		if n := strings.Count(c.logs.String(), "level=WARN"); n != 1 || !strings.Contains(c.logs.String(), want) {
			t.Errorf("%d warnings\n%s", n, c.logs)
		}
	})
}

// A name server that answers, but not what was asked, is in the log too.
func TestARefusedLookUpIsComplainedAbout(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		b := c.brokers["a"] // which plays the name server
		b.refuse(protocol.GetRouteInfo, protocol.NoPermission)
		subscribe(t, c.open(func(cfg *driver.Config) { cfg.NameServers = []string{b.addr} }), acking(), driver.SubscriptionConfig{}, "orders")
		pass(150 * time.Second)
		if n := strings.Count(c.logs.String(), `level=WARN msg="a topic's brokers could not be looked up; trying again" topic=orders`); n < 2 || n > 3 {
			t.Errorf("%d warnings within 150 s\n%s", n, c.logs)
		}
	})
}

func TestNamesEveryNameServerThatCannotBeReached(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t)
		servers := []string{"10.0.0.90:9876", nameServer}
		c.net.Cut(nameServer)
		s := newSender(t, c.open(func(cfg *driver.Config) { cfg.NameServers = servers }))
		_, err := s.Queues(t.Context(), "orders")
		var re *message.RouteError
		if !errors.As(err, &re) || !errors.Is(err, message.ErrNoNameServer) || re.Topic != "orders" || !message.SafeToRetry(err) {
			t.Fatalf("%v", err)
		}
		for _, a := range servers {
			if !strings.Contains(err.Error(), a+": ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q does not say why %s failed, on one line", err, a)
			}
		}
	})
}

func TestANameServerThatIsSilentIsLeft(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		c.listen("10.0.0.90:9876", func(*remoting.Conn, *protocol.Command) {})
		s := newSender(t, c.open(func(cfg *driver.Config) { cfg.NameServers = []string{"10.0.0.90:9876", nameServer} }))
		begin := time.Now()
		if _, err := s.Queues(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d > defaultRequestTimeout {
			t.Errorf("took %s", d)
		}
	})
}

func TestTopicsThatDoNotExist(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		s := newSender(t, c.open())
		_, err := s.Queues(t.Context(), "fresh")
		var re *message.RouteError
		if !errors.As(err, &re) || !errors.Is(err, message.ErrNoRoute) || re.Topic != "fresh" {
			t.Errorf("without auto-create: %v", err)
		}

		c.addTopic(protocol.DefaultTopic, 8, "b")
		qs, err := s.Queues(t.Context(), "fresh")
		if err != nil || len(qs) != autoQueues || qs[0] != (message.Queue{Topic: "fresh", Broker: "b"}) {
			t.Fatalf("with auto-create: %v, %v", qs, err)
		}
		if got := <-s.startTest(t.Context(), qs[3], outgoing(s, "fresh", "x")); got.err != nil {
			t.Errorf("the first message: %v", got.err)
		}

		c.addTopic("fresh", 2, "a")
		pass(defaultInterval + time.Second)
		if qs, err := s.Queues(t.Context(), "fresh"); err != nil || len(qs) != 2 || qs[0].Broker != "a" {
			t.Errorf("once it exists: %v, %v", qs, err)
		}
	})
}

// A broker tells the name servers after its answer, or while it is busy.
func TestATopicThatWasJustMadeIsWaitedFor(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		c.addTopic(protocol.DefaultTopic, 8)
		cl := c.open()
		begun := time.Now()
		if _, err := cl.ReadQueues(t.Context(), "fresh"); !errors.Is(err, message.ErrNoRoute) || time.Since(begun) > 0 {
			t.Errorf("nobody has made it: %v after %v", err, time.Since(begun))
		}
		s := newSender(t, cl)
		qs, err := s.Queues(t.Context(), "fresh")
		if err != nil {
			t.Fatal(err)
		}
		if got := <-s.startTest(t.Context(), qs[0], outgoing(s, "fresh", "x")); got.err != nil {
			t.Fatal(got.err)
		}
		impatient, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		if _, err := cl.ReadQueues(impatient, "fresh"); !errors.Is(err, message.ErrNoRoute) {
			t.Errorf("for 5 ms: %v", err)
		}
		time.AfterFunc(300*time.Millisecond, func() { c.addTopic("fresh", 2) })
		if qs, err := cl.ReadQueues(t.Context(), "fresh"); err != nil || len(qs) != 4 {
			t.Errorf("made by our message: %v, %v", qs, err)
		}
	})
}

// Its queues are not where their names say, and its records' offsets are not the queues'.
func TestStaticTopicsAreRefused(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		c.addTopic("orders", 2)
		c.static = map[string]bool{"orders": true}
		cl := c.open()
		_, err := newSender(t, cl).Queues(t.Context(), "orders")
		if !errors.Is(err, message.ErrUnsupported) || !strings.Contains(err.Error(), "static topic") {
			t.Errorf("to send to it: %v", err)
		}
		if _, err := cl.ReadQueues(t.Context(), "orders"); !errors.Is(err, message.ErrUnsupported) {
			t.Errorf("to read it: %v", err)
		}
		c.brokers["a"].produce(message.Queue{Topic: "orders", Broker: "a"}, 1)
		subscribe(t, cl, acking(), driver.SubscriptionConfig{}, "orders")
		pass(time.Minute)
		if n := len(c.brokers["a"].requests(protocol.PullMessage)); n > 0 {
			t.Errorf("%d pulls", n)
		}
		if !strings.Contains(c.logs.String(), "static topic") {
			t.Errorf("a consumer's log does not say it: %s", c.logs)
		}
	})
}

func TestLookupsOfOneTopicAreShared(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		c.addTopic(protocol.DefaultTopic, 1)
		c.net.Freeze(nameServer)
		s := newSender(t, c.open())
		var wg sync.WaitGroup
		for range 50 {
			for _, topic := range []string{"orders", "fresh"} {
				wg.Go(func() {
					if _, err := s.Queues(t.Context(), topic); err != nil {
						t.Error(err)
					}
				})
			}
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.Queues(impatient, "orders"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a ctx that ended: %v", err)
		}
		c.net.Restore(nameServer)
		wg.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		slices.Sort(c.asked)
		if diff := cmp.Diff([]string{protocol.DefaultTopic, "fresh", "orders"}, c.asked); diff != "" {
			t.Errorf("the name server was asked: %s", diff)
		}
	})
}

func TestRoutesAreRefreshed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		c.addTopic("orders", 1, "a")
		s := newSender(t, c.open())
		queues := func() int {
			qs, err := s.Queues(t.Context(), "orders")
			if err != nil {
				t.Fatal(err)
			}
			return len(qs)
		}
		if n := queues(); n != 1 {
			t.Fatalf("%d queues", n)
		}
		c.addTopic("orders", 2, "a")
		if pass(29 * time.Second); queues() != 1 {
			t.Error("refreshed before the interval")
		}
		if pass(2 * time.Second); queues() != 2 {
			t.Error("not refreshed after 30 s")
		}
		// At once when a broker says that the topic is not there.
		c.addTopic("orders", 3, "b")
		c.brokers["a"].refuse(protocol.SendMessageV2, protocol.TopicNotExist)
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); !answer.IsCode(err, protocol.TopicNotExist) {
			t.Error(err)
		}
		if synctest.Wait(); queues() != 3 {
			t.Error("not refreshed at once")
		}
		// What a name server that was restarted does not know is kept.
		c.mu.Lock()
		delete(c.topics, "orders")
		c.mu.Unlock()
		if pass(time.Minute); queues() != 3 {
			t.Error("forgotten")
		}
	})
}

// What is asked for all the time holds up no other topic.
func TestARefreshWaitsForNoOtherTopic(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		c.addTopic("busy", 1, "a")
		c.addTopic("orders", 1, "a")
		c.brokers["a"].refuse(protocol.SendMessageV2, protocol.TopicNotExist)
		s := newSender(t, c.open())
		fail := func(topic string) {
			t.Helper()
			if _, err := s.sendTest(t, outgoing(s, topic, "x")); !answer.IsCode(err, protocol.TopicNotExist) {
				t.Error(err)
			}
		}
		if _, err := s.Queues(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		for range 10 {
			fail("busy")
			pass(70 * time.Millisecond)
		}
		c.addTopic("orders", 3, "b")
		fail("busy")
		fail("orders")
		synctest.Wait()
		if qs, err := s.Queues(t.Context(), "orders"); err != nil || len(qs) != 3 {
			t.Errorf("not refreshed at once: %v, %v", qs, err)
		}
	})
}

// However many topics are asked for, a name server that is gone is dialled twice a
// second at most.
func TestRefreshesWithoutANameServerArePaced(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		var dials atomic.Int32
		s := newSender(t, c.open(func(cfg *driver.Config) {
			cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if address == nameServer {
					dials.Add(1)
				}
				return c.net.Dial(ctx, network, address)
			}
		}))
		for i := range 20 {
			topic := fmt.Sprint("t", i)
			c.addTopic(topic, 1, "a")
			if _, err := s.Queues(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
		}
		c.net.Cut(nameServer)
		c.brokers["a"].refuse(protocol.SendMessageV2, protocol.TopicNotExist)
		dials.Store(0)
		for i := range 100 {
			if _, err := s.sendTest(t, outgoing(s, fmt.Sprint("t", i%20), "x")); !answer.IsCode(err, protocol.TopicNotExist) {
				t.Error(err)
			}
			pass(20 * time.Millisecond)
		}
		if n := dials.Load(); n < 2 || n > 6 {
			t.Errorf("dialled %d times in 2 s", n)
		}
	})
}

// A consumer that is told a wrong address, or a topic that is not there, would be silent
// without.
func TestTheLogSaysWhatAConsumerWaitsFor(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		said := func(level, msg string) int {
			return strings.Count(c.logs.String(), "level="+level+" msg=\""+msg)
		}
		subscribe(t, c.open(), acking(), driver.SubscriptionConfig{}, "misspelt", "%DLQ%pay")
		pass(time.Minute)
		if n := said("INFO", "no dead letters yet"); n != 1 {
			t.Errorf("said %d times that there are no dead letters\n%s", n, c.logs)
		}
		if n := said("INFO", "a topic does not exist yet"); n != 1 {
			t.Errorf("said %d times that a topic is missing\n%s", n, c.logs)
		}
		if n := said("WARN", "no name server answers"); n != 0 {
			t.Errorf("said %d times that no name server answers, and it does", n)
		}
		c.net.Cut(nameServer)
		pass(2 * time.Minute)
		if n := said("WARN", "no name server answers"); n < 1 || n > 3 {
			t.Errorf("said %d times in 2 minutes that no name server answers\n%s", n, c.logs)
		}
	})
}

// Whether a name server is back is known within seconds, by the log and by what probes ask,
// and not when routes would be looked up again anyway.
func TestANameServerThatIsBackIsNoticed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1, "a")
		cl := c.open()
		if _, err := newSender(t, cl).Queues(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		c.net.Cut(nameServer)
		pass(10 * time.Minute)
		if err := cl.Servers()[0].Err; !errors.Is(err, message.ErrNoNameServer) {
			t.Fatalf("told %v of a name server that is gone", err)
		}
		c.net.Restore(nameServer)
		c.addTopic("orders", 2, "a")
		pass(6 * time.Second)
		if err := cl.Servers()[0].Err; err != nil {
			t.Errorf("told %v of one that has been back for 6 s", err)
		}
		if n := strings.Count(c.logs.String(), "a name server answers again"); n != 1 {
			t.Errorf("said %d times that it answers again\n%s", n, c.logs)
		}
		if qs, err := newSender(t, cl).Queues(t.Context(), "orders"); err != nil || len(qs) != 2 {
			t.Errorf("routes were not looked up when it was back: %v, %v", qs, err)
		}
	})
}

// However many sends fail for it, a name server is asked twice a second at most.
func TestRefreshesArePaced(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		c.brokers["a"].refuse(protocol.SendMessageV2, protocol.TopicNotExist)
		s := newSender(t, c.open())
		for range 100 {
			if _, err := s.sendTest(t, outgoing(s, "orders", "x")); !answer.IsCode(err, protocol.TopicNotExist) {
				t.Error(err)
			}
			pass(20 * time.Millisecond)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := len(c.asked); n < 4 || n > 6 {
			t.Errorf("asked %d times in 2 s", n)
		}
	})
}
