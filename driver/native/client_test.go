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
	}{
		{"no name server", driver.Config{}},
		{"an empty address", driver.Config{NameServers: []string{""}}},
		{"an access key without its secret", driver.Config{NameServers: []string{"a:1"}, Credentials: driver.Credentials{AccessKey: "k"}}},
		{"a secret without its access key", driver.Config{NameServers: []string{"a:1"}, Credentials: driver.Credentials{SecretKey: "s", SecurityToken: "t"}}},
	}
	for _, tt := range tests {
		if _, err := Factory(t.Context(), tt.cfg); err == nil {
			t.Errorf("%s was taken", tt.name)
		}
	}
}

func TestRequestsOfABrokerThatAreNotSupportedAreAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		conns := b.greeters()
		subscribe(t, c.open(), acking(), driver.SubscriptionConfig{}, "orders")
		pass(2 * time.Second)
		for _, code := range []protocol.Code{12345, 200_050} {
			cmd := protocol.ClientRequest(code)
			resp, err := conns()[0].Call(t.Context(), &cmd, nil)
			if err != nil || resp.Code != protocol.CodeNotSupported || resp.Remark == "" {
				t.Errorf("%d: %+v, %v", code, resp, err)
			}
		}
		// And nonsense does no harm.
		for _, code := range []protocol.Code{
			protocol.NotifyConsumersChanged, protocol.CheckTransactionState, protocol.ResetClientOffset,
			protocol.GetClientRunningInfo, protocol.GetClientStatus, protocol.ConsumeDirectly, protocol.PushReply,
		} {
			cmd := protocol.ClientRequest(code)
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
		ask := func(s *sender) error { _, err := s.c.routes.forSending(t.Context(), "orders"); return err }
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
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait) // when nothing is delivered any more
	sink := &collector{handle: func(d delivery) {
		wg.Go(func() { d.ack() }) // as handlers do: not on the queue's goroutine
		arrived <- struct{}{}
	}}
	sub := subscribe(t, cl, sink, driver.SubscriptionConfig{From: driver.FromFirst, CommitInterval: time.Millisecond}, "orders")
	s := newSender(t, cl)
	const senders, each = 8, 50
	// Apart from the senders, lest what these lock puts everything in order.
	sending, looked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(looked)
		for {
			select {
			case <-sending:
				return
			case <-time.After(time.Millisecond):
			}
			c.brokers["a"].notify("group")
			cl.routes.refresh("orders")
		}
	}()
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for i := range each {
				qs, err := s.Queues(t.Context(), "orders")
				if err != nil {
					t.Error(err)
					return
				}
				if got := <-s.startTest(t.Context(), qs[i%len(qs)], outgoing(s, "orders", "x")); got.err != nil {
					t.Error(got.err)
				}
			}
		})
	}
	all.Wait()
	close(sending)
	<-looked
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
		<-arrived
	}
}
