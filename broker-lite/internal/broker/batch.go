package broker

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// sendBatch stores the messages of a batch side by side in one queue
// (SendMessageProcessor.sendBatchMessage, MessageExtEncoder). Their properties are
// stored as they are; those of the batch itself are not stored by 5.x, while 4.9
// appends them to each message.
func (b *Broker) sendBatch(p *peer, cmd *protocol.Command, topic *protocol.TopicConfig) *answer {
	h := &p.send
	if a := b.checkBatch(h, cmd.Body, topic); a != nil {
		return a
	}
	var s scanned
	s.scan(h.Properties)
	op := b.newSendOp(p, cmd)
	op.queueID = queueOf(h, topic)
	op.uniqueKey = append(op.uniqueKey[:0], s.uniqueKey...)
	op.tags = op.tags[:0]
	r := &p.record
	*r = protocol.Record{
		QueueID: op.queueID, SysFlag: sysFlagOf(h, topic), BornTimestamp: h.BornTimestamp, BornHost: p.born,
		StoreHost: b.storeHost, ReconsumeTimes: h.ReconsumeTimes, Topic: topic.TopicName,
	}
	records, err := op.appendBatch(op.append.Records[:0], r, cmd.Body)
	r.Body, r.Properties = nil, nil
	op.append.Records = records
	if err != nil {
		op.free()
		a := refuse(protocol.MessageIllegal, "the message is illegal: %v", err)
		return &a
	}
	op.submit(topic.TopicName, op.queueID, records)
	return nil
}

func (b *Broker) checkBatch(h *protocol.SendRequest, body []byte, topic *protocol.TopicConfig) *answer {
	if a := b.checkBody(body); a != nil {
		return a
	}
	var s scanned
	s.scan(h.Properties)
	level, a := delayLevel(s.delay)
	if a != nil {
		return a
	}
	var refused answer
	switch {
	case strings.HasPrefix(topic.TopicName, meta.RetryPrefix):
		refused = refuse(protocol.MessageIllegal, "batch request does not support retry group %s", topic.TopicName)
	case level > 0:
		refused = refuse(protocol.MessageIllegal, "the message is illegal: a batch cannot be delayed")
	case h.SysFlag&protocol.SysTransactionMask != 0:
		refused = refuse(protocol.MessageIllegal, "the message is illegal: a batch cannot be a transaction")
	default:
		return nil
	}
	return &refused
}

// appendBatch appends the record of each entry of body. r is filled in with what
// they have in common.
func (op *sendOp) appendBatch(dst []byte, r *protocol.Record, body []byte) ([]byte, error) {
	var s scanned
	for len(body) > 0 {
		var e protocol.BatchEntry
		n, err := protocol.DecodeBatchEntry(body, &e)
		if err != nil {
			return dst, fmt.Errorf("message %d of the batch: %w", len(op.tags), err)
		}
		if bytes.HasSuffix(e.Properties, []byte{0}) {
			// Clients of 4.9 leave out the last separator, and the store takes no NUL there.
			e.Properties = append(bytes.Clone(e.Properties), protocol.PropertySeparator)
		}
		r.Flag, r.Body, r.Properties = e.Flag, e.Body, e.Properties
		if dst, err = protocol.AppendRecord(dst, r); err != nil {
			return dst, fmt.Errorf("message %d of the batch: %w", len(op.tags), err)
		}
		s.scan(e.Properties)
		op.tags = append(op.tags, tagsCodeOf(s.tags))
		body = body[n:]
	}
	return dst, nil
}
