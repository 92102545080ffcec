package broker

import (
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 11 PULL_MESSAGE and 361 LITE_PULL_MESSAGE (PullMessageProcessor,
// DefaultPullMessageResultHandler). The two are served alike; 361 came with 5.0,
// and 4.9's lite consumers send 11 with bit 16 of the flags.
//
// 0 answers with records, side by side as they are stored; 19 that there is
// nothing yet, which waits for a message when the client lets it; 20 that nothing
// matched, and 21 that the offset is wrong, both with where to go on. The remark
// is Apache's name of the store's result. A queue that the topic does not have is
// INVALID_PARAMETER; 4.9 said SYSTEM_ERROR.

// maxSuspend bounds how long a pull is parked, whatever it asks for.
const maxSuspend = 10 * time.Minute

// pull is a pull that was checked. It is copied when it is parked.
type pull struct {
	peer     *peer
	resp     protocol.Command // what the answer starts from
	oneway   bool
	group    string
	topic    string
	queueID  int32
	offset   int64
	messages int
	bytes    int
	filter   filter
	own      bool          // the filter came with the pull
	version  int64         // subVersion, of a pull without a filter
	suspend  time.Duration // 0: it is not parked

	topicFlag, groupFlag int32
}

func (b *Broker) pullHandlers() handlers {
	return handlers{protocol.PullMessage: b.handlePull, protocol.LitePullMessage: b.handlePull}
}

func (b *Broker) handlePull(p *peer, cmd *protocol.Command) {
	h := &p.pull
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	pl := pull{peer: p, oneway: cmd.IsOneway(), group: h.ConsumerGroup, topic: h.Topic, queueID: h.QueueID, offset: h.QueueOffset}
	if a := unreadable(cmd, h.Topic); a != nil {
		b.reply(p.conn, cmd, *a)
		return
	}
	if a := b.checkPull(p, h, &pl); a != nil {
		b.reply(p.conn, cmd, *a)
		return
	}
	pl.resp = cmd.Response(protocol.Success, "")
	if h.SysFlag&protocol.PullSuspend != 0 && !pl.oneway {
		pl.suspend = time.Duration(min(max(h.SuspendTimeout, 0), maxSuspend.Milliseconds())) * time.Millisecond
		if c := b.conf(); !c.LongPolling {
			pl.suspend = c.ShortPollingTime
		}
	}
	commit := h.SysFlag&protocol.PullCommitOffset != 0 && h.CommitOffset >= 0
	if moved := b.answerPull(&pl, true); commit && !moved {
		b.meta.Offsets.Commit(pl.group, pl.topic, pl.queueID, h.CommitOffset)
	}
}

// checkPull refuses a pull, or fills in what it may take.
func (b *Broker) checkPull(p *peer, h *protocol.PullRequest, pl *pull) *answer {
	broadcast, a := b.mayPull(pl)
	if a != nil {
		return a
	}
	return b.choosePull(p, h, broadcast, pl)
}

// mayPull checks what can change while a pull waits: permissions, the group, the
// topic and its queues. It reports whether the group may broadcast.
func (b *Broker) mayPull(pl *pull) (broadcast bool, refused *answer) {
	var a answer
	group, known := b.meta.Groups.Find(pl.group)
	topic, exists := b.meta.Topics.Get(pl.topic)
	switch {
	case int32(b.conf().Permission)&protocol.PermRead == 0:
		a = refuse(protocol.NoPermission, "the broker[%s] pulling message is forbidden", b.host)
	case !known:
		a = refuse(protocol.GroupNotExist, "subscription group [%s] does not exist, %s", pl.group, faq)
	case !group.ConsumeEnable:
		a = refuse(protocol.NoPermission, "subscription group no permission, %s", pl.group)
	case !exists:
		a = refuse(protocol.TopicNotExist, "topic[%s] not exist, apply first please! %s", pl.topic, faq)
	case topic.Perm&protocol.PermRead == 0:
		a = refuse(protocol.NoPermission, "the topic[%s] pulling message is forbidden", pl.topic)
	case b.meta.Groups.ReadForbidden(pl.group, pl.topic):
		a = refuse(protocol.NoPermission, "the consumer group[%s] is forbidden for topic[%s]", pl.group, pl.topic)
	case pl.queueID < 0 || pl.queueID >= topic.ReadQueueNums:
		a = refuse(protocol.InvalidParameter, "queueId[%d] is illegal, topic:[%s] topicConfig.readQueueNums:[%d] consumer:[%s]", pl.queueID, pl.topic, topic.ReadQueueNums, pl.peer.conn.RemoteAddr())
	default:
		pl.topicFlag, pl.groupFlag = topic.TopicSysFlag, group.GroupSysFlag
		return group.ConsumeBroadcastEnable, nil
	}
	return false, &a
}

// choosePull finds the filter and the limits.
func (b *Broker) choosePull(p *peer, h *protocol.PullRequest, broadcast bool, pl *pull) *answer {
	pl.messages = int(min(max(h.MaxMessages, 1), int32(b.conf().MaxTransferCount)))
	pl.bytes = b.conf().MaxTransferBytes
	if h.MaxBytes.Set {
		pl.bytes = min(pl.bytes, max(int(h.MaxBytes.Value), 100))
	}
	if h.SysFlag&protocol.PullSubscription == 0 {
		sub, err := b.sessions.Subscription(h.ConsumerGroup, h.Topic, h.SubVersion)
		switch {
		case err != nil:
			a := failed(err)
			return &a
		case !broadcast && sub.Model == protocol.Broadcasting:
			a := refuse(protocol.NoPermission, "the consumer group[%s] can not consume by broadcast way", h.ConsumerGroup)
			return &a
		}
		pl.version = h.SubVersion
		var a *answer
		pl.filter, a = b.filterOfGroup(&sub)
		return a
	}
	pl.own = true
	var a *answer
	pl.filter, a = b.filterOfPull(p, h)
	return a
}

// resumePull answers a pull that has waited, by what is allowed and what its group
// wants by now.
func (b *Broker) resumePull(pl *pull) {
	_, a := b.mayPull(pl)
	if a == nil && !pl.own {
		sub, err := b.sessions.Subscription(pl.group, pl.topic, pl.version)
		if err != nil {
			refused := failed(err)
			a = &refused
		} else {
			pl.filter, a = b.filterOfGroup(&sub)
		}
	}
	if a != nil {
		pl.resp.Code, pl.resp.Remark = a.code, a.remark
		b.sendPull(pl, nil, nil)
		return
	}
	b.answerPull(pl, false)
}

// answerPull reads and answers, or parks the pull if it may wait. It reports whether
// the group's offset was reset: the pull's own does not count.
func (b *Broker) answerPull(pl *pull, first bool) (reset bool) {
	if offset, ok := b.meta.Offsets.TakeReset(pl.group, pl.topic, pl.queueID); ok {
		pl.resp.Code, pl.resp.Remark = protocol.PullOffsetMoved, "OFFSET_RESET"
		b.sendPull(pl, &pullHeader{PullResponse: protocol.PullResponse{
			NextBeginOffset: offset, MinOffset: b.store.MinOffset(pl.topic, pl.queueID), MaxOffset: b.store.MaxOffset(pl.topic, pl.queueID),
		}, pull: pl}, nil)
		return true
	}
	buf, _ := b.bodies.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	r, err := b.read(pl.filter, pl.topic, pl.queueID, pl.offset, pl.messages, pl.bytes, (*buf)[:0])
	if err != nil {
		b.logger.Error("reading messages failed", "topic", pl.topic, "queue", pl.queueID, "offset", pl.offset, "err", err)
	}
	if r.Status == store.NoQueue {
		r.Status = store.NoMessageInQueue // Apache makes a queue when it is looked for
	}
	code := pullCode(r.Status, pl.offset)
	switch {
	case err != nil && r.Count == 0:
		pl.resp.Code, pl.resp.Remark = protocol.SystemError, err.Error()
		b.sendPull(pl, nil, nil)
	case code == protocol.PullNotFound && first && pl.suspend > 0 && b.holder.park(pl):
		// It waits.
	default:
		if code == protocol.PullOffsetMoved {
			b.logger.Info("a pull's offset is corrected", "group", pl.group, "topic", pl.topic, "queue", pl.queueID, "from", pl.offset, "to", r.NextOffset, "status", r.Status.String())
		}
		pl.resp.Code, pl.resp.Remark = code, r.Status.String()
		h := pullHeader{PullResponse: protocol.PullResponse{NextBeginOffset: r.NextOffset, MinOffset: r.MinOffset, MaxOffset: r.MaxOffset}, pull: pl}
		b.stats.get(pl.topic, pl.group, r.Count, len(r.Body))
		b.meta.Offsets.Pulled(pl.group, pl.topic, pl.queueID, r.NextOffset)
		b.sendPull(pl, &h, r.Body)
	}
	if r.Body != nil {
		*buf = r.Body[:0]
	}
	if cap(*buf) <= maxKeptBody {
		b.bodies.Put(buf)
	}
	return false
}

// maxKeptBody is the largest buffer that is kept for the next pull.
const maxKeptBody = 1 << 20

// pullHeader is the header of an answer, with what 5.x adds.
type pullHeader struct {
	protocol.PullResponse
	pull *pull
}

// AppendFields implements protocol.Header.
func (h *pullHeader) AppendFields(w *protocol.FieldWriter) {
	h.PullResponse.AppendFields(w)
	w.Int("topicSysFlag", int64(h.pull.topicFlag))
	w.Int("groupSysFlag", int64(h.pull.groupFlag))
}

func (b *Broker) sendPull(pl *pull, h *pullHeader, body []byte) {
	switch {
	case pl.oneway:
	case h == nil:
		b.send(pl.peer.conn, &pl.resp, nil, nil)
	default:
		b.send(pl.peer.conn, &pl.resp, h, body)
	}
}

// pullCode is PullMessageProcessor.composeResponseHeader.
func pullCode(status store.ReadStatus, offset int64) protocol.Code {
	switch status {
	case store.Found:
		return protocol.Success
	case store.NoMatched:
		return protocol.PullRetryImmediately
	case store.NoQueue, store.NoMessageInQueue:
		if offset != 0 {
			return protocol.PullOffsetMoved
		}
		return protocol.PullNotFound
	case store.OffsetOverflowOne:
		return protocol.PullNotFound
	case store.OffsetOverflowBadly, store.OffsetTooSmall:
		return protocol.PullOffsetMoved
	}
	return protocol.SystemError
}
