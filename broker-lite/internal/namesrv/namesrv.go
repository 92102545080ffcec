package namesrv

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
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
	// FS keeps, in Dir, what operators set (kvConfig.json, namesrv.properties); nil
	// keeps it as long as the name server runs.
	FS  vfs.FS
	Dir string
	// Config is what code 319 tells besides, by the keys of Apache's name server.
	Config map[string]string
}

// NameServer owns the routing table. Its Handle and ConnClosed are the handler
// and OnClose of a remoting.Server that is made and shut down by the caller.
type NameServer struct {
	logger   *slog.Logger
	config   map[string]string // read only
	settings *settings
	table    *table
	expiry   *alarm.Alarm
}

// New makes a name server. It must be closed, after the remoting.Server that
// calls it has been shut down.
func New(o Options) (*NameServer, error) {
	n := &NameServer{logger: o.Logger, config: o.Config, table: newTable()}
	if n.logger == nil {
		n.logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if n.settings, err = openSettings(o.FS, o.Dir); err != nil {
		return nil, fmt.Errorf("name server: %w", err)
	}
	n.expiry = alarm.Start(scanGap, n.expire)
	return n, nil
}

// Close ends the name server's goroutines.
func (n *NameServer) Close() {
	n.expiry.Stop()
	n.settings.close()
}

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
	switch cmd.Code { // answered later
	case protocol.PutKVConfig:
		n.putKV(c, cmd)
	case protocol.DeleteKVConfig:
		n.deleteKV(c, cmd)
	case protocol.UpdateNameServerConfig:
		n.updateConfig(c, cmd)
	default:
		n.reply(c, cmd, n.answer(c, cmd))
	}
}

// answer serves what is answered at once.
func (n *NameServer) answer(c *remoting.Conn, cmd *protocol.Command) answer {
	switch cmd.Code {
	case protocol.RegisterBroker:
		return n.register(c, cmd)
	case protocol.UnregisterBroker:
		return n.unregister(cmd)
	case protocol.QueryDataVersion:
		return n.queryDataVersion(cmd)
	case protocol.BrokerHeartbeat:
		return n.brokerHeartbeat(cmd)
	case protocol.GetRouteInfo:
		return n.route(cmd)
	case protocol.GetClusterInfo:
		return answer{body: protocol.EncodeClusterInfo(n.table.cluster(), false)}
	case protocol.GetTopicList, protocol.GetTopicsByCluster, protocol.GetUnitTopics,
		protocol.GetHasUnitSubTopics, protocol.GetHasUnitSubUnunitTopics:
		return n.topicList(cmd)
	case protocol.GetSystemTopicsFromNameServer:
		return n.systemTopics()
	case protocol.GetKVConfig:
		return n.getKV(cmd)
	case protocol.GetKVList:
		return n.listKV(cmd)
	case protocol.WipeWritePerm, protocol.AddWritePerm:
		return n.writePerm(c, cmd)
	case protocol.DeleteTopicInNameServer:
		return n.deleteTopic(c, cmd)
	case protocol.RegisterTopicInNameServer:
		return n.registerTopic(c, cmd)
	case protocol.GetNameServerConfig:
		return n.getConfig()
	case protocol.GetBrokerMemberGroup:
		return n.memberGroup(cmd)
	}
	return unsupported(cmd.Code)
}

func (n *NameServer) reply(c *remoting.Conn, cmd *protocol.Command, a answer) {
	if cmd.IsOneway() {
		return
	}
	resp := cmd.Response(a.code, a.remark)
	if err := c.Reply(&resp, a.header, a.body); err != nil {
		n.logger.Debug("answer not sent", "request", protocol.RequestName(cmd.Code), "peer", c.RemoteAddr().String(), "err", err)
	}
}
