package broker

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/session"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 208 GET_CONSUME_STATS, 317 GET_BROKER_CONSUME_STATS, 303
// QUERY_CONSUME_TIME_SPAN, 308 QUERY_CORRECTION_OFFSET and 314 CLONE_GROUP_OFFSET
// (AdminBrokerProcessor): how far groups have come.
//
// 5.x adds pullOffset to the statistics, and topicList to 208: topics that are not
// held against the group's subscription. A group's topics are those that it has
// offsets for; while it has members, only what they subscribe to.
//
// It differs from Apache where that has faults: 308 deletes the offsets of the
// groups that it is to leave out, and fails for a queue that only the compared
// group has; 314 without a topic does nothing; 303 takes a queue without an offset
// for one that waits since 1970.

// maxStatsQueues bounds the queues in one answer, so that it fits into a frame.
const maxStatsQueues = 50_000

func (b *Broker) consumeStatsHandlers() handlers {
	return handlers{
		protocol.GetConsumeStats:       decoded(b, b.consumeStats),
		protocol.GetBrokerConsumeStats: decoded(b, b.brokerConsumeStats),
		protocol.QueryConsumeTimeSpan:  decoded(b, b.consumeTimeSpan),
		protocol.QueryCorrectionOffset: decoded(b, b.correctionOffsets),
		protocol.CloneGroupOffset:      b.cloneOffsets,
	}
}

func tooManyQueues() answer {
	return refuse(protocol.SystemError, "more than %d queues would be in the answer; ask for one group and topic at a time", maxStatsQueues)
}

func (b *Broker) consumeStats(h *protocol.ConsumeStatsRequest) answer {
	stats := protocol.ConsumeStats{Offsets: map[protocol.MessageQueue]protocol.ConsumeOffset{}}
	for _, topic := range b.statsTopics(h) {
		config, ok := b.meta.Topics.Get(topic)
		if !ok {
			continue
		}
		if len(stats.Offsets)+int(config.ReadQueueNums) > maxStatsQueues {
			return tooManyQueues()
		}
		if err := b.addConsumeStats(&stats, h.ConsumerGroup, topic, config.ReadQueueNums); err != nil {
			return failed(err)
		}
	}
	return answer{body: protocol.EncodeConsumeStats(&stats)}
}

func (b *Broker) statsTopics(h *protocol.ConsumeStatsRequest) []string {
	if strings.TrimSpace(h.TopicList) != "" {
		return union(strings.Split(h.TopicList, ";"))
	}
	topics := []string{h.Topic}
	if strings.TrimSpace(h.Topic) == "" {
		topics = b.meta.Offsets.TopicsOf(h.ConsumerGroup)
	}
	return b.subscribed(h.ConsumerGroup, topics)
}

// subscribed leaves out the topics that a group with members does not subscribe
// to.
func (b *Broker) subscribed(group string, topics []string) []string {
	g, ok := b.sessions.Group(group)
	if !ok || len(g.Subscriptions) == 0 {
		return topics
	}
	return slices.DeleteFunc(topics, func(topic string) bool { return !subscribes(g, topic) })
}

func subscribes(g session.Group, topic string) bool {
	return slices.ContainsFunc(g.Subscriptions, func(s protocol.SubscriptionData) bool { return s.Topic == topic })
}

func (b *Broker) addConsumeStats(stats *protocol.ConsumeStats, group, topic string, queues int32) error {
	for id := range queues {
		o := protocol.ConsumeOffset{BrokerOffset: b.store.MaxOffset(topic, id)}
		o.ConsumerOffset, _ = b.meta.Offsets.Query(group, topic, id)
		pulled, _ := b.meta.Offsets.PulledTo(group, topic, id)
		o.PullOffset = max(o.ConsumerOffset, pulled)
		if o.ConsumerOffset > 0 {
			ms, err := b.store.StoreTime(topic, id, o.ConsumerOffset-1)
			if err != nil {
				return err
			}
			o.LastTimestamp = max(ms, 0)
		}
		stats.Offsets[protocol.MessageQueue{Topic: topic, BrokerName: b.config.BrokerName, QueueID: id}] = o
	}
	if view := b.statsView("GROUP_GET_NUMS", topic+"@"+group); view != nil {
		stats.TPS += view(minuteWindow).TPS
	}
	return nil
}

func (b *Broker) brokerConsumeStats(h *protocol.BrokerConsumeStatsRequest) answer {
	all := protocol.BrokerConsumeStats{BrokerAddr: b.addr()}
	queues := 0
	for _, group := range b.meta.Groups.Names() {
		g := protocol.GroupConsumeStats{Group: group}
		for _, topic := range b.subscribed(group, b.meta.Offsets.TopicsOf(group)) {
			config, ok := b.meta.Topics.Get(topic)
			if !ok || h.OrderedOnly && !config.Order {
				continue
			}
			if queues += int(config.WriteQueueNums); queues > maxStatsQueues {
				return tooManyQueues()
			}
			stats := protocol.ConsumeStats{Offsets: map[protocol.MessageQueue]protocol.ConsumeOffset{}}
			if err := b.addConsumeStats(&stats, group, topic, config.WriteQueueNums); err != nil {
				return failed(err)
			}
			for _, o := range stats.Offsets {
				all.Diff += o.BrokerOffset - o.ConsumerOffset
				all.InflightDiff += o.PullOffset - o.ConsumerOffset
			}
			g.Stats = append(g.Stats, stats)
		}
		all.Groups = append(all.Groups, g)
	}
	return answer{body: protocol.EncodeBrokerConsumeStats(&all)}
}

func (b *Broker) consumeTimeSpan(h *protocol.GroupTopicRequest) answer {
	config, ok := b.meta.Topics.Get(h.Topic)
	if !ok {
		return refuse(protocol.TopicNotExist, "topic[%s] not exist", h.Topic)
	}
	if config.WriteQueueNums > maxStatsQueues {
		return tooManyQueues()
	}
	body := protocol.ConsumeTimeSpans{Spans: []protocol.QueueTimeSpan{}}
	for id := range config.WriteQueueNums {
		span, err := b.timeSpan(h.Group, h.Topic, id)
		if err != nil {
			return failed(err)
		}
		body.Spans = append(body.Spans, span)
	}
	return encoded(body)
}

func (b *Broker) timeSpan(group, topic string, id int32) (span protocol.QueueTimeSpan, err error) {
	at := func(offset int64) int64 {
		ms, e := b.store.StoreTime(topic, id, offset)
		if e != nil && err == nil {
			err = e
		}
		return ms
	}
	low, high := b.store.MinOffset(topic, id), b.store.MaxOffset(topic, id)
	next, _ := b.meta.Offsets.Query(group, topic, id)
	span = protocol.QueueTimeSpan{
		MessageQueue: protocol.MessageQueue{Topic: topic, BrokerName: b.config.BrokerName, QueueID: id},
		MinTimestamp: at(low), MaxTimestamp: at(high - 1),
	}
	span.ConsumeTimestamp = span.MinTimestamp
	if next > 0 {
		span.ConsumeTimestamp = at(next - 1)
	}
	if next = max(next, low); next < high {
		span.DelayTime = b.clock.Now().UnixMilli() - at(next)
	}
	return span, err
}

// correctionOffsets tells for each queue of a topic the smallest offset of the
// groups that it still has messages for, and the largest number there is where the
// compared group is behind that.
func (b *Broker) correctionOffsets(h *protocol.CorrectionOffsetRequest) answer {
	left := map[string]bool{}
	for group := range strings.SplitSeq(h.FilterGroups, ",") {
		left[group] = true
	}
	least := map[int32]int64{}
	for _, group := range b.meta.Offsets.GroupsOf(h.Topic) {
		if left[group] {
			continue
		}
		for id, offset := range b.meta.Offsets.Queues(group, h.Topic) {
			if before, ok := least[id]; offset >= b.store.MinOffset(h.Topic, id) && (!ok || offset < before) {
				least[id] = offset
			}
		}
	}
	for id, offset := range b.meta.Offsets.Queues(h.CompareGroup, h.Topic) {
		if least[id] > offset {
			least[id] = math.MaxInt64
		}
	}
	return answer{body: protocol.EncodeCorrectionOffsets(least)}
}

func (b *Broker) cloneOffsets(p *peer, cmd *protocol.Command) {
	var h protocol.CloneOffsetRequest
	err := h.DecodeFields(cmd.Fields)
	if err == nil {
		err = meta.CheckGroup(h.To)
	}
	if err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	b.audit(p, cmd, "from", h.From, "to", h.To, "topic", h.Topic)
	b.later(p, cmd, func(context.Context) answer { return b.clone(&h) })
}

func (b *Broker) clone(h *protocol.CloneOffsetRequest) answer {
	topics := []string{h.Topic}
	if strings.TrimSpace(h.Topic) == "" {
		topics = b.meta.Offsets.TopicsOf(h.From)
	}
	if !h.Offline {
		topics = b.subscribed(h.From, topics)
	}
	for _, topic := range topics {
		if _, ok := b.meta.Topics.Get(topic); ok {
			b.meta.Offsets.Clone(h.From, h.To, topic)
		}
	}
	return answer{}
}
