package broker

import (
	"strings"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 14 QUERY_CONSUMER_OFFSET and 15 UPDATE_CONSUMER_OFFSET
// (ConsumerManageProcessor), 29 SEARCH_OFFSET_BY_TIMESTAMP, 30 GET_MAX_OFFSET, 31
// GET_MIN_OFFSET and 32 GET_EARLIEST_MSG_STORETIME (AdminBrokerProcessor).
//
// 5.x refuses 15 for a group or topic that does not exist; 4.9 takes it. 5.x knows
// setZeroIfNotFound in 14. Between two store times 29 finds the first message at
// or after the time, on 4.9 the nearest.

// memorySpan is how near to the end of the commit log a message has to be to count
// as being in memory. Apache takes 40 % of the machine's memory.
const memorySpan = 4 << 30

func (b *Broker) offsetHandlers() handlers {
	return handlers{
		protocol.QueryConsumerOffset:  b.at(b.queryOffset),
		protocol.UpdateConsumerOffset: b.at(b.updateOffset),
		protocol.SearchOffsetByTime:   b.at(b.searchOffset),
		protocol.GetMaxOffset:         b.at(b.edgeOffset),
		protocol.GetMinOffset:         b.at(b.edgeOffset),
		protocol.GetEarliestStoreTime: b.at(b.earliestTime),
	}
}

func (b *Broker) queryOffset(_ *peer, cmd *protocol.Command) answer {
	h := protocol.ConsumerOffsetRequest{Code: cmd.Code}
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	if offset, ok := b.meta.Offsets.Query(h.ConsumerGroup, h.Topic, h.QueueID); ok {
		return answer{header: &protocol.OffsetResponse{Offset: offset}}
	}
	if h.SetZeroIfNotFound.Set && !h.SetZeroIfNotFound.Value {
		return refuse(protocol.QueryNotFound, "Not found, do not set to zero, maybe this group boot first")
	}
	young, err := b.young(h.Topic, h.QueueID)
	switch {
	case err != nil:
		return failed(err)
	case young && !b.strictOffsets:
		return answer{header: &protocol.OffsetResponse{}}
	}
	return refuse(protocol.QueryNotFound, "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first")
}

// young reports whether a queue still has its first message, and that in memory:
// then a group without an offset begins there, whatever its ConsumeFromWhere.
func (b *Broker) young(topic string, queueID int32) (bool, error) {
	if b.store.MinOffset(topic, queueID) > 0 {
		return false, nil
	}
	e, ok, err := b.store.Entry(topic, queueID, 0)
	if err != nil || !ok {
		return false, err
	}
	st, err := b.store.Stats()
	if err != nil {
		return false, err
	}
	return st.MaxPhysicalOffset-e.PhysicalOffset <= memorySpan, nil
}

func (b *Broker) updateOffset(_ *peer, cmd *protocol.Command) answer {
	h := protocol.ConsumerOffsetRequest{Code: cmd.Code}
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	if _, ok := b.meta.Groups.Get(h.ConsumerGroup); !ok {
		return refuse(protocol.GroupNotExist, "Group %s not exist!", h.ConsumerGroup)
	}
	topic, ok := b.meta.Topics.Get(h.Topic)
	if !ok {
		return refuse(protocol.TopicNotExist, "Topic %s not exist!", h.Topic)
	}
	if h.QueueID < 0 || h.CommitOffset < 0 {
		return refuse(protocol.InvalidParameter, "queueId %d and commitOffset %d of topic %s must not be negative", h.QueueID, h.CommitOffset, h.Topic)
	}
	if h.QueueID >= max(topic.ReadQueueNums, topic.WriteQueueNums) && b.store.MaxOffset(h.Topic, h.QueueID) == 0 {
		// Apache keeps it. But there are two thousand million such queues.
		return refuse(protocol.InvalidParameter, "topic %s has no queue %d, and never had messages in one", h.Topic, h.QueueID)
	}
	if !b.meta.Offsets.Commit(h.ConsumerGroup, h.Topic, h.QueueID, h.CommitOffset) {
		return answer{remark: "Offset has been previously reset"}
	}
	return answer{}
}

func (b *Broker) searchOffset(_ *peer, cmd *protocol.Command) answer {
	h := protocol.OffsetRequest{Code: cmd.Code}
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	boundary := store.Lower
	if strings.EqualFold(h.Boundary, protocol.BoundaryUpper) {
		boundary = store.Upper
	}
	offset, err := b.store.OffsetByBoundary(h.Topic, h.QueueID, h.Timestamp, boundary)
	if err != nil {
		return failed(err)
	}
	return answer{header: &protocol.OffsetResponse{Offset: offset}}
}

func (b *Broker) edgeOffset(_ *peer, cmd *protocol.Command) answer {
	h := protocol.OffsetRequest{Code: cmd.Code}
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	if cmd.Code == protocol.GetMinOffset {
		return answer{header: &protocol.OffsetResponse{Offset: b.store.MinOffset(h.Topic, h.QueueID)}}
	}
	return answer{header: &protocol.OffsetResponse{Offset: b.store.MaxOffset(h.Topic, h.QueueID)}}
}

func (b *Broker) earliestTime(_ *peer, cmd *protocol.Command) answer {
	h := protocol.OffsetRequest{Code: cmd.Code}
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	ms, err := b.store.EarliestStoreTime(h.Topic, h.QueueID)
	if err != nil {
		return failed(err)
	}
	return answer{header: &protocol.StoreTimeResponse{Timestamp: ms}}
}
