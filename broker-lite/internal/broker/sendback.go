package broker

import (
	"math/rand/v2"
	"strings"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// Code 36 CONSUMER_SEND_MSG_BACK (AbstractSendMessageProcessor.
// consumerSendMsgBack). The message at a physical offset is stored again, in
// %RETRY%group behind a delay level, or in %DLQ%group when it was delivered often
// enough or the level is negative. 4.9 and 5.x do the same.

func (b *Broker) sendBack(p *peer, cmd *protocol.Command) {
	var h protocol.SendBackRequest
	err := h.DecodeFields(cmd.Fields)
	if err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	a, r, done := b.findSendBack(cmd, &h)
	if done {
		b.reply(p.conn, cmd, a)
		return
	}
	back := &sendBackOp{b: b, peer: p, conn: p.conn, oneway: cmd.IsOneway(), resp: cmd.Response(protocol.Success, "")}
	if a := back.submit(r); a != nil {
		b.reply(p.conn, cmd, *a)
	}
}

func retryTopic(group string) string { return meta.RetryPrefix + group }

// findSendBack reads the message and decides where it goes. done: there is
// nothing to store.
func (b *Broker) findSendBack(cmd *protocol.Command, h *protocol.SendBackRequest) (a answer, r *protocol.Record, done bool) {
	group, ok := b.meta.Groups.Find(h.Group)
	switch {
	case b.closing.Load():
		return b.storeFailed(errShuttingDown), nil, true
	case !ok:
		return noGroup(h.Group), nil, true
	case int32(b.conf().Permission)&protocol.PermWrite == 0:
		return refuse(protocol.NoPermission, "the broker[%s] sending message is forbidden", b.host), nil, true
	case group.RetryQueueNums <= 0:
		return answer{}, nil, true
	}
	sysFlag := int32(0)
	if h.UnitMode {
		sysFlag = unitSubscription
	}
	const readWrite = protocol.PermRead | protocol.PermWrite
	topic := b.meta.Topics.CreateForSendBack(retryTopic(h.Group), group.RetryQueueNums, readWrite, false, sysFlag)
	if topic.Perm&protocol.PermWrite == 0 {
		return refuse(protocol.NoPermission, "the topic[%s] sending message is forbidden", topic.TopicName), nil, true
	}
	raw, err := b.store.ReadRecord(h.Offset)
	r = new(protocol.Record)
	if err == nil {
		_, err = protocol.DecodeRecord(raw, r)
	}
	if err != nil {
		return refuse(protocol.SystemError, "look message by offset failed, %d", h.Offset), nil, true
	}
	most := group.RetryMaxTimes
	if h.MaxReconsumeTimes.Set && cmd.Version >= versionV3_4_9 {
		most = h.MaxReconsumeTimes.Value
	}
	level := h.DelayLevel
	dead := r.ReconsumeTimes >= most || level < 0
	switch {
	case dead:
		dlq := b.meta.Topics.CreateForSendBack(meta.DLQPrefix+h.Group, meta.DLQQueueNums, readWrite, false, 0)
		b.sendBackProperties(r, 0)
		r.Topic, r.QueueID = dlq.TopicName, 0
	default:
		if level == 0 {
			level = 3 + r.ReconsumeTimes
		}
		b.sendBackProperties(r, level)
		r.Topic, r.QueueID = topic.TopicName, rand.Int32N(group.RetryQueueNums)
	}
	r.ReconsumeTimes++
	r.StoreHost = b.storeHost
	r.PreparedTransactionOffset = 0
	return answer{}, r, false
}

// sendBackProperties gives the message the properties of a retry: the first topic
// and the first message id stay.
func (b *Broker) sendBackProperties(r *protocol.Record, level int32) {
	props := protocol.RemoveProperty(nil, r.Properties, protocol.PropDelayLevel, protocol.PropWaitStore)
	if _, ok := protocol.Property(props, protocol.PropRetryTopic); !ok {
		props = appendProperty(props, protocol.PropRetryTopic, r.Topic)
	}
	if id, ok := protocol.Property(props, protocol.PropOriginMessageID); !ok || strings.TrimSpace(id) == "" {
		props = protocol.RemoveProperty(nil, props, protocol.PropOriginMessageID)
		props = appendProperty(props, protocol.PropOriginMessageID, protocol.OffsetMessageID(r.StoreHost, r.PhysicalOffset))
	}
	props = appendProperty(props, protocol.PropWaitStore, "false")
	r.Properties = appendNumber(props, protocol.PropDelayLevel, int64(level))
}

// sendBackOp is a send-back that is being stored: the append and its completion.
type sendBackOp struct {
	b      *Broker
	peer   *peer
	conn   *remoting.Conn
	oneway bool
	resp   protocol.Command
	append store.Append
}

func (op *sendBackOp) submit(r *protocol.Record) *answer {
	tagsCode, err := op.b.Divert(r)
	if err != nil {
		a := failed(err)
		return &a
	}
	records, err := protocol.AppendRecord(nil, r)
	if err != nil {
		a := failed(err)
		return &a
	}
	if !op.peer.acquire(int64(len(records))) {
		return nil
	}
	op.append = store.Append{Topic: r.Topic, QueueID: r.QueueID, Records: records, TagsCodes: []int64{tagsCode}, Done: op}
	op.b.sending.Add(1)
	op.b.store.Append(&op.append)
	return nil
}

// Appended implements store.Completion. As on Apache a flush that takes too long
// is a failure here: the consumer keeps the message.
func (op *sendBackOp) Appended(r store.AppendResult) {
	switch {
	case r.Err != nil:
		a := op.b.storeFailed(r.Err)
		op.resp.Code, op.resp.Remark = protocol.SystemError, a.remark
	case r.Status == store.StatusFlushDiskTimeout:
		op.resp.Code, op.resp.Remark = protocol.SystemError, "FLUSH_DISK_TIMEOUT"
	}
	if !op.oneway {
		op.b.send(op.conn, &op.resp, nil, nil)
	}
	op.peer.release(int64(len(op.append.Records)))
	op.b.sent()
}
