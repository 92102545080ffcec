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

// topicsThat are the topics that a broker has whose queues meet a condition.
func (t *table) topicsThat(which func(topic string, q protocol.QueueData) bool) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := []string{}
	for topic, queues := range t.topics {
		for _, q := range queues {
			if which(topic, q) {
				names = append(names, topic)
				break
			}
		}
	}
	slices.Sort(names)
	return names
}

// permit changes the permission of all of a broker's topics and counts them.
func (t *table) permit(broker string, change func(perm int32) int32) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, queues := range t.topics {
		if q, ok := queues[broker]; ok {
			q.Perm = change(q.Perm)
			queues[broker] = q
			n++
		}
	}
	return n
}

// deleteTopic forgets a topic, of one cluster unless that is empty. Brokers that
// have it enter it again.
func (t *table) deleteTopic(topic, cluster string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	queues := t.topics[topic]
	maps.DeleteFunc(queues, func(name string, _ protocol.QueueData) bool {
		b := t.brokers[name]
		return cluster == "" || b != nil && b.cluster == cluster
	})
	if len(queues) == 0 {
		delete(t.topics, topic)
	}
}

// enterTopic enters queues of brokers that are known.
func (t *table) enterTopic(topic string, queues []protocol.QueueData) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, q := range queues {
		if t.brokers[q.BrokerName] == nil {
			continue
		}
		if t.topics[topic] == nil {
			t.topics[topic] = map[string]protocol.QueueData{}
		}
		t.topics[topic][q.BrokerName] = q
	}
}
