package session

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/internal/remoting/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is a server on a virtual network, inside a synctest bubble, whose
// connections the manager under test knows.
type harness struct {
	*Manager
	t      *testing.T
	net    *memnet.Network
	addr   string
	opened chan *remoting.Conn

	mu      sync.Mutex // guards the following
	changes []Change   // from expiry and closed connections
}

func start(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, net: memnet.New(), opened: make(chan *remoting.Conn, 1)}
	h.Manager = New(Options{OnExpire: h.record, Logger: slog.New(asking{slog.DiscardHandler, h})})
	srv := remoting.NewServer(remoting.ServerOptions{
		Options: remoting.Options{OnClose: func(c *remoting.Conn, _ error) { h.record(h.ConnClosed(c)) }},
		OnOpen:  func(c *remoting.Conn) { h.opened <- c },
	})
	l, err := h.net.Listen("")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		h.Manager.Close()
		if n := len(h.conns) + len(h.consumers) + len(h.producers) + len(h.byID); n > 0 {
			t.Errorf("%d connections, %d consumer and %d producer groups are left", len(h.conns), len(h.consumers), len(h.producers))
		}
	})
	return h
}

// asking is a log that asks the manager: no line may come with its lock held.
type asking struct {
	slog.Handler
	h *harness
}

func (asking) Enabled(context.Context, slog.Level) bool { return true }

func (a asking) Handle(context.Context, slog.Record) error {
	a.h.known("g", "t")
	return nil
}

func (h *harness) record(c []Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, c...)
}

// taken returns the recorded changes and starts anew.
func (h *harness) taken() []Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.changes
	h.changes = nil
	return c
}

// client is one connection: nc the client's end, the embedded one the server's.
type client struct {
	*remoting.Conn
	h  *harness
	nc net.Conn
	id string
}

func (h *harness) dial(id string) *client {
	h.t.Helper()
	nc, err := h.net.Dial(context.Background(), "tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	return &client{Conn: <-h.opened, h: h, nc: nc, id: id}
}

func (c *client) close() {
	c.h.t.Helper()
	if err := c.nc.Close(); err != nil {
		c.h.t.Fatal(err)
	}
	<-c.Done()
}

func (c *client) beat(hb protocol.HeartbeatData) []Change {
	hb.ClientID = c.id
	changes, _, err := c.h.Heartbeat(c.Conn, &hb, protocol.LanguageJava, protocol.VersionV5_4_0)
	if err != nil {
		c.h.t.Error(err)
	}
	return changes
}

// consume heartbeats as a member of one consumer group.
func (c *client) consume(group string, subs ...protocol.SubscriptionData) []Change {
	return c.beat(protocol.HeartbeatData{Consumers: []protocol.ConsumerData{consumer(group, subs...)}})
}

func (c *client) produce(groups ...string) {
	hb := protocol.HeartbeatData{}
	for _, g := range groups {
		hb.Producers = append(hb.Producers, protocol.ProducerData{GroupName: g})
	}
	c.beat(hb)
}

func consumer(group string, subs ...protocol.SubscriptionData) protocol.ConsumerData {
	return protocol.ConsumerData{
		GroupName: group, ConsumeType: protocol.ConsumePassively, MessageModel: protocol.Clustering,
		ConsumeFromWhere: protocol.ConsumeFromLastOffset, Subscriptions: subs,
	}
}

func sub(topic string, version int64, tags ...string) protocol.SubscriptionData {
	s, err := protocol.BuildTagSubscription(topic, strings.Join(tags, "||"))
	if err != nil {
		panic(err)
	}
	s.SubVersion = version
	return s
}

// notified renders changes as "group: client ids".
func (h *harness) notified(changes []Change, clients ...*client) []string {
	var list []string
	for _, c := range changes {
		var ids []string
		for _, conn := range c.Notify {
			i := slices.IndexFunc(clients, func(cl *client) bool { return cl.Conn == conn })
			if i < 0 {
				h.t.Fatalf("%s: a connection of nobody", c.Group)
			}
			ids = append(ids, clients[i].id)
		}
		slices.Sort(ids)
		list = append(list, c.Group+": "+strings.Join(ids, " "))
	}
	slices.Sort(list)
	return list
}

func (h *harness) expect(what string, got []string, want ...string) {
	h.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		h.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (h *harness) ids(group string) []string {
	ids, err := h.ConsumerIDs(group)
	if err != nil {
		return nil
	}
	return ids
}
