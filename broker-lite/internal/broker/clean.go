package broker

import (
	"context"
	"errors"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 306 CLEAN_EXPIRED_CONSUMEQUEUE, 316 CLEAN_UNUSED_TOPIC and 329
// DELETE_EXPIRED_COMMITLOG (AdminBrokerProcessor), alike on 4.9 and 5.x.

func (b *Broker) cleanHandlers() handlers {
	return handlers{
		protocol.CleanExpiredConsumeQueue: b.cleanQueues,
		protocol.CleanUnusedTopic:         b.cleanUnusedTopics,
		protocol.DeleteExpiredCommitLog:   b.deleteExpired,
	}
}

// cleanQueues deletes what consume queues have of log that is gone.
func (b *Broker) cleanQueues(p *peer, cmd *protocol.Command) {
	b.audit(p, cmd)
	b.inTurn(p, cmd, func(ctx context.Context) answer {
		if err := b.retention.CleanQueues(ctx); err != nil {
			return failed(err)
		}
		return answer{}
	})
}

// deleteExpired deletes the log that fileReservedTime does not keep, at whatever hour.
func (b *Broker) deleteExpired(p *peer, cmd *protocol.Command) {
	b.audit(p, cmd)
	b.inTurn(p, cmd, func(ctx context.Context) answer {
		if _, err := b.retention.DeleteExpired(ctx); err != nil {
			return failed(err)
		}
		return answer{}
	})
}

// cleanUnusedTopics takes the messages of topics that do not exist.
func (b *Broker) cleanUnusedTopics(p *peer, cmd *protocol.Command) {
	b.audit(p, cmd)
	b.inTurn(p, cmd, func(ctx context.Context) answer {
		gone := map[string]bool{}
		for _, q := range b.store.Queues() {
			gone[q.Topic] = !b.hasTopic(q.Topic) && !b.meta.Topics.IsSystem(q.Topic)
		}
		var errs []error
		for topic, unused := range gone {
			if unused {
				b.logger.Info("the messages of a topic that does not exist are deleted", "topic", topic)
				errs = append(errs, b.store.DeleteTopic(ctx, topic))
			}
		}
		if err := errors.Join(errs...); err != nil {
			return failed(err)
		}
		return answer{}
	})
}
