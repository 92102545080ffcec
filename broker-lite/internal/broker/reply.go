package broker

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 324 SEND_REPLY_MESSAGE and 325 SEND_REPLY_MESSAGE_V2 (ReplyMessageProcessor):
// a reply is handed to the client that its property REPLY_TO_CLIENT names, by code 326,
// and stored in <cluster>_REPLY_TOPIC as it came, unless storeReplyMessageEnable=false.
// The answer is SYSTEM_ERROR when the client did not get it, though it is stored. The
// client is one that produces: it is known by its heartbeats' id. 4.9 and 5.x do the
// same.

// replyTimeout is how long a client may take to accept a reply (Broker2Client).
const replyTimeout = 10 * time.Second

// maxReplies bounds the replies of one connection that are not answered, in bytes. Its
// reader does not wait for room, since the clients' answers may be what it is to read;
// further replies are refused.
const maxReplies = 8 << 20

// replyWeight is what a reply counts at least: it has a goroutine.
const replyWeight = 4 << 10

func (b *Broker) replyHandlers() handlers {
	return handlers{
		protocol.SendReply:   b.handleReply,
		protocol.SendReplyV2: b.handleReply,
	}
}

// replyOp is a reply between its request and its answer: the store's completion.
type replyOp struct {
	b      *Broker
	peer   *peer
	oneway bool
	weight int64
	resp   protocol.Command
	header protocol.PushReplyRequest
	stored protocol.SendResponse
	body   []byte
	append store.Append
}

func (b *Broker) handleReply(p *peer, cmd *protocol.Command) {
	h := &p.send
	h.Code = cmd.Code
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	topic, refused := b.topicForSend(p, h)
	if refused == nil {
		refused = b.checkBody(cmd.Body)
	}
	if refused != nil {
		refused.header = &sendRefusal{b}
		b.reply(p.conn, cmd, *refused)
		return
	}
	op := &replyOp{
		b: b, peer: p, oneway: cmd.IsOneway(), weight: max(int64(len(cmd.Body)+len(h.Properties)), replyWeight),
		resp: cmd.Response(protocol.Success, ""), body: bytes.Clone(cmd.Body),
		header: protocol.PushReplyRequest{
			ProducerGroup: h.ProducerGroup, Topic: h.Topic, DefaultTopic: h.DefaultTopic, DefaultTopicQueueNums: h.DefaultTopicQueueNums,
			QueueID: queueOf(h, &topic), SysFlag: sysFlagOf(h, &topic), BornTimestamp: h.BornTimestamp, Flag: h.Flag,
			Properties: bytes.Clone(h.Properties), ReconsumeTimes: h.ReconsumeTimes, UnitMode: h.UnitMode,
			BornHost: p.born.String(), StoreHost: b.storeHost.String(), StoreTimestamp: b.clock.Now().UnixMilli(),
		},
	}
	if p.replies.Add(op.weight) > maxReplies {
		p.replies.Add(-op.weight)
		b.reply(p.conn, cmd, refuse(protocol.SystemBusy, "too many replies of this connection wait for their clients, start flow control for a while"))
		return
	}
	b.sending.Add(1)
	if !b.spawn(op.run) {
		op.done()
	}
}

// run hands the reply over, stores it, and answers.
func (op *replyOp) run() {
	if remark := op.push(); remark != "" {
		op.resp.Code, op.resp.Remark = protocol.SystemError, remark
		op.b.logger.Warn("a reply did not reach its client", "topic", op.header.Topic, "group", op.header.ProducerGroup, "why", remark)
	}
	op.stored = protocol.SendResponse{MessageID: "0", QueueID: op.header.QueueID}
	if !op.b.conf().StoreReplies {
		op.answer()
		return
	}
	r := protocol.Record{
		Topic: op.header.Topic, QueueID: op.header.QueueID, SysFlag: op.header.SysFlag, Flag: op.header.Flag, Body: op.body,
		BornTimestamp: op.header.BornTimestamp, BornHost: op.peer.born, StoreHost: op.b.storeHost,
		ReconsumeTimes: op.header.ReconsumeTimes, Properties: op.header.Properties,
	}
	tagsCode, err := op.b.Divert(&r)
	var record []byte
	if err == nil {
		record, err = protocol.AppendRecord(nil, &r)
	}
	if err != nil {
		op.Appended(store.AppendResult{Err: err})
		return
	}
	op.append = store.Append{Topic: r.Topic, QueueID: r.QueueID, Records: record, TagsCodes: []int64{tagsCode}, Done: op}
	op.b.store.Append(&op.append)
}

// push asks the client to take the reply; the remark, Apache's, says why it did not.
func (op *replyOp) push() (remark string) {
	const property = "REPLY_TO_CLIENT"
	id, ok := protocol.Property(op.header.Properties, property)
	if !ok {
		return "reply message properties[" + property + "] is null"
	}
	conn, ok := op.b.sessions.ProducerByID(id)
	if !ok {
		return "push reply message fail, channel of <" + id + "> not found."
	}
	h := op.header
	h.Properties = protocol.AppendProperty(slices.Clip(h.Properties), "PUSH_REPLY_TIME", strconv.FormatInt(time.Now().UnixMilli(), 10))
	cmd := protocol.Command{Code: protocol.PushReply, Language: protocol.LanguageGo, Version: protocol.ServerVersion}
	ctx, cancel := context.WithTimeout(op.b.ctx, replyTimeout)
	defer cancel()
	resp, err := conn.Call(ctx, &cmd, &h, op.body)
	switch {
	case err != nil:
		op.b.logger.Debug("pushing a reply failed", "client", id, "peer", conn.RemoteAddr().String(), "err", err)
	case resp.Code != protocol.Success:
		op.b.logger.Debug("a client refused a reply", "client", id, "code", protocol.ResponseName(resp.Code), "remark", resp.Remark)
	default:
		return ""
	}
	return "push reply message to " + id + "fail."
}

// Appended implements store.Completion. That a reply cannot be stored is not told:
// the client has it.
func (op *replyOp) Appended(r store.AppendResult) {
	if r.Err != nil {
		op.b.logger.Warn("a reply is not stored", "topic", op.header.Topic, "err", r.Err)
	} else {
		op.stored.MessageID = protocol.OffsetMessageID(op.b.storeHost, r.PhysicalOffset)
		op.stored.QueueOffset = r.QueueOffset
		op.b.stats.put(op.append.Topic, 1, op.append.Records)
	}
	op.answer()
}

func (op *replyOp) answer() {
	if !op.oneway {
		op.stored.RegionID, op.stored.TraceOn = op.b.config.RegionID, op.b.traceOn
		op.b.send(op.peer.conn, &op.resp, &op.stored, nil)
	}
	op.done()
}

func (op *replyOp) done() {
	op.peer.replies.Add(-op.weight)
	op.b.sent()
}
