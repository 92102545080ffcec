package broker

import (
	"net"
	"slices"
	"strconv"

	"github.com/rocketkit/rocketkit/broker-lite/internal/session"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 203 GET_CONSUMER_CONNECTION_LIST, 204 GET_PRODUCER_CONNECTION_LIST, 328
// GET_ALL_PRODUCER_INFO, 300 QUERY_TOPIC_CONSUME_BY_WHO, 343
// QUERY_TOPICS_BY_CONSUMER and 345 QUERY_SUBSCRIPTION_BY_CONSUMER
// (AdminBrokerProcessor): who is connected, and who consumes what. 4.9 and 5.x are
// alike.
//
// A client that is connected twice is shown twice, as on Apache.

func (b *Broker) connectionHandlers() handlers {
	return handlers{
		protocol.GetConsumerConnections: decoded(b, b.consumerConnections),
		protocol.GetProducerConnections: decoded(b, b.producerConnections),
		protocol.GetAllProducers:        b.at(b.allProducers),
		protocol.QueryTopicConsumers:    decoded(b, b.topicConsumers),
		protocol.QueryTopicsByConsumer:  decoded(b, b.topicsOfConsumer),
		protocol.QuerySubscription:      decoded(b, b.querySubscription),
	}
}

func connections(members []session.Client) []protocol.Connection {
	list := make([]protocol.Connection, 0, len(members))
	for _, m := range members {
		list = append(list, protocol.Connection{ClientAddr: m.Conn.RemoteAddr().String(), ClientID: m.ID, Language: m.Language.String(), Version: m.Version})
	}
	return list
}

func (b *Broker) consumerConnections(h *protocol.ConsumerListRequest) answer {
	g, ok := b.sessions.Group(h.ConsumerGroup)
	if !ok {
		return refuse(protocol.ConsumerNotOnline, "the consumer group[%s] not online", h.ConsumerGroup)
	}
	body := protocol.ConsumerConnections{
		Connections: connections(g.Members), ConsumeFromWhere: g.FromWhere, ConsumeType: g.ConsumeType, MessageModel: g.Model,
		Subscriptions: make(map[string]protocol.SubscriptionData, len(g.Subscriptions)),
	}
	for _, s := range g.Subscriptions {
		body.Subscriptions[s.Topic] = s
	}
	return encoded(body)
}

func (b *Broker) producerConnections(h *protocol.ProducerGroupRequest) answer {
	members := b.sessions.Producers(h.ProducerGroup)
	if len(members) == 0 {
		return refuse(protocol.SystemError, "the producer group[%s] not exist", h.ProducerGroup)
	}
	return encoded(protocol.ProducerConnections{Connections: connections(members)})
}

func (b *Broker) allProducers(*peer, *protocol.Command) answer {
	all := b.sessions.AllProducers()
	table := protocol.ProducerTable{Groups: make(map[string][]protocol.ProducerInfo, len(all))}
	for group, members := range all {
		for _, m := range members {
			table.Groups[group] = append(table.Groups[group], protocol.ProducerInfo{
				ClientID: m.ID, RemoteIP: "/" + m.Conn.RemoteAddr().String(), Language: m.Language.String(), Version: m.Version, LastUpdateTimestamp: m.Seen.UnixMilli(),
			})
		}
	}
	return encoded(table)
}

// topicConsumers names the groups that subscribe to a topic or have offsets for it.
func (b *Broker) topicConsumers(h *protocol.TopicRequest) answer {
	return encoded(protocol.GroupList{Groups: union(b.sessions.Subscribers(h.Topic), b.meta.Offsets.GroupsOf(h.Topic))})
}

func (b *Broker) topicsOfConsumer(h *protocol.GroupTopicRequest) answer {
	return encoded(protocol.TopicList{Topics: union(b.meta.Offsets.TopicsOf(h.Group)), BrokerAddr: b.addr()})
}

func (b *Broker) querySubscription(h *protocol.GroupTopicRequest) answer {
	return encoded(protocol.QueriedSubscription{Group: h.Group, Topic: h.Topic, Subscription: b.subscriptionOf(h.Group, h.Topic)})
}

// subscriptionOf is what a group wants of a topic now; nil: it has no member that
// subscribes to it.
func (b *Broker) subscriptionOf(group, topic string) *protocol.SubscriptionData {
	s, err := b.sessions.Subscription(group, topic, 0)
	if err != nil {
		return nil
	}
	return s.Data
}

// union joins sorted lists into one, each name once. It is never nil.
func union(lists ...[]string) []string {
	all := []string{}
	for _, list := range lists {
		all = append(all, list...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// addr is the broker's address as clients dial it.
func (b *Broker) addr() string {
	return net.JoinHostPort(b.host, strconv.Itoa(int(b.storeHost.Port())))
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
