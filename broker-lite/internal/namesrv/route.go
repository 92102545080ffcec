package namesrv

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// route returns where a topic is, nil when no broker has it.
func (t *table) route(topic string) *protocol.TopicRoute {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &protocol.TopicRoute{}
	for _, name := range slices.Sorted(maps.Keys(t.topics[topic])) {
		r.QueueDatas = append(r.QueueDatas, t.topics[topic][name])
		if b := t.brokers[name]; b != nil {
			r.BrokerDatas = append(r.BrokerDatas, b.data(name))
		}
	}
	if len(r.QueueDatas) == 0 || len(r.BrokerDatas) == 0 {
		return nil
	}
	if m := t.mappings[topic]; m != nil {
		r.QueueMappings = make(map[string]json.RawMessage, len(m))
		maps.Copy(r.QueueMappings, m)
	}
	return r
}

func (b *broker) data(name string) protocol.BrokerData {
	return protocol.BrokerData{
		BrokerAddrs: maps.Clone(b.addrs), BrokerName: name, Cluster: b.cluster,
		EnableActingMaster: b.actingMaster, ZoneName: b.zone,
	}
}

func (t *table) cluster() *protocol.ClusterInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &protocol.ClusterInfo{BrokerAddrs: map[string]protocol.BrokerData{}, Clusters: map[string][]string{}}
	for _, name := range slices.Sorted(maps.Keys(t.brokers)) {
		b := t.brokers[name]
		c.BrokerAddrs[name] = b.data(name)
		c.Clusters[b.cluster] = append(c.Clusters[b.cluster], name)
	}
	return c
}

func (t *table) topicNames() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.topics))
}
