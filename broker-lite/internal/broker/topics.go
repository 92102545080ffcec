package broker

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 17 UPDATE_AND_CREATE_TOPIC, 18 UPDATE_AND_CREATE_TOPIC_LIST, 21
// GET_ALL_TOPIC_CONFIG, 202 GET_TOPIC_STATS_INFO, 215 DELETE_TOPIC_IN_BROKER, 305
// GET_SYSTEM_TOPIC_LIST_FROM_BROKER, 351 GET_TOPIC_CONFIG and 513
// UPDATE_AND_CREATE_STATIC_TOPIC (AdminBrokerProcessor). 18, 351 and 513 came with
// 5.x; its tools ask every broker for 351 and bear with TOPIC_NOT_EXIST only. 5.x adds
// attributes to 17, topicPutTps to 202, and the table of static topics to 21. What is
// refused with INVALID_PARAMETER is refused with SYSTEM_ERROR by 4.9.

func (b *Broker) topicHandlers() handlers {
	return handlers{
		protocol.UpdateAndCreateTopic:      b.createTopic,
		protocol.UpdateAndCreateTopicList:  b.createTopics,
		protocol.GetAllTopicConfig:         b.at(b.allTopics),
		protocol.GetTopicStats:             b.at(b.topicStats),
		protocol.DeleteTopicInBroker:       b.deleteTopic,
		protocol.GetSystemTopicsFromBroker: b.at(b.systemTopics),
		protocol.GetTopicConfig:            b.at(b.topicConfig),
		protocol.UpdateStaticTopic:         b.at(b.staticTopic),
	}
}

// createTopic answers once the name servers have the topic: a client that has its
// answer looks for the route at once.
func (b *Broker) createTopic(p *peer, cmd *protocol.Command) {
	var h protocol.CreateTopicRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	config := protocol.TopicConfig{
		TopicName: h.Topic, ReadQueueNums: h.ReadQueueNums, WriteQueueNums: h.WriteQueueNums, Perm: h.Perm,
		TopicFilterType: h.TopicFilterType, TopicSysFlag: h.TopicSysFlag, Order: h.Order,
	}
	if _, err := b.meta.Topics.Update(config, h.Attributes); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	b.audit(p, cmd, "topic", h.Topic, "read", h.ReadQueueNums, "write", h.WriteQueueNums, "perm", h.Perm, "order", h.Order, "attributes", h.Attributes)
	b.announced(p, cmd, []string{strings.Clone(h.Topic)})
}

// announced answers with success when the name servers know of the topics.
func (b *Broker) announced(p *peer, cmd *protocol.Command, topics []string) {
	b.later(p, cmd, func(ctx context.Context) answer {
		if err := b.announce(ctx, topics...); err != nil {
			b.logger.Warn("topics have changed, but name servers do not know it yet", "err", err)
		}
		return answer{}
	})
}

// createTopics makes all topics, or none when a name is wrong. Unlike Apache it goes
// on after a topic that is there already as it should be.
func (b *Broker) createTopics(p *peer, cmd *protocol.Command) {
	var list struct {
		Topics []listedTopic `json:"topicConfigList"`
	}
	if err := protocol.DecodeBody(cmd.Body, &list); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	for _, c := range list.Topics {
		if err := b.meta.Topics.Changeable(c.TopicName); err != nil {
			b.reply(p.conn, cmd, failed(err))
			return
		}
	}
	var names []string
	for _, listed := range list.Topics {
		c := protocol.TopicConfig(listed)
		names = append(names, c.TopicName)
		if _, err := b.meta.Topics.Update(c, attributeText(c.Attributes)); err != nil {
			b.reply(p.conn, cmd, failed(err))
			return
		}
		b.audit(p, cmd, "topic", c.TopicName, "read", c.ReadQueueNums, "write", c.WriteQueueNums, "perm", c.Perm, "order", c.Order, "attributes", c.Attributes)
	}
	b.announced(p, cmd, names)
}

// listedTopic is an entry of code 18's list.
type listedTopic protocol.TopicConfig

// UnmarshalJSON leaves what is missing as Java's TopicConfig has it.
func (t *listedTopic) UnmarshalJSON(b []byte) error {
	type plain listedTopic
	v := plain{ReadQueueNums: 16, WriteQueueNums: 16, Perm: protocol.PermRead | protocol.PermWrite, TopicFilterType: protocol.SingleTag}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*t = listedTopic(v)
	return nil
}

// attributeText writes changes of attributes, which code 18 has as a table, as code 17
// has them.
func attributeText(changes map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		if value := changes[key]; value != "" {
			key += "=" + value
		}
		parts = append(parts, key)
	}
	return strings.Join(parts, ",")
}

// totalTopics are the fields of the answer to code 21.
type totalTopics int

func (n totalTopics) AppendFields(w *protocol.FieldWriter) { w.Int("totalTopicNum", int64(n)) }

func (b *Broker) allTopics(*peer, *protocol.Command) answer {
	s := b.meta.Topics.Snapshot()
	a := encoded(struct {
		Version        protocol.DataVersion            `json:"dataVersion"`
		MappingVersion protocol.DataVersion            `json:"mappingDataVersion"`
		Configs        map[string]protocol.TopicConfig `json:"topicConfigTable"`
		Mappings       struct{}                        `json:"topicQueueMappingDetailMap"`
	}{Version: s.DataVersion, Configs: s.Configs})
	if a.code == protocol.Success {
		a.header = totalTopics(len(s.Configs))
	}
	return a
}

// deleteTopic takes a topic with its messages and offsets, and the POP retry topics of
// its groups (clearRetryTopicWhenDeleteTopic). The name servers are told by mqadmin
// (code 216). Without such a topic it succeeds, as on Apache.
func (b *Broker) deleteTopic(p *peer, cmd *protocol.Command) {
	topic := strings.Clone(cmd.Fields.Value("topic"))
	if strings.TrimSpace(topic) == "" {
		b.reply(p.conn, cmd, refuse(protocol.InvalidParameter, "The specified topic is blank."))
		return
	}
	if b.meta.Topics.IsSystem(topic) {
		b.reply(p.conn, cmd, refuse(protocol.InvalidParameter, "The topic[%s] is conflict with system topic.", topic))
		return
	}
	b.audit(p, cmd, "topic", topic)
	b.inTurn(p, cmd, func(ctx context.Context) answer {
		topics := []string{topic}
		for _, group := range b.meta.Offsets.GroupsOf(topic) {
			for _, between := range []string{"+", "_"} { // version 2 and 1 of KeyBuilder.buildPopRetryTopic
				if retry := retryTopic(group) + between + topic; b.hasTopic(retry) {
					topics = append(topics, retry)
				}
			}
		}
		var errs []error
		for _, t := range topics {
			b.meta.Topics.Delete(t)
			b.meta.Offsets.RemoveTopic(t)
			b.pops.Forget(func(c meta.Consumption) bool { return c.Topic == t })
			b.stats.forgetTopic(t)
			errs = append(errs, b.store.DeleteTopic(ctx, t))
		}
		if err := errors.Join(append(errs, b.meta.WaitSaved(ctx))...); err != nil {
			return failed(err)
		}
		return answer{}
	})
}

func (b *Broker) hasTopic(topic string) bool {
	_, ok := b.meta.Topics.Get(topic)
	return ok
}

func (b *Broker) topicStats(_ *peer, cmd *protocol.Command) answer {
	var h protocol.TopicRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	topic, ok := b.meta.Topics.Get(h.Topic)
	if !ok {
		return refuse(protocol.TopicNotExist, "topic[%s] not exist", h.Topic)
	}
	stats := protocol.TopicStats{Offsets: map[protocol.MessageQueue]protocol.TopicOffset{}}
	for id := range max(topic.WriteQueueNums, topic.ReadQueueNums) {
		o := protocol.TopicOffset{MinOffset: b.store.MinOffset(h.Topic, id), MaxOffset: b.store.MaxOffset(h.Topic, id)}
		if o.MaxOffset > 0 {
			ms, err := b.store.StoreTime(h.Topic, id, o.MaxOffset-1)
			if err != nil {
				return failed(err)
			}
			o.LastUpdateTimestamp = max(ms, 0)
		}
		stats.Offsets[protocol.MessageQueue{Topic: h.Topic, BrokerName: b.config.BrokerName, QueueID: id}] = o
	}
	return answer{body: protocol.EncodeTopicStats(&stats)}
}

func (b *Broker) topicConfig(_ *peer, cmd *protocol.Command) answer {
	var h protocol.TopicRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	topic, ok := b.meta.Topics.Get(h.Topic)
	if !ok {
		return refuse(protocol.TopicNotExist, "No topic in this broker. topic: %s", h.Topic)
	}
	return encoded(topic)
}

func (b *Broker) systemTopics(*peer, *protocol.Command) answer {
	names := slices.DeleteFunc(b.meta.Topics.Names(), func(topic string) bool { return !b.meta.Topics.IsSystem(topic) })
	return encoded(protocol.TopicList{Topics: names})
}

func (b *Broker) staticTopic(_ *peer, cmd *protocol.Command) answer {
	return refuse(protocol.SystemError, "topic %.255s: broker-lite has no static topics; make an ordinary topic (updateTopic), or use Apache RocketMQ", cmd.Fields.Value("topic"))
}

// Topics are the names of all topics, sorted.
func (b *Broker) Topics() []string { return b.meta.Topics.Names() }
