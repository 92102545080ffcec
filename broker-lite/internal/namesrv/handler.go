package namesrv

import (
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// zlibHeader is the first byte of a compressed registration; JSON begins with {.
const zlibHeader = 0x78

// faq is what Apache appends to remarks that its clients show to users.
const faq = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."

// answer is a response; the zero value is success without a body.
type answer struct {
	code   protocol.Code
	remark string
	header protocol.Header
	body   []byte
}

func failed(err error) answer { return answer{code: protocol.SystemError, remark: err.Error()} }

func unsupported(code protocol.Code) answer {
	return answer{code: protocol.CodeNotSupported, remark: fmt.Sprintf(" request type %d not supported", code)}
}

func encoded(v any) answer {
	body, err := protocol.EncodeBody(v)
	if err != nil {
		return failed(err)
	}
	return answer{body: body}
}

func (n *NameServer) register(c *remoting.Conn, cmd *protocol.Command) answer {
	r := registration{conn: c, at: time.Now(), timeout: BrokerExpiry}
	if err := r.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	if err := r.VerifyBody(cmd.Body); err != nil {
		n.logger.Warn("registration refused", "broker", r.BrokerName, "addr", r.BrokerAddr, "err", err)
		return answer{code: protocol.SystemError, remark: "crc32 not match"}
	}
	// With compressedRegister=true 5.x brokers compress and do not say so.
	compressed := r.Compressed || len(cmd.Body) > 0 && cmd.Body[0] == zlibHeader
	body, err := protocol.DecodeRegisterBrokerBody(cmd.Body, compressed, cmd.Version)
	if err != nil {
		n.logger.Warn("registration refused", "broker", r.BrokerName, "addr", r.BrokerAddr, "err", err)
		return failed(err)
	}
	r.topics = body.Topics
	if ms := r.HeartbeatTimeoutMillis; ms.Set && ms.Value > 0 {
		r.timeout = time.Duration(min(ms.Value, int64(24*time.Hour/time.Millisecond))) * time.Millisecond
	}
	resp, news, err := n.table.register(&r)
	if err != nil {
		n.logger.Warn("registration refused", "broker", r.BrokerName, "addr", r.BrokerAddr, "err", err)
		return failed(err)
	}
	n.expiry.Set(r.at.Add(r.timeout))
	if news {
		n.logger.Info("broker registered", "broker", r.BrokerName, "id", r.BrokerID, "cluster", r.ClusterName, "addr", r.BrokerAddr, "topics", len(r.topics.Configs))
	}
	a := answer{header: &resp}
	if n.settings.is(keyOrderToBroker) {
		if order := n.settings.list(orderNamespace); order != nil {
			a.body = encoded(protocol.KVTable{Table: order}).body
		}
	}
	return a
}

func (n *NameServer) unregister(cmd *protocol.Command) answer {
	var h protocol.UnregisterBrokerRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	if n.table.unregister(h.BrokerName, liveKey{h.ClusterName, h.BrokerAddr}) {
		n.logger.Info("broker unregistered", "broker", h.BrokerName, "id", h.BrokerID, "cluster", h.ClusterName, "addr", h.BrokerAddr)
	}
	return answer{}
}

func (n *NameServer) route(cmd *protocol.Command) answer {
	var h protocol.RouteRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	r := n.table.route(h.Topic)
	if r == nil {
		return answer{code: protocol.TopicNotExist, remark: "No topic route info in name server for the topic: " + h.Topic + faq}
	}
	if n.settings.is(keyOrderMessages) {
		r.OrderTopicConf, _ = n.settings.get(orderNamespace, h.Topic)
	}
	return answer{body: protocol.EncodeTopicRoute(r, h.StandardJSON(cmd.Version))}
}

// changed are the fields of the answer to code 322.
type changed bool

func (h changed) AppendFields(w *protocol.FieldWriter) { w.Bool("changed", bool(h)) }

// queryDataVersion tells a broker whether its topics are known as they are; if
// so it is a sign of life.
func (n *NameServer) queryDataVersion(cmd *protocol.Command) answer {
	key := liveKey{cmd.Fields.Value("clusterName"), cmd.Fields.Value("brokerAddr")}
	var asked protocol.DataVersion
	if err := protocol.DecodeBody(cmd.Body, &asked); err != nil {
		return failed(err)
	}
	known, ok := n.table.version(key)
	if !ok {
		return answer{header: changed(true)}
	}
	if known == asked {
		n.table.touch(key, time.Now())
	}
	a := encoded(known)
	a.header = changed(known != asked)
	return a
}

func (n *NameServer) brokerHeartbeat(cmd *protocol.Command) answer {
	n.table.touch(liveKey{cmd.Fields.Value("clusterName"), cmd.Fields.Value("brokerAddr")}, time.Now())
	return answer{}
}
