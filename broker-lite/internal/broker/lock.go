package broker

import "github.com/rocketkit/rocketkit/internal/protocol"

// Codes 41 LOCK_BATCH_MQ and 42 UNLOCK_BATCH_MQ (AdminBrokerProcessor): the members of
// a group that consumes in order lock their queues. The answer to 41 names the queues
// that the client has now. 5.x knows onlyThisBroker, which is about slaves. Unlike 4.9,
// 5.x sends what is sent to the retry topic of a group with locks to its dead letters
// (deadLetterRetry).

func (b *Broker) lockHandlers() handlers {
	return handlers{
		protocol.LockBatchMQ:   b.at(b.lockQueues),
		protocol.UnlockBatchMQ: b.at(b.unlockQueues),
	}
}

func (b *Broker) lockQueues(_ *peer, cmd *protocol.Command) answer {
	var body protocol.LockBatchRequest
	if err := protocol.DecodeBody(cmd.Body, &body); err != nil {
		return failed(err)
	}
	locked := b.locks.Lock(body.ConsumerGroup, body.ClientID, body.Queues)
	if locked == nil {
		locked = []protocol.MessageQueue{}
	}
	return encoded(protocol.LockBatchResponse{Locked: locked})
}

func (b *Broker) unlockQueues(_ *peer, cmd *protocol.Command) answer {
	var body protocol.LockBatchRequest
	if err := protocol.DecodeBody(cmd.Body, &body); err != nil {
		return failed(err)
	}
	b.locks.Unlock(body.ConsumerGroup, body.ClientID, body.Queues)
	return answer{}
}
