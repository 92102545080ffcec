package native

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/internal/remoting/memnet"
	"github.com/rocketkit/rocketkit/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is a name server and brokers over the in-memory network that do what a
// test says: refuse, be silent, forget, be old. What healthy servers do is tested
// with healthy servers, in package conformance.
type cluster struct {
	t    testing.TB
	net  *memnet.Network
	logs *logBuffer

	mu      sync.Mutex                               // guards the following
	topics  map[string]map[string]protocol.QueueData // by topic, broker
	brokers map[string]*scripted
	order   map[string]string // orderTopicConf, by topic
	static  map[string]bool   // topics with queues that move
	slaves  map[string]string // address of slave 1, by broker
	asked   []string          // topics that the name server was asked for
	askers  map[*remoting.Conn]bool
}

const nameServer = "10.0.0.9:9876"

func newCluster(t testing.TB, brokers ...string) *cluster {
	c := &cluster{
		t: t, net: memnet.New(), logs: new(logBuffer),
		topics: make(map[string]map[string]protocol.QueueData), brokers: make(map[string]*scripted),
		slaves: make(map[string]string), askers: make(map[*remoting.Conn]bool),
	}
	c.listen(nameServer, c.serveNames)
	for i, name := range brokers {
		c.startBroker(name, fmt.Sprintf("10.0.0.%d:10911", i+1), protocol.VersionV5_4_0)
	}
	return c
}

// listen serves at addr until the test ends.
func (c *cluster) listen(addr string, h remoting.Handler) *remoting.Server {
	c.t.Helper()
	l, err := c.net.Listen(addr)
	if err != nil {
		c.t.Fatal(err)
	}
	s := remoting.NewServer(remoting.ServerOptions{Options: remoting.Options{Handler: h}})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c.t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			c.t.Error(err)
		}
		<-served
	})
	return s
}

// addTopic makes a topic with n queues on each of the brokers, or on all.
func (c *cluster) addTopic(topic string, n int32, brokers ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(brokers) == 0 {
		brokers = slices.Collect(maps.Keys(c.brokers))
	}
	c.topics[topic] = make(map[string]protocol.QueueData)
	for _, b := range brokers {
		c.topics[topic][b] = protocol.QueueData{BrokerName: b, Perm: protocol.PermRead | protocol.PermWrite, ReadQueueNums: n, WriteQueueNums: n}
	}
}

func (c *cluster) serveNames(conn *remoting.Conn, cmd *protocol.Command) {
	topic := cmd.Fields.Value("topic")
	c.mu.Lock()
	c.asked = append(c.asked, topic)
	c.askers[conn] = true
	queues, ok := c.topics[topic]
	data := protocol.TopicRoute{OrderTopicConf: c.order[topic], QueueMappings: make(map[string]json.RawMessage)}
	for name, q := range queues {
		if c.static[topic] {
			data.QueueMappings[name] = fmt.Appendf(nil, `{"bname":%q,"currIdMap":{},"scope":"__global__","topic":%q,"totalQueues":1}`, name, topic)
		}
		data.QueueDatas = append(data.QueueDatas, q)
		addrs := map[int64]string{protocol.MasterID: c.brokers[name].addr}
		if slave := c.slaves[name]; slave != "" {
			addrs[1] = slave
		}
		data.BrokerDatas = append(data.BrokerDatas, protocol.BrokerData{BrokerName: name, Cluster: "c", BrokerAddrs: addrs})
	}
	c.mu.Unlock()
	if !ok {
		c.answer(conn, cmd, protocol.TopicNotExist, nil, nil)
		return
	}
	c.answer(conn, cmd, protocol.Success, nil, protocol.EncodeTopicRoute(&data, true))
}

func (c *cluster) answer(conn *remoting.Conn, cmd *protocol.Command, code protocol.Code, h protocol.Header, body []byte) {
	if cmd.IsOneway() {
		return
	}
	resp := cmd.Response(code, "")
	_ = conn.Reply(&resp, h, body) // the test cut the connection
}

// open makes a client of the cluster, closed when the test ends.
func (c *cluster) open(change ...func(*driver.Config)) *client {
	c.t.Helper()
	cfg := driver.Config{
		NameServers: []string{nameServer}, Dial: c.net.Dial,
		Logger: slog.New(slog.NewTextHandler(c.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&cfg)
	}
	d, err := Factory(c.t.Context(), cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			c.t.Errorf("close: %v", err)
		}
	})
	return d.(*client)
}

// instance names a client among those of the machine.
func instance(name string) func(*driver.Config) {
	return func(cfg *driver.Config) { cfg.InstanceName = name }
}

// logBuffer keeps what is logged, for tests that look for it and for failures.
type logBuffer struct {
	mu sync.Mutex // guards the following
	b  []byte
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	return len(p), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

func (c *cluster) startBroker(name, addr string, version int32) *scripted {
	b := c.newBroker(name, addr, version)
	c.mu.Lock()
	c.brokers[name] = b
	c.mu.Unlock()
	return b
}

// startSlave gives a broker a slave, whose log is what the test puts there.
func (c *cluster) startSlave(name, addr string) *scripted {
	b := c.newBroker(name, addr, protocol.VersionV5_4_0)
	c.mu.Lock()
	c.slaves[name] = addr
	c.mu.Unlock()
	return b
}

func (c *cluster) addRetryTopic(group, broker string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := message.RetryTopic(group)
	if c.topics[t] == nil {
		c.topics[t] = make(map[string]protocol.QueueData)
	}
	c.topics[t][broker] = protocol.QueueData{BrokerName: broker, Perm: protocol.PermRead | protocol.PermWrite, ReadQueueNums: 1, WriteQueueNums: 1}
}
