package broker

import (
	"context"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 17 UPDATE_AND_CREATE_TOPIC, 202 GET_TOPIC_STATS_INFO and 351
// GET_TOPIC_CONFIG (AdminBrokerProcessor). 351 came with 5.x; its tools ask every
// broker and bear with TOPIC_NOT_EXIST only. 5.x adds attributes to 17 and
// topicPutTps to 202.

const (
	// announceTimeout bounds how long an answer waits for slow name servers.
	announceTimeout = 6 * time.Second
	// announceCost is what an answer that waits takes of its connection's
	// maxInFlight: some hundred may wait.
	announceCost = 64 << 10
)

func (b *Broker) topicHandlers() handlers {
	return handlers{
		protocol.UpdateAndCreateTopic: b.createTopic,
		protocol.GetTopicStats:        b.at(b.topicStats),
		protocol.GetTopicConfig:       b.at(b.topicConfig),
	}
}

// createTopic answers once the name servers have the topic, on a goroutine of its
// own: a client that has its answer looks for the route at once.
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
	if !p.acquire(announceCost) {
		return
	}
	request := *cmd
	request.Fields, request.Body = nil, nil
	b.spawn(func() {
		defer p.release(announceCost)
		ctx, cancel := context.WithTimeout(b.ctx, announceTimeout)
		defer cancel()
		if err := b.announce(ctx); err != nil {
			b.logger.Warn("a topic was made, but name servers do not know it yet", "topic", h.Topic, "err", err)
		}
		b.reply(p.conn, &request, answer{})
	})
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
