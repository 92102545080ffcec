package broker

import (
	"fmt"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Code 321 QUERY_CONSUME_QUEUE (AdminBrokerProcessor): entries of a consume queue.
// Apache shows as many as are asked for, this maxShownEntries.

const maxShownEntries = 10_000

func (b *Broker) consumeQueueHandlers() handlers {
	return handlers{protocol.QueryConsumeQueue: decoded(b, b.consumeQueue)}
}

func (b *Broker) consumeQueue(h *protocol.ConsumeQueueRequest) answer {
	low, high := b.store.MinOffset(h.Topic, h.QueueID), b.store.MaxOffset(h.Topic, h.QueueID)
	if _, ok := b.meta.Topics.Get(h.Topic); !ok || high == 0 {
		return refuse(protocol.SystemError, "%d@%s is not exist!", h.QueueID, h.Topic)
	}
	if h.Index < low || h.Index >= high {
		return refuse(protocol.Success, "Index %d of %d@%s is not exist!", h.Index, h.QueueID, h.Topic)
	}
	body := protocol.QueueEntries{MinIndex: low, MaxIndex: high, Entries: []protocol.QueueEntry{}}
	if h.ConsumerGroup != "" {
		body.FilterData = "null" // as Apache writes that there is no compiled filter
		if body.Subscription = b.subscriptionOf(h.ConsumerGroup, h.Topic); body.Subscription == nil {
			body.FilterData = fmt.Sprintf("%s@%s is not online!", h.ConsumerGroup, h.Topic)
		}
	}
	count := int(min(h.Count, maxShownEntries))
	err := b.store.EachEntry(h.Topic, h.QueueID, h.Index, func(e store.Entry) bool {
		if len(body.Entries) >= count {
			return false
		}
		body.Entries = append(body.Entries, protocol.QueueEntry{PhysOffset: e.PhysicalOffset, PhysSize: e.Size, TagsCode: e.TagsCode})
		return true
	})
	if err != nil {
		return failed(err)
	}
	return encoded(body)
}
