package namesrv

import (
	"maps"
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/broker-lite/internal/audit"
	"github.com/rocketkit/rocketkit/broker-lite/internal/config"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// The codes of mqadmin (DefaultRequestProcessor), alike on 4.9 and 5.x but for 901,
// which is 5.x's: 100, 101, 102 and 219 keys and values; 205 and 327 wipe and add
// the write permission of a broker; 216 and 217 forget and enter a topic; 224, 304
// and 311 to 313 lists of topics; 318 and 319 the name server's configuration.
//
// Apache takes a change of its configuration that it cannot use without a word; it is
// refused here.

// audit tells of a change that an operator has made.
func (n *NameServer) audit(c *remoting.Conn, cmd *protocol.Command, attrs ...any) {
	audit.Log(n.logger, c, cmd, attrs...)
}

// later answers when a change is durable; attrs tell the audit log of it.
func (n *NameServer) later(c *remoting.Conn, cmd *protocol.Command, change func() error, attrs ...any) {
	request := *cmd
	request.Fields, request.Body = nil, nil
	err := n.settings.change(change, func(err error) {
		a := answer{}
		if err != nil {
			n.logger.Error("a change is not saved", "request", protocol.RequestName(request.Code), "err", err)
			a = failed(err)
		}
		n.reply(c, &request, a)
	})
	if err != nil {
		n.reply(c, &request, failed(err))
		return
	}
	n.audit(c, &request, attrs...)
}

// copied is a field's value that outlives the request.
func copied(cmd *protocol.Command, key string) string { return strings.Clone(cmd.Fields.Value(key)) }

func (n *NameServer) putKV(c *remoting.Conn, cmd *protocol.Command) {
	namespace, key, value := copied(cmd, "namespace"), copied(cmd, "key"), copied(cmd, "value")
	if namespace == "" || key == "" {
		n.reply(c, cmd, answer{code: protocol.SystemError, remark: "namespace or key is null"})
		return
	}
	n.later(c, cmd, n.settings.put(namespace, key, value), "namespace", namespace, "key", key, "value", value)
}

func (n *NameServer) deleteKV(c *remoting.Conn, cmd *protocol.Command) {
	namespace, key := copied(cmd, "namespace"), copied(cmd, "key")
	n.later(c, cmd, n.settings.remove(namespace, key), "namespace", namespace, "key", key)
}

// value are the fields of the answer to code 101.
type value string

func (v value) AppendFields(w *protocol.FieldWriter) { w.String("value", string(v)) }

func (n *NameServer) getKV(cmd *protocol.Command) answer {
	namespace, key := cmd.Fields.Value("namespace"), cmd.Fields.Value("key")
	v, ok := n.settings.get(namespace, key)
	if !ok {
		return answer{code: protocol.QueryNotFound, remark: "No config item, Namespace: " + namespace + " Key: " + key}
	}
	return answer{header: value(v)}
}

func (n *NameServer) listKV(cmd *protocol.Command) answer {
	namespace := cmd.Fields.Value("namespace")
	table := n.settings.list(namespace)
	if table == nil {
		return answer{code: protocol.QueryNotFound, remark: "No config item, Namespace: " + namespace}
	}
	return encoded(protocol.KVTable{Table: table})
}

// topicCount are the fields of the answers to codes 205 and 327.
type topicCount struct {
	field string
	n     int
}

func (t topicCount) AppendFields(w *protocol.FieldWriter) { w.Int(t.field, int64(t.n)) }

func (n *NameServer) writePerm(c *remoting.Conn, cmd *protocol.Command) answer {
	broker := cmd.Fields.Value("brokerName")
	h := topicCount{field: "wipeTopicCount"}
	change := func(perm int32) int32 { return perm &^ protocol.PermWrite }
	if cmd.Code == protocol.AddWritePerm {
		h.field = "addTopicCount"
		change = func(int32) int32 { return protocol.PermRead | protocol.PermWrite }
	}
	h.n = n.table.permit(broker, change)
	n.audit(c, cmd, "broker", broker, "topics", h.n)
	return answer{header: h}
}

func (n *NameServer) deleteTopic(c *remoting.Conn, cmd *protocol.Command) answer {
	topic, cluster := cmd.Fields.Value("topic"), cmd.Fields.Value("clusterName")
	n.table.deleteTopic(topic, cluster)
	n.audit(c, cmd, "topic", topic, "cluster", cluster)
	return answer{}
}

func (n *NameServer) registerTopic(c *remoting.Conn, cmd *protocol.Command) answer {
	topic := copied(cmd, "topic")
	route, err := protocol.DecodeTopicRoute(cmd.Body)
	if err != nil {
		return failed(err)
	}
	n.table.enterTopic(topic, route.QueueDatas)
	n.audit(c, cmd, "topic", topic, "queues", len(route.QueueDatas))
	return answer{}
}

// topicList answers codes 206, 224 and 311 to 313.
func (n *NameServer) topicList(cmd *protocol.Command) answer {
	flag := keyTopicList
	if cmd.Code == protocol.GetTopicList {
		flag = keyAllTopicList
	}
	if !n.settings.is(flag) {
		return answer{code: protocol.SystemError, remark: "disable"}
	}
	const unit, unitSub = 1, 2 // TopicSysFlag
	which := func(string, protocol.QueueData) bool { return true }
	switch cmd.Code {
	case protocol.GetTopicsByCluster:
		brokers := n.table.cluster().Clusters[cmd.Fields.Value("cluster")]
		which = func(_ string, q protocol.QueueData) bool { return slices.Contains(brokers, q.BrokerName) }
	case protocol.GetUnitTopics:
		which = func(_ string, q protocol.QueueData) bool { return q.TopicSysFlag&unit != 0 }
	case protocol.GetHasUnitSubTopics:
		which = func(_ string, q protocol.QueueData) bool { return q.TopicSysFlag&unitSub != 0 }
	case protocol.GetHasUnitSubUnunitTopics:
		which = func(_ string, q protocol.QueueData) bool {
			return q.TopicSysFlag&unitSub != 0 && q.TopicSysFlag&unit == 0
		}
	}
	return encoded(topicNames{Topics: n.table.topicsThat(which)})
}

// topicNames is a protocol.TopicList whose list is there when it is empty: mqadmin
// walks over it.
type topicNames struct {
	BrokerAddr string   `json:"brokerAddr,omitempty"`
	Topics     []string `json:"topicList"`
}

// systemTopics are the names of clusters and brokers.
func (n *NameServer) systemTopics() answer {
	info := n.table.cluster()
	list := topicNames{Topics: slices.Sorted(maps.Keys(info.Clusters))}
	for _, name := range slices.Sorted(maps.Keys(info.BrokerAddrs)) {
		list.Topics = append(list.Topics, name)
		addrs := info.BrokerAddrs[name].BrokerAddrs
		if list.BrokerAddr == "" && len(addrs) > 0 {
			list.BrokerAddr = addrs[slices.Min(slices.Collect(maps.Keys(addrs)))]
		}
	}
	return encoded(list)
}

// memberGroup answers code 901.
func (n *NameServer) memberGroup(cmd *protocol.Command) answer {
	name := cmd.Fields.Value("brokerName")
	data := n.table.cluster().BrokerAddrs[name]
	type group struct {
		BrokerAddrs map[int64]string `json:"brokerAddrs"`
		BrokerName  string           `json:"brokerName"`
		Cluster     string           `json:"cluster"`
	}
	addrs := data.BrokerAddrs
	if addrs == nil {
		addrs = map[int64]string{}
	}
	return encoded(struct {
		Group group `json:"brokerMemberGroup"`
	}{group{addrs, name, cmd.Fields.Value("clusterName")}})
}

func (n *NameServer) getConfig() answer {
	all := n.settings.all()
	maps.Copy(all, n.config)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(all)) {
		b.WriteString(key + "=" + config.EscapeValue(all[key]) + "\n")
	}
	return answer{body: []byte(b.String())}
}

func (n *NameServer) updateConfig(c *remoting.Conn, cmd *protocol.Command) {
	props, errs := config.ParseProperties(string(cmd.Body))
	if len(errs) > 0 {
		n.reply(c, cmd, answer{code: protocol.SystemError, remark: "string2Properties error"})
		return
	}
	var attrs []any
	for _, p := range props {
		switch p.Key {
		case "configBlackList", "configStorePath", "kvConfigPath", "rocketmqHome":
			n.reply(c, cmd, answer{code: protocol.NoPermission, remark: "Can not update config in black list."})
			return
		}
		attrs = append(attrs, p.Key, p.Value)
	}
	n.later(c, cmd, n.settings.set(props), attrs...)
}
