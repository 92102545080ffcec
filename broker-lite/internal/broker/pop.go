package broker

import (
	"strconv"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/pop"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 200050 POP_MESSAGE (PopMessageProcessor), 200052 PEEK_MESSAGE, 200054
// NOTIFICATION and 200055 POLLING_INFO; all of them came with 5.0.
//
// A pop answers 0 with records, or waits, or answers 210 POLLING_TIMEOUT that there
// is nothing, or 209 POLLING_FULL that too many wait. Java reads popTime,
// invisibleTime, reviveQid and restNum whatever the code. A record of a retry topic
// is answered with the topic that was asked for, and its receipt in POP_CK; 5.x
// clients make those of the others from startOffsetInfo and msgOffsetInfo.
//
// Where a group without an offset begins is popStart's. Unlike Apache, where some
// seconds pass, a message is visible again to the millisecond.

// maxPopNums is how many messages a pop may ask for, and maxAttempt bounds its attempt
// id, in bytes: Java's has 36. It is kept with the lock of an orderly queue.
const (
	maxPopNums = 32
	maxAttempt = 255
)

// popping is a pop or a notification that was checked. It is copied when it waits.
type popping struct {
	peer   *peer
	resp   protocol.Command // what the answer starts from
	h      protocol.PopRequest
	filter filter
	retry  []string  // the group's retry topics, the current name first
	until  time.Time // when it has waited long enough
	notify bool      // code 200054: it takes nothing
}

func (b *Broker) popHandlers() handlers {
	return handlers{
		protocol.PopMessage:          b.handlePop,
		protocol.Notification:        b.handleNotification,
		protocol.PeekMessage:         b.handlePeek,
		protocol.PollingInfo:         b.at(b.pollingInfo),
		protocol.AckMessage:          b.handleAck,
		protocol.BatchAckMessage:     b.handleBatchAck,
		protocol.ChangeInvisibleTime: b.handleChangeInvisible,
	}
}

func (b *Broker) handlePop(p *peer, cmd *protocol.Command) {
	pp := popping{peer: p}
	if err := pp.h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	pp.resp = cmd.Response(protocol.Success, "")
	b.waits(&pp)
	if a := unreadable(cmd, pp.h.Topic); a != nil {
		b.reply(p.conn, cmd, *a)
		return
	}
	if a := b.checkPop(p, &pp); a != nil {
		a.header = &protocol.PopResponse{}
		b.reply(p.conn, cmd, *a)
		return
	}
	b.pop(&pp, true)
}

// waits sets until when a request may wait: bornTime + pollTime, by the client's
// clock, is what Apache takes.
func (b *Broker) waits(pp *popping) {
	now := time.Now()
	poll := time.Duration(min(max(pp.h.PollTime, 0), maxSuspend.Milliseconds())) * time.Millisecond
	pp.until = now.Add(poll)
	if pp.h.BornTime > 0 && poll > 0 {
		if born := time.UnixMilli(pp.h.BornTime); born.Before(now) {
			pp.until = born.Add(poll)
		}
	}
	pp.retry = []string{protocol.PopRetryTopic(pp.h.Topic, pp.h.ConsumerGroup, b.config.PopRetryTopicV2)}
	if b.config.PopRetryTopicV2 && b.config.PopReadRetryTopicV1 {
		pp.retry = append(pp.retry, protocol.PopRetryTopic(pp.h.Topic, pp.h.ConsumerGroup, false))
	}
}

// tooLate is how long after its time a pop may arrive.
const tooLate = 500 * time.Millisecond

func (b *Broker) checkPop(p *peer, pp *popping) *answer {
	var a answer
	switch {
	case b.closing.Load():
		a = b.storeFailed(errShuttingDown)
	case pp.h.PollTime > 0 && time.Since(pp.until) > tooLate:
		a = refuse(protocol.PollingTimeout, "the broker[%s] pop message is timeout too much", b.host)
	case int32(b.conf().Permission)&protocol.PermRead == 0:
		a = refuse(protocol.NoPermission, "the broker[%s] pop message is forbidden", b.host)
	case pp.h.MaxMessages > maxPopNums:
		a = refuse(protocol.InvalidParameter, "the broker[%s] pop message's num is greater than 32", b.host)
	case len(pp.h.AttemptID) > maxAttempt:
		a = refuse(protocol.InvalidParameter, "the attempt id of the pop has %d bytes, at most %d", len(pp.h.AttemptID), maxAttempt)
	default:
		if refused := b.checkPopTopic(p, &pp.h); refused != nil {
			return refused
		}
		f, err := b.popFilter(p, &pp.h)
		if err != nil {
			return err
		}
		pp.filter = f
		return nil
	}
	return &a
}

// resumePop answers a pop or a notification that has waited, by what is allowed by now.
func (b *Broker) resumePop(pp *popping) {
	switch a := b.checkPeek(pp.peer, &pp.h); {
	case a != nil && pp.notify:
		pp.resp.Code, pp.resp.Remark = a.code, a.remark
		b.send(pp.peer.conn, &pp.resp, nil, nil)
	case a != nil:
		pp.resp.Code, pp.resp.Remark = a.code, a.remark
		b.send(pp.peer.conn, &pp.resp, &protocol.PopResponse{}, nil)
	case pp.notify:
		b.notification(pp)
	default:
		b.pop(pp, false)
	}
}

// checkPopTopic checks topic, queue and group, as all of POP's codes do.
func (b *Broker) checkPopTopic(p *peer, h *protocol.PopRequest) *answer {
	topic, exists := b.meta.Topics.Get(h.Topic)
	var a answer
	switch {
	case !exists:
		a = refuse(protocol.TopicNotExist, "topic[%s] not exist, apply first please! %s", h.Topic, faq)
	case topic.Perm&protocol.PermRead == 0:
		a = refuse(protocol.NoPermission, "the topic[%s] peeking message is forbidden", h.Topic)
	case h.QueueID >= topic.ReadQueueNums:
		a = refuse(protocol.InvalidParameter, "queueId[%d] is illegal, topic:[%s] topicConfig.readQueueNums:[%d] consumer:[%s]", h.QueueID, h.Topic, topic.ReadQueueNums, p.conn.RemoteAddr())
	default:
		group, known := b.meta.Groups.Find(h.ConsumerGroup)
		switch {
		case !known:
			a = refuse(protocol.GroupNotExist, "subscription group [%s] does not exist, %s", h.ConsumerGroup, faq)
		case !group.ConsumeEnable:
			a = refuse(protocol.NoPermission, "subscription group no permission, %s", h.ConsumerGroup)
		default:
			return nil
		}
	}
	return &a
}

// popFilter is what a pop takes. As on Apache enablePropertyFilter does not matter.
func (b *Broker) popFilter(p *peer, h *protocol.PopRequest) (filter, *answer) {
	if h.Expression == "" {
		return filter{}, nil
	}
	f, err := b.parseFilter(&p.filters, h.Topic, h.ExpressionType, h.Expression)
	if err != nil {
		a := refuse(protocol.SubscriptionParse, "parse the consumer's subscription failed: %v", err)
		return filter{}, &a
	}
	return f, nil
}

// popRetryTopic is the retry topic of a topic and group, which it makes.
func (b *Broker) popRetryTopic(topic, group string) string {
	name := protocol.PopRetryTopic(topic, group, b.config.PopRetryTopicV2)
	return b.meta.Topics.CreateForSendBack(name, 1, protocol.PermRead|protocol.PermWrite, false, 0).TopicName
}

// popStart is where a group without an offset begins to pop: at the beginning, or,
// when it asks for the end, at the last message; a young queue it gets from its
// beginning unless offsets are strict (PopMessageProcessor.getInitOffset).
func (b *Broker) popStart(key pop.Key, mode int32) (int64, error) {
	if b.pops.Known(key) {
		return 0, nil
	}
	low := b.store.MinOffset(key.Topic, key.Queue)
	if mode == protocol.PopFromMin || strings.HasPrefix(key.Topic, meta.RetryPrefix) {
		return low, nil
	}
	high := b.store.MaxOffset(key.Topic, key.Queue)
	if b.strictOffsets {
		return high, nil
	}
	young, err := b.young(key.Topic, key.Queue)
	if err != nil || young {
		return 0, err
	}
	return max(high-1, 0), nil
}

// pop reads and answers, or lets the pop wait. first: it is called on the reader of
// the pop's connection.
func (b *Broker) pop(pp *popping, first bool) {
	r := popRead{b: b, pp: pp, pop: b.pops.NewPop(pp.h.InvisibleTime, pp.h.Order, pp.h.AttemptID)}
	r.all(int(b.popTurn.Add(1)))
	switch {
	case r.count > 0:
		b.answerPop(&r, first)
	case r.err != nil:
		r.pop.End()
		pp.resp.Code, pp.resp.Remark = protocol.SystemError, r.err.Error()
		b.send(pp.peer.conn, &pp.resp, r.header(), nil)
	default:
		r.pop.End()
		b.popNothing(&r)
	}
}

// popNothing lets a pop that found nothing wait, or says so.
func (b *Broker) popNothing(r *popRead) {
	pp := r.pp
	pp.resp.Code = protocol.PollingTimeout
	if time.Until(pp.until) > 0 && !b.closing.Load() {
		if b.popWaits.park(pp) {
			return
		}
		pp.resp.Code = protocol.PollingFull
	}
	pp.resp.Remark = store.NoMessageInQueue.String()
	b.send(pp.peer.conn, &pp.resp, r.header(), nil)
}

// answerPop answers when what was taken is in the journal.
func (b *Broker) answerPop(r *popRead, first bool) {
	pp := r.pp
	size := int64(len(r.body))
	if first {
		if !pp.peer.acquire(size) {
			size = 0 // nobody waits for it, and it comes again
		}
	} else {
		pp.peer.inFlight.Add(size)
	}
	b.sending.Add(1)
	r.pop.Done(func(err error) {
		if err != nil {
			a := b.storeFailed(err)
			pp.resp.Code, pp.resp.Remark, r.body = a.code, a.remark, nil
		} else {
			pp.resp.Code, pp.resp.Remark = protocol.Success, store.Found.String()
			b.stats.get(pp.h.Topic, pp.h.ConsumerGroup, r.count, len(r.body))
		}
		b.send(pp.peer.conn, &pp.resp, r.header(), r.body)
		pp.peer.release(size)
		b.sent()
	})
	if r.rest > 0 {
		b.popWake(pop.Key{Topic: pp.h.Topic, Group: pp.h.ConsumerGroup, Queue: pp.h.QueueID})
	}
}

// popRead gathers what one pop takes.
type popRead struct {
	b     *Broker
	pp    *popping
	pop   *pop.Pop
	body  []byte
	count int
	rest  int64 // messages that were left
	err   error // of the last queue that could not be read

	starts, offsets, counts []byte // the header's texts
}

// retryTurn is how often a pop looks at the retry topic first: one time in so many
// (popFromRetryProbability=20).
const retryTurn = 5

// all reads all queues that the pop is for. turn chooses where it begins, so that no
// queue is always last.
func (r *popRead) all(turn int) {
	h := &r.pp.h
	retryFirst := turn%retryTurn == 0 && !h.Order
	if retryFirst {
		r.retries(turn)
	}
	if h.QueueID >= 0 {
		r.queue(h.Topic, h.QueueID, false)
	} else {
		r.topic(h.Topic, turn, false)
	}
	if !retryFirst && !h.Order {
		r.retries(turn)
	}
}

func (r *popRead) retries(turn int) {
	for _, topic := range r.pp.retry {
		r.topic(topic, turn, true)
	}
}

func (r *popRead) topic(topic string, turn int, retry bool) {
	t, ok := r.b.meta.Topics.Get(topic)
	if !ok || t.ReadQueueNums <= 0 {
		return
	}
	for i := range t.ReadQueueNums {
		r.queue(topic, int32((turn+int(i))%int(t.ReadQueueNums)), retry)
	}
}

// queue reads one queue.
func (r *popRead) queue(topic string, id int32, retry bool) {
	b, h := r.b, &r.pp.h
	key := pop.Key{Topic: topic, Group: h.ConsumerGroup, Queue: id}
	end := b.store.MaxOffset(topic, id)
	if end == 0 && b.pops.Known(key) {
		return
	}
	init, err := b.popStart(key, h.InitMode)
	if err != nil {
		r.err = err
		return
	}
	want := int(min(max(h.MaxMessages, 1), maxPopNums)) - r.count
	if want <= 0 || r.count > 0 && len(r.body) >= b.conf().MaxTransferBytes {
		r.rest += max(0, end-b.pops.Next(key, init))
		return
	}
	c, status := r.pop.Claim(key, init)
	switch status {
	case pop.Free:
		r.claimed(c, key, want, retry)
		c.Release()
	case pop.Blocked:
	case pop.Failing:
		r.err = pop.ErrUnavailable
	default:
		if !h.Order {
			r.rest += max(0, end-b.pops.Next(key, init))
		}
	}
}

// claimed takes what a claimed queue has.
func (r *popRead) claimed(c *pop.Claim, key pop.Key, want int, retry bool) {
	b, at := r.b, len(r.body)
	read := func() (store.ReadResult, error) {
		return b.read(r.pp.filter, key.Topic, key.Queue, c.Offset, want, b.conf().MaxTransferBytes-at, r.body[:at])
	}
	res, err := read()
	if res.Status == store.OffsetTooSmall || res.Status == store.OffsetOverflowBadly {
		b.logger.Info("a pop's offset is corrected", "group", key.Group, "topic", key.Topic, "queue", key.Queue, "from", c.Offset, "to", res.NextOffset, "status", res.Status.String())
		c.Skip(res.NextOffset)
		res, err = read()
	}
	if err != nil {
		b.logger.Error("reading messages failed", "topic", key.Topic, "queue", key.Queue, "offset", c.Offset, "err", err)
		if r.err = err; res.Count == 0 {
			return
		}
	}
	switch res.Status {
	case store.Found:
		r.take(c, key, &res, at, retry)
	case store.NoMatched:
		c.Skip(res.NextOffset)
	}
	if res.MaxOffset > res.NextOffset {
		r.rest += res.MaxOffset - res.NextOffset
	}
}

// take makes records invisible that were read behind at, and writes the header's
// texts.
func (r *popRead) take(c *pop.Claim, key pop.Key, res *store.ReadResult, at int, retry bool) {
	start := c.Offset
	offsets, body, err := r.records(res.Body, at, start, retry)
	if err != nil {
		r.b.logger.Error("a stored message cannot be read", "topic", key.Topic, "queue", key.Queue, "err", err)
		r.err = err
		return
	}
	r.body, r.count = body, r.count+len(offsets)
	counts := c.Take(offsets, res.NextOffset)
	mark := protocol.PopRetryMark(key.Topic)
	words := func(dst []byte) []byte {
		if len(dst) > 0 {
			dst = append(dst, ';')
		}
		return append(append(dst, mark...), ' ')
	}
	number := func(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }
	r.starts = number(append(number(words(r.starts), int64(key.Queue)), ' '), start)
	r.offsets = append(number(words(r.offsets), int64(key.Queue)), ' ')
	for i, offset := range offsets {
		if i > 0 {
			r.offsets = append(r.offsets, ',')
		}
		r.offsets = number(r.offsets, offset)
	}
	if !r.pop.Ordered {
		return
	}
	least := counts[0]
	for i, n := range counts {
		least = min(least, n)
		if n > 0 {
			r.counts = append(number(append(words(r.counts), "qo"...), int64(key.Queue)), '%')
			r.counts = number(append(number(r.counts, offsets[i]), ' '), int64(n))
		}
	}
	r.counts = number(append(number(words(r.counts), int64(key.Queue)), ' '), int64(least))
}

// records returns the queue offsets of the records behind at, and the records as
// they are answered: those of a retry topic with the topic that was asked for, and
// their receipt.
func (r *popRead) records(body []byte, at int, start int64, retry bool) (offsets []int64, out []byte, err error) {
	rest := body[at:]
	if retry {
		rest = append([]byte(nil), rest...) // it is written anew in its place
		body = body[:at]
	}
	var rec protocol.Record
	for len(rest) > 0 {
		n, err := protocol.DecodeRecord(rest, &rec)
		if err != nil {
			return nil, nil, err
		}
		offsets = append(offsets, rec.QueueOffset)
		if retry {
			body = r.appendRetry(body, rest[:n], rec, start)
		}
		rest = rest[n:]
	}
	return offsets, body, nil
}

func (r *popRead) appendRetry(dst, raw []byte, rec protocol.Record, start int64) []byte {
	receipt := protocol.PopReceipt{
		StartOffset: start, PopTime: r.pop.Time, InvisibleTime: r.pop.Invisible, Retry: protocol.PopRetryMark(rec.Topic),
		BrokerName: r.b.config.BrokerName, QueueID: rec.QueueID, Offset: rec.QueueOffset,
	}
	rec.Properties = protocol.SetProperty(rec.Properties, protocol.PropPopReceipt, receipt.String())
	rec.Topic = r.pp.h.Topic
	out, err := protocol.AppendRecord(dst, &rec)
	if err != nil {
		// No room for the receipt: clients make one from the retry topic's name.
		return append(dst, raw...)
	}
	return out
}

// header is the answer's.
func (r *popRead) header() *protocol.PopResponse {
	h := &protocol.PopResponse{
		PopTime: r.pop.Time, InvisibleTime: r.pop.Invisible, RestNum: r.rest,
		StartOffsets: string(r.starts), Offsets: string(r.offsets), OrderCounts: string(r.counts),
	}
	if r.pop.Ordered {
		h.ReviveQueueID = protocol.PopOrderReviveQueue
	}
	return h
}

// Invisible is how many messages are popped, and neither acknowledged nor visible
// again.
func (b *Broker) Invisible() int { return b.pops.Invisible() }
