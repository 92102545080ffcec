package namesrv

import (
	"log/slog"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// BrokerExpiry is how long a broker may be silent, Apache's
// DEFAULT_BROKER_CHANNEL_EXPIRED_TIME.
const BrokerExpiry = 120 * time.Second

// scanGap keeps scans for expired brokers apart.
const scanGap = 500 * time.Millisecond

// Options configure a NameServer.
type Options struct {
	// Logger; nil discards.
	Logger *slog.Logger
	// OrderTopics are the topics whose queues stay where they are, as
	// "broker-a:4;broker-b:4" by topic. Brokers are told when they register,
	// clients with the route.
	OrderTopics map[string]string
}

// NameServer owns the routing table. Its Handle and ConnClosed are the handler
// and OnClose of a remoting.Server that is made and shut down by the caller.
type NameServer struct {
	logger *slog.Logger
	order  map[string]string
	table  *table
	expiry *alarm.Alarm
}

// New makes a name server. It must be closed, after the remoting.Server that
// calls it has been shut down.
func New(o Options) *NameServer {
	n := &NameServer{logger: o.Logger, order: o.OrderTopics, table: newTable()}
	if n.logger == nil {
		n.logger = slog.New(slog.DiscardHandler)
	}
	n.expiry = alarm.Start(scanGap, n.expire)
	return n
}

// Close stops the scan for expired brokers.
func (n *NameServer) Close() { n.expiry.Stop() }

// ConnClosed takes out the brokers that had registered by c. It is
// remoting.Options.OnClose.
func (n *NameServer) ConnClosed(c *remoting.Conn, err error) {
	for _, g := range n.table.drop(c) {
		n.logger.Warn("broker is gone: its connection closed", "broker", g.name, "cluster", g.key.cluster, "addr", g.key.addr, "reason", err)
	}
}

func (n *NameServer) expire(now time.Time) time.Time {
	gone, next := n.table.expire(now)
	for _, g := range gone {
		n.logger.Warn("broker is gone: it has been silent for too long", "broker", g.name, "cluster", g.key.cluster, "addr", g.key.addr)
		if err := g.conn.Close(); err != nil {
			n.logger.Debug("closing a silent broker's connection", "addr", g.key.addr, "err", err)
		}
	}
	return next
}

// Handle serves one request. It is a remoting.Handler and does not block.
func (n *NameServer) Handle(c *remoting.Conn, cmd *protocol.Command) {
	var a answer
	switch cmd.Code {
	case protocol.RegisterBroker:
		a = n.register(c, cmd)
	case protocol.UnregisterBroker:
		a = n.unregister(cmd)
	case protocol.QueryDataVersion:
		a = n.queryDataVersion(cmd)
	case protocol.BrokerHeartbeat:
		a = n.brokerHeartbeat(cmd)
	case protocol.GetRouteInfo:
		a = n.route(cmd)
	case protocol.GetClusterInfo:
		a = answer{body: protocol.EncodeClusterInfo(n.table.cluster(), false)}
	case protocol.GetTopicList:
		a = encoded(protocol.TopicList{Topics: n.table.topicNames()})
	default:
		a = unsupported(cmd.Code)
	}
	if cmd.IsOneway() {
		return
	}
	resp := cmd.Response(a.code, a.remark)
	if err := c.Reply(&resp, a.header, a.body); err != nil {
		n.logger.Debug("answer not sent", "request", protocol.RequestName(cmd.Code), "peer", c.RemoteAddr().String(), "err", err)
	}
}
