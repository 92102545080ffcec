package broker

import (
	"strconv"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/timer"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Code 370 RECALL_MESSAGE (RecallMessageProcessor), 5.4: takes a timer message back
// by the handle in its send's answer, which has the second of its delivery. Success
// says that a message is stored that keeps it from being delivered. Too late, a bad
// handle and another broker's are all ILLEGAL_OPERATION.
//
// On Apache recallMessageEnable is off by default. There a recall may be stored and
// still come too late; here it is then refused.

// recallTag is the tag of a stored recall.
const recallTag = "_RECALL_TAG_"

func (b *Broker) recallHandlers() handlers {
	return handlers{protocol.RecallMessage: b.handleRecall}
}

// recallHandle is the handle of a timer message.
func (b *Broker) recallHandle(m *outgoing) string {
	h := protocol.RecallHandle{
		Topic: m.realTopic, BrokerName: b.config.BrokerName, Timestamp: strconv.FormatInt(m.timerOut+1, 10), UniqueKey: string(m.uniqueKey),
	}
	return h.String()
}

func (b *Broker) handleRecall(p *peer, cmd *protocol.Command) {
	var h protocol.RecallRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	handle, at, refused := b.checkRecall(&h)
	if refused == nil {
		op := &recallOp{b: b, at: at, id: handle.UniqueKey}
		refused = op.submit(p, cmd, &h, &handle)
	}
	if refused != nil {
		refused.header = &protocol.RecallResponse{RegionID: b.config.RegionID}
		b.reply(p.conn, cmd, *refused)
	}
}

func (b *Broker) checkRecall(h *protocol.RecallRequest) (handle protocol.RecallHandle, at int64, refused *answer) {
	illegal := func(why string) *answer {
		a := refuse(protocol.IllegalOperation, "%s", why)
		return &a
	}
	switch _, exists := b.meta.Topics.Get(h.Topic); {
	case !b.config.Recall:
		a := refuse(protocol.NoPermission, "recall failed, operation is forbidden")
		return handle, 0, &a
	case b.closing.Load():
		a := refuse(protocol.ServiceNotAvailable, "recall failed, broker service not available")
		return handle, 0, &a
	case !exists:
		a := refuse(protocol.TopicNotExist, "recall failed, the topic[%s] not exist", h.Topic)
		return handle, 0, &a
	}
	handle, err := protocol.ParseRecallHandle(h.Handle)
	switch {
	case err != nil:
		return handle, 0, illegal(err.Error())
	case handle.Topic != h.Topic:
		return handle, 0, illegal("recall failed, topic not match")
	case handle.BrokerName != b.config.BrokerName:
		return handle, 0, illegal("recall failed, broker service not available")
	}
	at, err = strconv.ParseInt(handle.Timestamp, 10, 64)
	left, most := at-b.clock.Now().UnixMilli(), b.conf().TimerMaxDelay.Milliseconds()
	if err != nil || left <= 0 || most > 0 && left >= most {
		return handle, 0, illegal(tooLateToRecall)
	}
	return handle, at, nil
}

const tooLateToRecall = "recall failed, timestamp invalid"

// recallOp is a recall that is being stored: the append and its completion.
type recallOp struct {
	b      *Broker
	at     int64 // from then on the message may be delivered; ms since 1970
	id     string
	done   func(answer)
	append store.Append
}

func (op *recallOp) submit(p *peer, cmd *protocol.Command, h *protocol.RecallRequest, handle *protocol.RecallHandle) *answer {
	b := op.b
	now := b.clock.Now().UnixMilli()
	props := protocol.AppendProperty(nil, protocol.PropTags, recallTag)
	props = protocol.AppendProperty(props, protocol.PropTimerDelUniqueKey, timer.DeleteKey(handle.Topic, handle.UniqueKey))
	props = protocol.AppendProperty(props, protocol.PropUniqueKey, handle.UniqueKey)
	props = protocol.AppendProperty(props, protocol.PropTimerDeliverMs, handle.Timestamp)
	props = protocol.AppendProperty(props, protocol.PropProducerGroup, h.ProducerGroup)
	m := outgoing{topic: handle.Topic, props: props}
	m.scan(props)
	if a := b.divertTimer(&m); a != nil {
		return a
	}
	r := protocol.Record{
		Topic: m.topic, QueueID: m.queueID, Body: []byte("0"), Properties: b.appendProperties(nil, &m),
		BornTimestamp: now, BornHost: p.born, StoreHost: b.storeHost,
	}
	records, err := protocol.AppendRecord(nil, &r)
	if err != nil {
		a := failed(err)
		return &a
	}
	if op.done = b.settling(p, cmd); op.done == nil {
		return nil
	}
	op.append = store.Append{Topic: r.Topic, QueueID: r.QueueID, Records: records, TagsCodes: []int64{m.tagsCode}, Done: op}
	b.store.Append(&op.append)
	return nil
}

// Appended implements store.Completion.
func (op *recallOp) Appended(r store.AppendResult) {
	a := answer{header: &protocol.RecallResponse{MessageID: op.id, RegionID: op.b.config.RegionID}}
	switch {
	case r.Err != nil:
		a = refuse(protocol.SystemError, "recall failed, execute error: %v", r.Err)
	case op.b.clock.Now().UnixMilli() >= op.at:
		a = refuse(protocol.IllegalOperation, "%s", tooLateToRecall)
	}
	op.done(a)
}
