package broker

import (
	"sync"

	"github.com/rocketkit/rocketkit/broker-lite/internal/pop"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 200051 ACK_MESSAGE, 200151 BATCH_ACK_MESSAGE (AckMessageProcessor) and
// 200053 CHANGE_MESSAGE_INVISIBLETIME (ChangeInvisibleTimeProcessor); all of them
// came with 5.0. They are answered when they are stored.
//
// As on Apache a receipt that is of no use any more (acknowledged, late, popped
// again) is no error. Unlike there it does not bring an acknowledged message back.
//
// 5.4.0 answers 200056, which has a constant but no processor, with code 3, and so
// does broker-lite.

// ackCost is what an acknowledgement on its way takes of its connection's
// maxInFlight.
const ackCost = 512

// maxBatchAcks bounds a batch of acknowledgements, and maxPopAcks what it has of one
// pop, which brings 32 messages at most. A bit set could name every message of a
// queue otherwise.
const (
	maxBatchAcks = 64 << 10
	maxPopAcks   = 1024
)

// checkAck checks what acknowledgements and changes of time name. past is how far
// behind the queue's end the offset may be.
func (b *Broker) checkAck(p *peer, h *protocol.AckRequest, past int64) (receipt protocol.PopReceipt, refused *answer) {
	topic, exists := b.meta.Topics.Get(h.Topic)
	var a answer
	switch {
	case b.closing.Load():
		a = b.storeFailed(errShuttingDown)
	case !exists:
		a = refuse(protocol.TopicNotExist, "topic[%s] not exist, apply first please! %s", h.Topic, faq)
	case h.QueueID < 0 || h.QueueID >= topic.ReadQueueNums:
		a = refuse(protocol.MessageIllegal, "queueId[%d] is illegal, topic:[%s] topicConfig.readQueueNums:[%d] consumer:[%s]", h.QueueID, h.Topic, topic.ReadQueueNums, p.conn.RemoteAddr())
	default:
		low, high := b.store.MinOffset(h.Topic, h.QueueID), b.store.MaxOffset(h.Topic, h.QueueID)
		if h.Offset < low || h.Offset >= high+past {
			a = refuse(protocol.NoMessage, "offset is illegal, key:%s@%d, commit:%d, store:%d~%d", h.Topic, h.QueueID, h.Offset, low, high)
			break
		}
		receipt, err := protocol.ParsePopReceipt(h.Receipt)
		if err != nil {
			a = refuse(protocol.SystemError, "%v", err)
			break
		}
		return receipt, nil
	}
	return receipt, &a
}

// settling prepares the answer to a request that waits for the store; nil when the
// connection is gone.
func (b *Broker) settling(p *peer, cmd *protocol.Command) func(answer) {
	if !p.acquire(ackCost) {
		return nil
	}
	request := *cmd
	request.Fields, request.Body = nil, nil
	b.sending.Add(1)
	return func(a answer) {
		b.reply(p.conn, &request, a)
		p.release(ackCost)
		b.sent()
	}
}

func (b *Broker) handleAck(p *peer, cmd *protocol.Command) {
	var h protocol.AckRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	receipt, refused := b.checkAck(p, &h, 1)
	if refused != nil {
		b.reply(p.conn, cmd, *refused)
		return
	}
	done := b.settling(p, cmd)
	if done == nil {
		return
	}
	key := pop.Key{Topic: h.Topic, Group: h.ConsumerGroup, Queue: h.QueueID}
	if receipt.ReviveQueueID == protocol.PopOrderReviveQueue {
		b.pops.AckOrdered(key, receipt.PopTime, h.Offset, func(known bool, err error) { done(acked(key, h.Offset, known, err)) })
		return
	}
	b.pops.Ack(key, receipt.PopTime, []int64{h.Offset}, func(err error) { done(acked(key, h.Offset, true, err)) })
}

// acked is the answer to an acknowledgement.
func acked(key pop.Key, offset int64, known bool, err error) answer {
	switch {
	case err != nil:
		return failed(err)
	case !known:
		return refuse(protocol.MessageIllegal, "offset is illegal, key:%s@%s@%d, commit:%d", key.Topic, key.Group, key.Queue, offset)
	}
	return answer{}
}

// handleBatchAck acknowledges many. As on Apache what cannot be is left out, and the
// answer is success.
func (b *Broker) handleBatchAck(p *peer, cmd *protocol.Command) {
	var body protocol.BatchAckBody
	if b.closing.Load() {
		b.reply(p.conn, cmd, b.storeFailed(errShuttingDown))
		return
	}
	if len(cmd.Body) > 0 {
		if err := protocol.DecodeBody(cmd.Body, &body); err != nil {
			b.reply(p.conn, cmd, failed(err))
			return
		}
	}
	if len(body.Acks) == 0 {
		b.reply(p.conn, cmd, refuse(protocol.NoMessage, "there is nothing to acknowledge"))
		return
	}
	if refused := checkBatchAck(&body); refused != nil {
		b.reply(p.conn, cmd, *refused)
		return
	}
	done := b.settling(p, cmd)
	if done == nil {
		return
	}
	var gather gathering
	gather.begin(done)
	for i := range body.Acks {
		b.batchAck(&body.Acks[i], &gather)
	}
	gather.end(answer{})
}

// checkBatchAck refuses a batch that is larger than pops are, before any of it counts.
func checkBatchAck(body *protocol.BatchAckBody) *answer {
	all := 0
	for i := range body.Acks {
		n := body.Acks[i].BitSet.Count()
		if all += n; n > maxPopAcks || all > maxBatchAcks {
			a := refuse(protocol.MessageIllegal, "a batch acknowledges at most %d messages, and %d of one pop; acknowledge in smaller batches", maxBatchAcks, maxPopAcks)
			return &a
		}
	}
	return nil
}

func (b *Broker) batchAck(a *protocol.BatchAck, gather *gathering) {
	topic, ok := protocol.PopRealTopic(a.Topic, a.ConsumerGroup, a.Retry)
	if !ok {
		b.logger.Warn("a batch acknowledgement names an unknown kind of topic", "topic", a.Topic, "retry", a.Retry)
		return
	}
	low, high := b.store.MinOffset(topic, a.QueueID), b.store.MaxOffset(topic, a.QueueID)
	key := pop.Key{Topic: topic, Group: a.ConsumerGroup, Queue: a.QueueID}
	var offsets []int64
	for bit := range a.BitSet.All() {
		offset := a.StartOffset + int64(bit)
		if offset < low || offset > high {
			continue
		}
		if a.ReviveQueueID == protocol.PopOrderReviveQueue {
			gather.add()
			b.pops.AckOrdered(key, a.PopTime, offset, func(known bool, err error) { gather.end(acked(key, offset, known, err)) })
			continue
		}
		offsets = append(offsets, offset)
	}
	if len(offsets) > 0 {
		gather.add()
		b.pops.Ack(key, a.PopTime, offsets, func(err error) { gather.end(acked(key, 0, true, err)) })
	}
}

// gathering makes one answer of many: the first that is no success.
type gathering struct {
	mu    sync.Mutex // guards the following
	left  int
	first answer
	done  func(answer)
}

func (g *gathering) begin(done func(answer)) { g.left, g.done = 1, done }

func (g *gathering) add() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left++
}

func (g *gathering) end(a answer) {
	g.mu.Lock()
	if g.first.code == protocol.Success {
		g.first = a
	}
	g.left--
	last := g.left == 0
	g.mu.Unlock()
	if last {
		g.done(g.first)
	}
}

func (b *Broker) handleChangeInvisible(p *peer, cmd *protocol.Command) {
	var h protocol.ChangeInvisibleRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	receipt, refused := b.checkAck(p, &h.AckRequest, 0)
	if refused != nil {
		refused.header = &protocol.ChangeInvisibleResponse{}
		b.reply(p.conn, cmd, *refused)
		return
	}
	done := b.settling(p, cmd)
	if done == nil {
		return
	}
	key := pop.Key{Topic: h.Topic, Group: h.ConsumerGroup, Queue: h.QueueID}
	answered := func(r protocol.ChangeInvisibleResponse, err error) {
		a := answer{}
		if err != nil {
			a = failed(err)
		}
		a.header = &r
		done(a)
	}
	if receipt.ReviveQueueID == protocol.PopOrderReviveQueue {
		b.pops.ChangeOrdered(key, receipt.PopTime, h.Offset, h.InvisibleTime, func(until int64, changed bool, err error) {
			r := protocol.ChangeInvisibleResponse{}
			if changed {
				r = protocol.ChangeInvisibleResponse{PopTime: receipt.PopTime, InvisibleTime: until - receipt.PopTime, ReviveQueueID: receipt.ReviveQueueID}
			}
			answered(r, err)
		})
		return
	}
	invisible := min(max(h.InvisibleTime, 0), pop.MaxInvisible)
	b.pops.Change(key, receipt.PopTime, h.Offset, invisible, func(newTime int64, err error) {
		answered(protocol.ChangeInvisibleResponse{PopTime: newTime, InvisibleTime: invisible, ReviveQueueID: receipt.ReviveQueueID}, err)
	})
}
