package native

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

func TestRefusesConfigsThatCannotWork(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		cfg  driver.Config
		want error
	}{
		{"no name server", driver.Config{}, nil},
		{"an empty address", driver.Config{NameServers: []string{""}}, nil},
		{"credentials, which nobody would sign with", driver.Config{NameServers: []string{"a:1"}, Credentials: driver.Credentials{AccessKey: "k"}}, message.ErrUnsupported},
	}
	for _, tt := range tests {
		_, err := Factory(t.Context(), tt.cfg)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

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

func TestLookupsOfOneTopicAreShared(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		c.net.Freeze(nameServer)
		s := newSender(t, c.open())
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := s.Queues(t.Context(), "orders"); err != nil {
					t.Error(err)
				}
			})
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
		if len(c.asked) != 1 {
			t.Errorf("the name server was asked %d times", len(c.asked))
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
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); !isCode(err, protocol.TopicNotExist) {
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

// However many sends fail for it, a name server is asked twice a second at most.
func TestRefreshesArePaced(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		c.brokers["a"].refuse(protocol.SendMessageV2, protocol.TopicNotExist)
		s := newSender(t, c.open())
		for range 100 {
			if _, err := s.sendTest(t, outgoing(s, "orders", "x")); !isCode(err, protocol.TopicNotExist) {
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

func TestHeartbeats(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		cl := c.open()
		s := newSender(t, cl)
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		beats := func() []received { return b.requests(protocol.Heartbeat) }
		n := len(beats())
		if n == 0 {
			t.Fatal("the broker was not greeted")
		}
		if beats()[0].at.After(b.requests(protocol.SendMessageV2)[0].at) {
			t.Error("greeted after the first message")
		}
		pass(time.Minute)
		if got := len(beats()) - n; got != 2 {
			t.Errorf("%d heartbeats in a minute, want 2", got)
		}
		n = len(beats())
		subscribe(t, cl, acking(), driver.SubscriptionConfig{}, "orders")
		pass(time.Second)
		if got := beats(); len(got) == n || !strings.Contains(string(got[n].body), `"groupName":"group"`) {
			t.Error("not greeted when a group came")
		}
		n = len(beats())
		c.net.Cut(b.addr)
		pass(10 * time.Second)
		c.net.Restore(b.addr)
		pass(10 * time.Second)
		if len(beats()) == n {
			t.Error("not greeted when the broker was back")
		}
		var data protocol.HeartbeatData
		if err := protocol.DecodeBody(beats()[n].body, &data); err != nil {
			t.Fatal(err)
		}
		if data.ClientID != cl.id || len(data.Producers) != 1 || len(data.Consumers) != 1 || len(data.Consumers[0].Subscriptions) != 2 {
			t.Errorf("%+v", data)
		}
	})
}

func TestSlavesAreGreetedForConsumersOnly(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		slave := c.startSlave("a", "10.0.0.2:10911")
		c.addTopic("orders", 1)
		cl := c.open()
		s := newSender(t, cl)
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if n := len(slave.requests(protocol.Heartbeat)); n != 0 {
			t.Errorf("%d heartbeats of a producer", n)
		}
		sub := subscribe(t, cl, acking(), driver.SubscriptionConfig{}, "orders")
		pass(2 * time.Second)
		if ids := slave.memberIDs("group"); len(ids) != 1 {
			t.Errorf("the slave knows %v", ids)
		}
		if err := sub.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if ids := slave.memberIDs("group"); len(ids) != 0 {
			t.Errorf("the slave knows %v after the end", ids)
		}
	})
}

// A host that vanishes ends no connection: its client must.
func TestAVanishedBrokersConnectionIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		s := newSender(t, c.open())
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		c.net.Freeze(b.addr)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		got := <-s.startTest(ctx, message.Queue{Topic: "orders", Broker: "a"}, outgoing(s, "orders", "x"))
		if !errors.Is(got.err, message.ErrOutcomeUnknown) {
			t.Error(got.err)
		}
		if d := time.Since(begin); d > defaultInterval+3*defaultRequestTimeout {
			t.Errorf("waited %s", d)
		}
		c.net.Restore(b.addr)
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Errorf("once the broker was back: %v", err)
		}
	})
}

func TestOneLateHeartbeatHarmsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		cl := c.open()
		s := newSender(t, cl)
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		conn := cl.brokers.get(b.addr).ready()
		missed := 0
		b.on(protocol.Heartbeat, func(*remoting.Conn, *protocol.Command) bool {
			missed++
			return missed == 1
		})
		pass(2 * time.Minute)
		if missed < 3 || cl.brokers.get(b.addr).ready() != conn {
			t.Errorf("after %d heartbeats the connection was replaced", missed)
		}
	})
}

func TestAVanishedNameServersConnectionIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		s := newSender(t, c.open())
		if _, err := s.Queues(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		c.net.Freeze(nameServer)
		if _, err := s.Queues(t.Context(), "other"); !errors.Is(err, message.ErrNoNameServer) {
			t.Error(err)
		}
		c.net.Restore(nameServer)
		c.addTopic("other", 1)
		if _, err := s.Queues(t.Context(), "other"); err != nil {
			t.Errorf("once it was back: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.askers) != 2 {
			t.Errorf("%d connections to the name server, want a new one", len(c.askers))
		}
	})
}

// A producer that rests is known to its brokers again soon after they were lost:
// they may have questions about its transactions.
func TestALostBrokerIsGreetedAgainWithoutBeingNeeded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		s := newSender(t, c.open())
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n := len(b.requests(protocol.Heartbeat))
		c.net.Cut(b.addr)
		c.net.Restore(b.addr)
		pass(2 * time.Second)
		if len(b.requests(protocol.Heartbeat)) == n {
			t.Error("not greeted within 2 s")
		}
	})
}

func TestRequestsOfABrokerThatAreNotSupportedAreAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		conns := b.greeters()
		subscribe(t, c.open(), acking(), driver.SubscriptionConfig{}, "orders")
		pass(2 * time.Second)
		for _, code := range []protocol.Code{protocol.GetClientRunningInfo, protocol.GetClientStatus, protocol.ConsumeDirectly, 12345} {
			cmd := command(code)
			resp, err := conns()[0].Call(t.Context(), &cmd, nil)
			if err != nil || resp.Code != protocol.CodeNotSupported || resp.Remark == "" {
				t.Errorf("%d: %+v, %v", code, resp, err)
			}
		}
		// And nonsense does no harm.
		for _, code := range []protocol.Code{protocol.NotifyConsumersChanged, protocol.CheckTransactionState, protocol.ResetClientOffset} {
			cmd := command(code)
			if err := conns()[0].Oneway(t.Context(), &cmd, nil, []byte("{")); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		select {
		case <-conns()[0].Closed():
			t.Error("the connection was closed")
		default:
		}
	})
}

// Each client dials, verifies and times by its own configuration.
func TestFault16ClientsShareNoSettings(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t)
		cert, pool := certificate(t)
		l, err := c.net.Listen("10.0.0.50:9876")
		if err != nil {
			t.Fatal(err)
		}
		c.addTopic("orders", 0)
		srv := remoting.NewServer(remoting.ServerOptions{
			Options: remoting.Options{Handler: c.serveNames}, TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
		})
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		defer func() {
			if err := srv.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			<-served
		}()
		var mu sync.Mutex
		dials := make(map[string]int)
		client := func(name string, tc *tls.Config) *sender {
			return newSender(t, c.open(func(cfg *driver.Config) {
				cfg.NameServers, cfg.TLS = []string{"10.0.0.50:9876"}, tc
				cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					mu.Lock()
					dials[name]++
					mu.Unlock()
					return c.net.Dial(ctx, network, addr)
				}
			}))
		}
		plain := client("plain", nil)
		trusting := client("trusting", &tls.Config{RootCAs: pool, ServerName: "rocketkit"})
		wary := client("wary", &tls.Config{ServerName: "rocketkit"})
		ask := func(s *sender) error { _, err := s.c.routes.get(t.Context(), "orders"); return err }
		if err := ask(plain); err != nil {
			t.Errorf("plain: %v", err)
		}
		if err := ask(trusting); err != nil {
			t.Errorf("TLS with the right root: %v", err)
		}
		if err := ask(wary); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("TLS without the root: %v, want the server to be verified", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(dials) != 3 {
			t.Errorf("dials: %v", dials)
		}
	})
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "rocketkit"}, DNSNames: []string{"rocketkit"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestAClosedClientDoesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		cl := c.open()
		s := newSender(t, cl)
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		sub := subscribe(t, cl, acking(), driver.SubscriptionConfig{}, "orders")
		pass(2 * time.Second)
		for range 2 {
			if err := cl.Close(t.Context()); err != nil { // a subscription is left: it ends too
				t.Error(err)
			}
		}
		select {
		case <-sub.done:
		default:
			t.Error("the subscription goes on")
		}
		got := <-s.startTest(t.Context(), message.Queue{Topic: "orders", Broker: "a"}, outgoing(s, "orders", "x"))
		if !errors.Is(got.err, message.ErrClosed) || !message.SafeToRetry(got.err) {
			t.Errorf("send: %v", got.err)
		}
		if _, err := cl.NewSender(driver.SenderConfig{Group: "g"}); !errors.Is(err, message.ErrClosed) {
			t.Errorf("new sender: %v", err)
		}
		if _, err := s.Queues(t.Context(), "unheard"); !errors.Is(err, message.ErrClosed) {
			t.Errorf("route: %v", err)
		}
		if err := newMember(t, cl).Start(t.Context()); !errors.Is(err, message.ErrClosed) {
			t.Errorf("start: %v", err)
		}
	})
}

func newMember(t *testing.T, cl *client) driver.Subscription {
	s, err := cl.NewSubscription(driver.SubscriptionConfig{Group: "late", Topics: []driver.TopicFilter{{Topic: "orders"}}}, acking())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Everything at once, on real time, for the race detector.
func TestFault11ConcurrentUseIsFreeOfRaces(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b")
	c.addTopic("orders", 4)
	cl := c.open(func(cfg *driver.Config) {
		cfg.RouteInterval, cfg.HeartbeatInterval = 10*time.Millisecond, 10*time.Millisecond
	})
	arrived := make(chan struct{}, 10_000)
	sink := &collector{handle: func(d delivery) { d.ack(); arrived <- struct{}{} }}
	sub := subscribe(t, cl, sink, driver.SubscriptionConfig{From: driver.FromFirst, CommitInterval: time.Millisecond}, "orders")
	s := newSender(t, cl)
	var wg sync.WaitGroup
	const senders, each = 8, 50
	for range senders {
		wg.Go(func() {
			for i := range each {
				qs, err := s.Queues(t.Context(), "orders")
				if err != nil {
					t.Error(err)
					return
				}
				if got := <-s.startTest(t.Context(), qs[i%len(qs)], outgoing(s, "orders", "x")); got.err != nil {
					t.Error(got.err)
				}
				c.brokers["a"].notify("group")
				cl.routes.refresh("orders")
			}
		})
	}
	wg.Wait()
	for range senders * each {
		<-arrived
	}
	for i := range 20 { // members come and go, queues are moved
		sub.reset(map[protocol.MessageQueue]int64{{Topic: "orders", BrokerName: "a"}: 0, {Topic: "orders", BrokerName: "b"}: 1})
		if i%2 == 0 {
			c.brokers["a"].join("group", "x")
			c.brokers["b"].join("group", "x")
		} else {
			c.brokers["a"].part("group", "x")
			c.brokers["b"].part("group", "x")
		}
		c.brokers["b"].notify("group")
		<-arrived
	}
}
