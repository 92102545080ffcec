package namesrv

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/internal/remoting/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is a name server on a virtual network, inside a synctest bubble.
type harness struct {
	t    *testing.T
	net  *memnet.Network
	addr string
	log  *logBuffer
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

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, o Options) *harness {
	t.Helper()
	h := &harness{t: t, net: memnet.New(), log: new(logBuffer)}
	o.Logger = slog.New(slog.NewTextHandler(h.log, nil))
	ns, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := remoting.NewServer(remoting.ServerOptions{Options: remoting.Options{Handler: ns.Handle, OnClose: ns.ConnClosed, Logger: o.Logger}})
	l, err := h.net.Listen("127.0.0.1:9876")
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
		ns.Close()
	})
	return h
}

// peer is one connection to the name server.
type peer struct {
	t    *testing.T
	conn *remoting.Conn
}

func (h *harness) dial() *peer {
	h.t.Helper()
	nc, err := h.net.Dial(context.Background(), "tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.peer(nc)
}

func (h *harness) peer(nc net.Conn) *peer {
	p := &peer{h.t, remoting.NewConn(nc, remoting.Options{})}
	h.t.Cleanup(p.close)
	return p
}

func (p *peer) close() {
	if err := p.conn.Close(); err != nil && !errors.Is(err, remoting.ErrClosed) {
		p.t.Error(err)
	}
	<-p.conn.Done()
}

func (p *peer) call(cmd protocol.Command, h protocol.Header, body []byte) *protocol.Command {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if cmd.Version == 0 {
		cmd.Version = protocol.VersionV5_4_0
	}
	resp, err := p.conn.Call(ctx, &cmd, h, body)
	if err != nil {
		p.t.Fatalf("%s: %v", protocol.RequestName(cmd.Code), err)
	}
	return resp
}

// broker is what a broker registers.
type brokerSpec struct {
	cluster, name, addr string
	id                  int64
	acting              protocol.OptBool
	timeout             protocol.OptInt64
	version             protocol.DataVersion
	topics              []protocol.TopicConfig
}

func spec(name, addr string, id int64, topics ...protocol.TopicConfig) brokerSpec {
	return brokerSpec{cluster: "DefaultCluster", name: name, addr: addr, id: id, version: protocol.DataVersion{Counter: 1, Timestamp: 1}, topics: topics}
}

func topic(name string, queues, perm int32) protocol.TopicConfig {
	return protocol.TopicConfig{TopicName: name, ReadQueueNums: queues, WriteQueueNums: queues, Perm: perm, TopicFilterType: protocol.SingleTag}
}

// filler makes a registration one of more than one topic.
var filler = topic("filler", 1, 6)

func (p *peer) register(s brokerSpec) *protocol.Command {
	p.t.Helper()
	b := protocol.RegisterBrokerBody{Topics: protocol.TopicConfigTable{DataVersion: s.version, Configs: map[string]protocol.TopicConfig{}}}
	for _, c := range s.topics {
		b.Topics.Configs[c.TopicName] = c
	}
	body, err := protocol.EncodeRegisterBrokerBody(&b, false, protocol.VersionV5_4_0)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.registerBody(s, body, false, protocol.VersionV5_4_0)
}

func (p *peer) registerBody(s brokerSpec, body []byte, compressed bool, version int32) *protocol.Command {
	p.t.Helper()
	h := protocol.RegisterBrokerRequest{
		BrokerName: s.name, BrokerAddr: s.addr, ClusterName: s.cluster, BrokerID: s.id, HAServerAddr: s.addr + "1",
		EnableActingMaster: s.acting, HeartbeatTimeoutMillis: s.timeout, Compressed: compressed, BodyCRC32: protocol.BodyCRC(body),
	}
	return p.call(protocol.Command{Code: protocol.RegisterBroker, Version: version}, &h, body)
}

func (p *peer) mustRegister(s brokerSpec) {
	p.t.Helper()
	if resp := p.register(s); resp.Code != protocol.Success {
		p.t.Fatalf("register %s: %s: %s", s.name, protocol.ResponseName(resp.Code), resp.Remark)
	}
}

// route asks for a topic's route; nil means that there is none.
func (p *peer) route(name string) *protocol.TopicRoute {
	p.t.Helper()
	resp := p.call(protocol.Command{Code: protocol.GetRouteInfo}, &protocol.RouteRequest{Topic: name}, nil)
	if resp.Code == protocol.TopicNotExist {
		return nil
	}
	if resp.Code != protocol.Success {
		p.t.Fatalf("route of %s: %s: %s", name, protocol.ResponseName(resp.Code), resp.Remark)
	}
	r, err := protocol.DecodeTopicRoute(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

func golden(t *testing.T, version, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../../../internal/protocol/testdata/golden/" + version + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
