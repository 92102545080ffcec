package register

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/broker-lite/internal/namesrv"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/internal/remoting/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nameServer is a real one on the virtual network; around, when set, sees each
// request first and may answer it.
type nameServer struct {
	t      *testing.T
	addr   string
	srv    *remoting.Server
	ns     *namesrv.NameServer
	served chan error
	around func(c *remoting.Conn, cmd *protocol.Command) (done bool)

	mu    sync.Mutex // guards the following
	times map[protocol.Code][]time.Time
}

func listen(t *testing.T, network *memnet.Network, addr string, around func(*remoting.Conn, *protocol.Command) bool) *nameServer {
	t.Helper()
	ns, err := namesrv.New(namesrv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := &nameServer{t: t, ns: ns, served: make(chan error, 1), around: around, times: map[protocol.Code][]time.Time{}}
	n.srv = remoting.NewServer(remoting.ServerOptions{Options: remoting.Options{Handler: n.handle, OnClose: n.ns.ConnClosed}})
	l, err := network.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	n.addr = l.Addr().String()
	go func() { n.served <- n.srv.Serve(l) }()
	t.Cleanup(n.stop)
	return n
}

func (n *nameServer) handle(c *remoting.Conn, cmd *protocol.Command) {
	n.mu.Lock()
	n.times[cmd.Code] = append(n.times[cmd.Code], time.Now())
	n.mu.Unlock()
	if n.around == nil || !n.around(c, cmd) {
		n.ns.Handle(c, cmd)
	}
}

// stop may be called before the test's end.
func (n *nameServer) stop() {
	if n.srv == nil {
		return
	}
	if err := n.srv.Shutdown(context.Background()); err != nil {
		n.t.Error(err)
	}
	if err := <-n.served; err != nil {
		n.t.Error(err)
	}
	n.ns.Close()
	n.srv = nil
}

func (n *nameServer) count(code protocol.Code) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.times[code])
}

type logBuffer struct {
	mu sync.Mutex // guards the following
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// harness is a broker that registers.
type harness struct {
	t      *testing.T
	net    *memnet.Network
	client *remoting.Client
	log    *logBuffer
	*Registrar

	mu     sync.Mutex // guards the following
	topics protocol.TopicConfigTable
}

func start(t *testing.T, network *memnet.Network, change func(*Options), servers ...string) *harness {
	t.Helper()
	h := &harness{t: t, net: network, log: new(logBuffer)}
	h.client = remoting.NewClient(remoting.ClientOptions{Dial: network.Dial})
	h.set("TBW102", "t0")
	o := Options{
		Client: h.client, NameServers: servers, Logger: slog.New(slog.NewTextHandler(h.log, nil)),
		ClusterName: "DefaultCluster", BrokerName: "broker-a", Addr: "127.0.0.1:10911", Topics: h.snapshot,
	}
	if change != nil {
		change(&o)
	}
	h.Registrar = Start(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = h.Stop(ctx) // most tests stop it themselves, or their name servers first
		if err := h.client.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *harness) snapshot() protocol.TopicConfigTable {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.topics
}

// set makes these the broker's topics.
func (h *harness) set(names ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.topics.DataVersion.Counter++
	h.topics.Configs = map[string]protocol.TopicConfig{}
	for _, name := range names {
		h.topics.Configs[name] = protocol.TopicConfig{TopicName: name, ReadQueueNums: 4, WriteQueueNums: 4, Perm: 6, TopicFilterType: protocol.SingleTag}
	}
}

// route asks a name server; nil when there is none.
func (h *harness) route(addr, topic string) *protocol.TopicRoute {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	nc, err := h.net.Dial(ctx, "tcp", addr)
	if err != nil {
		h.t.Fatal(err)
	}
	conn := remoting.NewConn(nc, remoting.Options{})
	defer func() {
		if err := conn.Close(); err != nil {
			h.t.Error(err)
		}
		<-conn.Done()
	}()
	resp, err := conn.Call(ctx, &protocol.Command{Code: protocol.GetRouteInfo, Version: protocol.VersionV5_4_0}, &protocol.RouteRequest{Topic: topic})
	if err != nil {
		h.t.Fatal(err)
	}
	if resp.Code == protocol.TopicNotExist {
		return nil
	}
	r, err := protocol.DecodeTopicRoute(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *harness) mustWait() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := h.WaitRegistered(ctx); err != nil {
		h.t.Fatal(err)
	}
}

func TestABrokerRegistersAtOnceAndEvery30Seconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		ns := listen(t, network, "", nil)
		h := start(t, network, nil, ns.addr)
		begin := time.Now()
		h.mustWait()
		if d := time.Since(begin); d > time.Millisecond {
			t.Errorf("registered after %s", d)
		}
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		if n := ns.count(protocol.RegisterBroker); n != 21 {
			t.Errorf("%d registrations in ten minutes, want one at once and one each 30 s", n)
		}
		r := h.route(ns.addr, "t0")
		if r == nil || r.BrokerDatas[0].BrokerAddrs[0] != "127.0.0.1:10911" || r.BrokerDatas[0].Cluster != "DefaultCluster" || r.QueueDatas[0].Perm != 6 {
			t.Errorf("route %+v", r)
		}
		if err := h.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if h.route(ns.addr, "t0") != nil || ns.count(protocol.UnregisterBroker) != 1 {
			t.Error("the broker that stopped is still registered")
		}
		if n := h.log.count("\n"); n != 1 {
			t.Errorf("%d lines logged, want one", n)
		}
	})
}

func TestTopicChangesAreRegisteredAtOnceAndTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		release := make(chan struct{})
		var slow sync.Once
		ns := listen(t, network, "", func(_ *remoting.Conn, cmd *protocol.Command) bool {
			if cmd.Code == protocol.RegisterBroker {
				slow.Do(func() { <-release })
			}
			return false
		})
		h := start(t, network, nil, ns.addr)
		synctest.Wait() // the first registration hangs
		var all []string
		for i := range 1000 {
			all = append(all, fmt.Sprintf("t%d", i))
			h.set(all...)
			h.TopicsChanged()
		}
		close(release)
		synctest.Wait()
		if n := ns.count(protocol.RegisterBroker); n != 2 {
			t.Errorf("%d registrations, want the slow one and one for all 1000 changes", n)
		}
		if h.route(ns.addr, "t999") == nil {
			t.Error("the last topic has no route")
		}
	})
}

func TestAnnounceReturnsWhenTheRouteIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		one, two := listen(t, network, "", nil), listen(t, network, "", nil)
		h := start(t, network, nil, one.addr, "127.0.0.1:1", two.addr) // one in three is dead
		h.mustWait()
		for i := range 3 {
			topic := fmt.Sprintf("new%d", i)
			h.set("TBW102", topic)
			begin := time.Now()
			if err := h.Announce(t.Context()); err != nil {
				t.Fatal(err)
			}
			if time.Since(begin) > 0 {
				t.Errorf("it took %s", time.Since(begin))
			}
			if h.route(one.addr, topic) == nil || h.route(two.addr, topic) == nil {
				t.Errorf("%s has no route", topic)
			}
		}
		one.stop()
		two.stop()
		time.Sleep(5 * time.Second)
		if err := h.Announce(t.Context()); !errors.Is(err, ErrNotRegistered) || !strings.Contains(err.Error(), one.addr) || !strings.Contains(err.Error(), "127.0.0.1:1:") {
			t.Errorf("without name servers: %v", err)
		}
	})
}

func TestADeadNameServerDelaysNobodyAndIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		good := listen(t, network, "", nil)
		const dead = "127.0.0.1:9877"
		h := start(t, network, nil, dead, good.addr)
		h.mustWait()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if h.route(good.addr, "t0") == nil {
			t.Error("not registered with the good name server")
		}
		if n := h.log.count("level=ERROR"); n != 1 || h.log.count("nameServer="+dead) != 1 {
			t.Errorf("%d errors logged in ten minutes, want one that names %s", n, dead)
		}
		late := listen(t, network, dead, nil)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if h.route(dead, "t0") == nil {
			t.Error("not registered with the name server that has come")
		}
		late.stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := h.log.count("level=ERROR"); n != 2 {
			t.Errorf("%d errors logged after it was lost again, want two", n)
		}
	})
}

func TestAFrozenNameServerDelaysNobodyAndIsLeftForANewConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		good, frozen := listen(t, network, "", nil), listen(t, network, "", nil)
		h := start(t, network, func(o *Options) { o.Timeout = 10 * time.Second }, frozen.addr, good.addr)
		h.mustWait()
		synctest.Wait()
		network.Freeze(frozen.addr)
		h.set("TBW102", "new")
		h.TopicsChanged()
		synctest.Wait()
		if h.route(good.addr, "new") == nil {
			t.Error("the good name server does not have the topic yet")
		}
		time.Sleep(time.Minute)
		network.Restore(frozen.addr)
		time.Sleep(time.Minute)
		synctest.Wait()
		if h.route(frozen.addr, "new") == nil {
			t.Error("the name server that thawed does not have the topic")
		}
		network.Freeze(frozen.addr)
		begin := time.Now()
		if err := h.Stop(t.Context()); err == nil {
			t.Error("no error although a name server did not answer")
		}
		if d := time.Since(begin); d > unregisterTimeout {
			t.Errorf("Stop took %s", d)
		}
		if h.route(good.addr, "new") != nil {
			t.Error("the broker that stopped is still registered with the good name server")
		}
		network.Restore(frozen.addr)
	})
}

func TestAConnectionThatDoesNotAnswerIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		var first *remoting.Conn // only the one registrar's requests come here
		ns := listen(t, network, "", func(c *remoting.Conn, cmd *protocol.Command) bool {
			if first == nil {
				first = c
			}
			return c == first
		})
		h := start(t, network, func(o *Options) { o.Timeout = 10 * time.Second }, ns.addr)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if h.route(ns.addr, "t0") == nil {
			t.Error("not registered")
		}
	})
}

func TestANameServerThatRestartsHasTheBrokerWithinSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		const addr = "127.0.0.1:9876"
		before := listen(t, network, addr, nil)
		h := start(t, network, nil, addr)
		h.mustWait()
		before.stop()
		listen(t, network, addr, nil)
		begin := time.Now()
		for h.route(addr, "t0") == nil {
			if time.Since(begin) > 3*time.Second {
				t.Fatal("not registered after 3 s")
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
	})
}

func TestARefusalIsAnErrorAndRepeatedCalmly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		ns := listen(t, network, "", func(c *remoting.Conn, cmd *protocol.Command) bool {
			resp := cmd.Response(protocol.SystemError, "no room")
			if err := c.Reply(&resp, nil); err != nil {
				t.Error(err)
			}
			return true
		})
		h := start(t, network, nil, ns.addr)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := h.WaitRegistered(ctx); !errors.Is(err, ErrNotRegistered) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("WaitRegistered: %v", err)
		}
		if n := ns.count(protocol.RegisterBroker); n < 100 || n > 130 {
			t.Errorf("%d attempts in an hour, want about one each 30 s", n)
		}
		before := ns.count(protocol.RegisterBroker)
		for range 60 {
			h.TopicsChanged()
			time.Sleep(time.Second)
		}
		if n := ns.count(protocol.RegisterBroker) - before; n > 3 {
			t.Errorf("%d attempts in a minute of changing topics, although the last one failed", n)
		}
		if n := h.log.count("no room"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		if err := h.Stop(t.Context()); err != nil || ns.count(protocol.UnregisterBroker) != 0 {
			t.Errorf("Stop unregistered a broker that was not registered: %v", err)
		}
	})
}

func TestANameServerThatClosesEveryConnectionIsNotCalledInALoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		var ns *nameServer
		ns = listen(t, network, "", func(c *remoting.Conn, cmd *protocol.Command) bool {
			ns.ns.Handle(c, cmd)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			return true
		})
		start(t, network, nil, ns.addr)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := ns.count(protocol.RegisterBroker); n < 20 || n > 65 {
			t.Errorf("%d registrations in a minute", n)
		}
	})
}

func TestBrokerPermissionLimitsEveryTopic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		ns := listen(t, network, "", nil)
		h := start(t, network, func(o *Options) { o.Permission = func() int32 { return protocol.PermRead } }, ns.addr)
		h.mustWait()
		if r := h.route(ns.addr, "t0"); r == nil || r.QueueDatas[0].Perm != protocol.PermRead {
			t.Errorf("route %+v", r)
		}
		if diff := cmp.Diff(int32(6), h.snapshot().Configs["t0"].Perm); diff != "" {
			t.Errorf("the broker's own topic was changed:\n%s", diff)
		}
	})
}

func TestWithoutNameServersThereIsNothingToDo(t *testing.T) {
	t.Parallel()
	h := start(t, memnet.New(), nil)
	h.mustWait()
	h.TopicsChanged()
	if err := h.Announce(t.Context()); err != nil {
		t.Error(err)
	}
	if err := h.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
