package broker

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 10 SEND_MESSAGE, 310 SEND_MESSAGE_V2 and 320 SEND_BATCH_MESSAGE
// (SendMessageProcessor). The answer has msgId, queueId, queueOffset, MSG_REGION
// and TRACE_ON; 5.x adds transactionId, the unique key.
//
// 5.x stores MSG_REGION, TRACE_ON and CLUSTER with a message and keeps WAIT; 4.9
// stores CLUSTER only and drops WAIT. A SEND to %RETRY%group is dead-lettered
// when reconsumeTimes is greater than the maximum; 4.9 did so from the maximum on.

func (b *Broker) sendHandlers() handlers {
	return handlers{
		protocol.SendMessage:      b.handleSend,
		protocol.SendMessageV2:    b.handleSend,
		protocol.SendBatchMessage: b.handleSend,
		protocol.SendMessageBack:  b.sendBack,
		protocol.EndTransaction:   b.endTransaction,
	}
}

func (b *Broker) handleSend(p *peer, cmd *protocol.Command) {
	h := &p.send
	h.Code = cmd.Code
	err := h.DecodeFields(cmd.Fields)
	if err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	topic, refused := b.topicForSend(p, h)
	if refused == nil {
		if h.Batch {
			refused = b.sendBatch(p, cmd, &topic)
		} else {
			refused = b.sendOne(p, cmd, &topic)
		}
	}
	if refused != nil {
		refused.header = &sendRefusal{b}
		b.reply(p.conn, cmd, *refused)
	}
}

// sendRefusal is the header of a send that was refused.
type sendRefusal struct{ b *Broker }

// AppendFields implements protocol.Header.
func (h *sendRefusal) AppendFields(w *protocol.FieldWriter) {
	w.OptString(protocol.PropMsgRegion, h.b.config.RegionID)
	w.String(protocol.PropTraceOn, h.b.traceOn)
}

// topicForSend checks what concerns the topic and the queue, and makes the topic
// where that is allowed (AbstractSendMessageProcessor.msgCheck).
func (b *Broker) topicForSend(p *peer, h *protocol.SendRequest) (protocol.TopicConfig, *answer) {
	if b.closing.Load() {
		a := b.storeFailed(errShuttingDown)
		return protocol.TopicConfig{}, &a
	}
	topic, ok := b.meta.Topics.Get(h.Topic)
	if !ok {
		if err := meta.CheckTopic(h.Topic); err != nil {
			a := failed(err)
			return topic, &a
		}
	}
	if meta.SendForbidden(h.Topic) {
		a := refuse(protocol.NoPermission, "Sending message to topic[%s] is forbidden.", h.Topic)
		return topic, &a
	}
	if !ok {
		var err error
		if topic, err = b.meta.Topics.CreateForSend(h.Topic, h.DefaultTopic, h.DefaultTopicQueueNums, unitFlag(h)); err != nil {
			a := failed(err)
			if errors.Is(err, meta.ErrNoTopic) {
				a = refuse(protocol.TopicNotExist, "topic[%s] not exist, apply first please!%s", h.Topic, faq)
			}
			return topic, &a
		}
	}
	if topic.Order && int32(b.conf().Permission)&protocol.PermWrite == 0 {
		a := refuse(protocol.NoPermission, "the broker[%s] sending message is forbidden", b.host)
		return topic, &a
	}
	if h.QueueID >= max(topic.WriteQueueNums, topic.ReadQueueNums) || (h.QueueID < 0 && topic.WriteQueueNums <= 0) {
		a := refuse(protocol.InvalidParameter, "request queueId[%d] is illegal, %s Producer: %s", h.QueueID, describe(&topic), p.conn.RemoteAddr())
		return topic, &a
	}
	return topic, nil
}

// unitFlag is the system flag of a topic that is made for a client in unit mode
// (TopicSysFlag).
func unitFlag(h *protocol.SendRequest) int32 {
	switch {
	case !h.UnitMode:
		return 0
	case strings.HasPrefix(h.Topic, meta.RetryPrefix):
		return 2
	}
	return 1
}

// describe is Java's TopicConfig.toString.
func describe(c *protocol.TopicConfig) string {
	perm := []byte("---")
	for i, bit := range []int32{protocol.PermRead, protocol.PermWrite, protocol.PermInherit} {
		if c.Perm&bit != 0 {
			perm[i] = "RWX"[i]
		}
	}
	return fmt.Sprintf("TopicConfig [topicName=%s, readQueueNums=%d, writeQueueNums=%d, perm=%s, topicFilterType=%s, topicSysFlag=%d, order=%t, attributes=%s]",
		c.TopicName, c.ReadQueueNums, c.WriteQueueNums, perm, c.TopicFilterType, c.TopicSysFlag, c.Order, javaMap(c.Attributes))
}

// javaMap is Java's Map.toString.
func javaMap(m map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+"="+m[k])
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func queueOf(h *protocol.SendRequest, topic *protocol.TopicConfig) int32 {
	if h.QueueID >= 0 {
		return h.QueueID
	}
	return rand.Int32N(topic.WriteQueueNums)
}

// checkBody refuses a body that cannot be stored.
func (b *Broker) checkBody(body []byte) *answer {
	var a answer
	switch {
	case len(body) == 0:
		a = refuse(protocol.MessageIllegal, "the message is illegal: its body is empty")
	case len(body) > b.conf().MaxMessageSize:
		a = b.tooLarge(fmt.Sprintf("its body has %d bytes", len(body)))
	default:
		return nil
	}
	return &a
}

// tooLarge begins with Apache's text, and then says what it was.
func (b *Broker) tooLarge(what string) answer {
	return refuse(protocol.MessageIllegal, "the message is illegal, maybe msg body or properties length not matched. msg body length limit %dB, msg properties length limit 32KB. (%s; maxMessageSize=%d)",
		b.conf().MaxMessageSize, what, b.conf().MaxMessageSize)
}

// sendOne stores one message; it is answered by the store, unless it is refused.
func (b *Broker) sendOne(p *peer, cmd *protocol.Command, topic *protocol.TopicConfig) *answer {
	h := &p.send
	if a := b.checkBody(cmd.Body); a != nil {
		return a
	}
	if h.SysFlag&protocol.SysInnerBatch != 0 {
		a := refuse(protocol.MessageIllegal, "the message is illegal: topic %s has no queues for inner batches", topic.TopicName)
		return &a
	}
	m := outgoing{topic: topic.TopicName, queueID: queueOf(h, topic), props: h.Properties, stamped: true,
		drop: hasCluster | hasRegion | hasTrace | hasPopCheck}
	m.scan(h.Properties)
	m.tagsCode = tagsCodeOf(m.tags)
	if m.seen&hasPriority != 0 {
		m.prioritize(topic)
	}
	op := b.newSendOp(p, cmd)
	op.queueID = m.queueID
	m.uniqueKey = m.scanned.uniqueKey
	if m.uniqueKey == nil {
		op.id = b.ids.AppendNext(op.id[:0])
		m.uniqueKey = op.id
	}
	if a := b.route(p, cmd, &m, op); a != nil {
		op.free()
		return a
	}
	if m.timerOut > 0 && !strings.HasPrefix(m.realTopic, meta.RetryPrefix) {
		op.recall = b.recallHandle(&m)
	}
	return b.appendOne(p, cmd, topic, &m, op)
}

// route decides which topic a message goes to: to the dead letters, among the half
// messages, to where delayed messages wait, or to its own.
func (b *Broker) route(p *peer, cmd *protocol.Command, m *outgoing, op *sendOp) *answer {
	h := &p.send
	if strings.HasPrefix(h.Topic, meta.RetryPrefix) {
		if a := b.deadLetterRetry(h, cmd, m); a != nil {
			return a
		}
	}
	if m.seen&hasInnerNum != 0 {
		a := refuse(protocol.MessageIllegal, "the message is illegal: property INNER_NUM belongs to inner batches")
		return &a
	}
	level, a := delayLevel(m.delay)
	if a != nil {
		return a
	}
	if isTrue(m.prepared) && (h.ReconsumeTimes <= 0 || level <= 0) {
		return b.prepare(m, op)
	}
	return b.divert(m)
}

// deadLetterRetry handles a client's fallback for a send-back that was refused: a
// SEND to the retry topic (handleRetryAndDLQ). From 5.1.1 on one to a group that has
// locked queues is a dead letter at once: it consumes in order, and its clients send
// there what they give up for good.
func (b *Broker) deadLetterRetry(h *protocol.SendRequest, cmd *protocol.Command, m *outgoing) *answer {
	name := strings.TrimPrefix(h.Topic, meta.RetryPrefix)
	group, ok := b.meta.Groups.Find(name)
	if !ok {
		a := noGroup(name)
		return &a
	}
	most := group.RetryMaxTimes
	if h.MaxReconsumeTimes.Set && cmd.Version >= versionV3_4_9 {
		most = h.MaxReconsumeTimes.Value
	}
	if h.ReconsumeTimes <= most && !b.locks.Locked(name) {
		return nil
	}
	dlq := b.meta.Topics.CreateForSendBack(meta.DLQPrefix+name, meta.DLQQueueNums, protocol.PermRead|protocol.PermWrite, false, 0)
	m.topic, m.queueID = dlq.TopicName, 0
	m.drop |= hasDelay
	m.level = "-1"
	return nil
}

// versionV3_4_9 is from where a request's maxReconsumeTimes counts.
const versionV3_4_9 = 121

func noGroup(name string) answer {
	return refuse(protocol.GroupNotExist, "subscription group not exist, %s %s", name, faq)
}

// prepare makes a message a half message
// (TransactionalMessageBridge.parseHalfMessageInner). A delay counts from the
// commit.
func (b *Broker) prepare(m *outgoing, op *sendOp) *answer {
	if b.conf().RejectTransactions {
		a := refuse(protocol.NoPermission, "the broker[%s] sending transaction message is forbidden", b.host)
		return &a
	}
	if len(m.topic) > protocol.MaxTopicLength { // whoever is asked for the outcome may not be able to read it
		a := refuse(protocol.MessageIllegal, "the message is illegal: the topic of a transaction has %d bytes, at most %d", len(m.topic), protocol.MaxTopicLength)
		return &a
	}
	m.drop |= hasTransactionID
	m.txID = true
	m.setReal(meta.HalfTopic, 0)
	op.half = true
	op.immunity = b.half.Immunity(m.immunity)
	return nil
}

// appendOne encodes a message and hands it to the store.
func (b *Broker) appendOne(p *peer, cmd *protocol.Command, topic *protocol.TopicConfig, m *outgoing, op *sendOp) *answer {
	h, r := &p.send, &p.record
	p.props = b.appendProperties(p.props[:0], m)
	if room := m.room(); len(p.props)+room > protocol.MaxPropertiesLength {
		op.free()
		what := fmt.Sprintf("its properties have %d bytes, at most %d", len(p.props), protocol.MaxPropertiesLength)
		if room > 0 {
			what += fmt.Sprintf(" with the %d that its delivery adds", room)
		}
		a := b.tooLarge(what)
		return &a
	}
	*r = protocol.Record{
		QueueID: m.queueID, Flag: h.Flag, SysFlag: sysFlagOf(h, topic), BornTimestamp: h.BornTimestamp, BornHost: p.born,
		StoreHost: b.storeHost, ReconsumeTimes: h.ReconsumeTimes, Body: cmd.Body, Topic: m.topic, Properties: p.props,
	}
	records, err := protocol.AppendRecord(op.append.Records[:0], r)
	r.Body, r.Properties = nil, nil
	if err != nil {
		op.free()
		a := refuse(protocol.MessageIllegal, "the message is illegal: %v", err)
		return &a
	}
	op.uniqueKey = append(op.uniqueKey[:0], m.uniqueKey...)
	op.tags = append(op.tags[:0], m.tagsCode)
	op.submit(m.topic, m.queueID, records)
	return nil
}

// sysFlagOf is a message's flag as it is stored. Transaction bits mean nothing
// there before a commit; Apache hides messages that carry them.
func sysFlagOf(h *protocol.SendRequest, topic *protocol.TopicConfig) int32 {
	flag := h.SysFlag &^ (protocol.SysTransactionMask | protocol.SysNeedUnwrap | protocol.SysInnerBatch)
	if topic.TopicFilterType == protocol.MultiTag {
		flag |= protocol.SysMultiTags
	}
	return flag
}
