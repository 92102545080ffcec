package native

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// holdTime is how long a message that the broker did not take back waits here
// for its next attempt (ConsumeMessageConcurrentlyService: 5 s).
const holdTime = 5 * time.Second

// settle applies a verdict. Settlements of messages that are not out, or of an
// earlier copy, do not count.
func (q *queue) settle(st settlement) {
	if q.ord != nil && !q.returned(st.d) {
		return
	}
	s := q.win.find(st.d.QueueOffset)
	if s == nil || s.d != st.d || s.state != slotOut {
		return
	}
	switch v := st.v; {
	case v.Action == driver.ActionAck:
		q.finished(s)
	case v.Action == driver.ActionDeadLetter || s.d.ReconsumeTimes >= q.maxRetries(v):
		q.deadLetter(s, v)
	case q.ord != nil:
		q.park(s, q.suspension(v))
	case q.s.cfg.Broadcast != nil:
		q.skip(s)
	case v.Delay > 0:
		q.retryExactly(s, v)
	default:
		q.sendBack(s, v, int32(max(v.Level, 0)))
	}
}

// finished is the end of a message.
func (q *queue) finished(s *slot) {
	l := s.lane
	q.win.finish(s)
	if l != nil {
		q.advance(l)
	}
}

// maxRetries is the maximum that counts for a verdict, as large as the wire takes it.
func (q *queue) maxRetries(v driver.Verdict) int {
	switch {
	case v.MaxRetries > 0:
		return min(v.MaxRetries, math.MaxInt32)
	case v.MaxRetries < 0:
		return 0
	}
	return min(q.s.cfg.MaxRetries, math.MaxInt32)
}

// sendBack hands a message back to its broker (code 36), which delivers it again
// after the level's delay or, past the maximum, moves it to the dead letters.
func (q *queue) sendBack(s *slot, v driver.Verdict, level int32) {
	h := &protocol.SendBackRequest{
		Offset: s.physical, Group: q.s.cfg.Group, DelayLevel: level,
		OriginMessageID: s.d.ID, OriginTopic: q.s.c.namespace.wire(s.d.Topic),
		MaxReconsumeTimes: protocol.SomeInt32(int32(q.maxRetries(v))), BrokerName: q.mq.Broker,
	}
	q.tell(s, protocol.SendMessageBack, h, nil, func(s *slot, err error) {
		switch {
		case err == nil:
			q.finished(s)
		case level >= 0:
			q.hold(s, err, holdTime)
		case refusedOutright(err) && q.ord == nil:
			q.deadLetterBySend(s, v, err)
		default:
			q.holdLetter(s, v, err)
		}
	})
}

// refusedOutright: the broker itself said no.
func refusedOutright(err error) bool {
	var b *message.BrokerError
	return errors.As(err, &b)
}

// deadLetter gives a message up for good.
func (q *queue) deadLetter(s *slot, v driver.Verdict) {
	if q.s.cfg.Broadcast != nil {
		q.skip(s)
		return
	}
	q.sendBack(s, v, -1)
}

// skip passes over a message of a broadcast group, which has neither retries by the
// broker nor dead letters.
func (q *queue) skip(s *slot) {
	q.s.c.log.Error("a broadcast message is passed over", "group", q.s.group, "queue", q.shown, "offset", s.offset, "id", s.d.ID, "attempts", s.d.ReconsumeTimes+1)
	q.finished(s)
}

// deadLetterBySend is the other way into the dead letters, for a broker that
// refuses to take a message back: a send to the retry topic that has one attempt
// more than its maximum. Ordered messages wait here instead: one whose send came
// back as a retry would have lost its place.
func (q *queue) deadLetterBySend(s *slot, v driver.Verdict, cause error) {
	times := int32(s.d.ReconsumeTimes)
	h := q.republish(s, times+1, times, 0)
	q.tell(s, protocol.SendMessageV2, h, q.storedBody(s), func(s *slot, err error) {
		if err == nil {
			q.finished(s)
			return
		}
		q.holdLetter(s, v, causes{cause, err})
	})
}

// retryExactly asks for a delay that no level has: the message is sent to the
// retry topic as a timer message, without a level, which would win. Brokers
// before 5.0 ignore the timer, so that they never get one.
func (q *queue) retryExactly(s *slot, v driver.Verdict) {
	due := time.Now().Add(v.Delay)
	b, err := q.s.c.master(q.mq)
	if err == nil {
		err = b.keepsDelays("retry after "+v.Delay.String(), q.mq.Broker)
	}
	if err != nil {
		q.noExactDelay(s, v, due, err)
		return
	}
	h := q.republish(s, int32(s.d.ReconsumeTimes)+1, int32(q.maxRetries(v)), due.UnixMilli())
	q.tell(s, protocol.SendMessageV2, h, q.storedBody(s), func(s *slot, err error) {
		if err == nil {
			q.finished(s)
			return
		}
		// Too far ahead, the timer is off or overloaded, or there is no answer, when it
		// may come twice.
		q.noExactDelay(s, v, due, err)
	})
}

// keepsDelays is an error for a broker that is known not to have timer messages.
func (b *broker) keepsDelays(op, name string) error {
	v := b.version.Load()
	if v >= protocol.VersionV5_0_0 {
		return nil
	}
	return &UnsupportedError{
		Op: op, Broker: name, Addr: b.addr,
		Why:    fmt.Sprintf("exact delays need RocketMQ 5.0; the broker reports version %d, 5.0.0 is %d", v, protocol.VersionV5_0_0),
		Remedy: "retry by levels or upgrade the broker",
	}
}

// noExactDelay rounds up to the next level or, when that is not allowed, keeps
// the message here until it is due. A broker that cannot be reached is tried again
// while there is time.
func (q *queue) noExactDelay(s *slot, v driver.Verdict, due time.Time, why error) {
	gone, left := errors.Is(why, message.ErrUnreachable), time.Until(due)
	switch {
	case gone && left > holdTime:
		q.park(s, holdTime)
		s.rare.then = func(s *slot) {
			v.Delay = time.Until(due)
			q.retryExactly(s, v)
		}
		q.complaints.warn(q.s.c.log, "message not taken back; trying again", "group", q.s.group, "queue", q.shown, "id", s.d.ID, "error", why)
		return
	case gone || v.Strict:
		q.hold(s, why, left)
		return
	}
	level := levelFor(q.s.c.levels, v.Delay)
	q.s.c.log.Warn("retry delay rounded up to a level", "group", q.s.group, "queue", q.shown, "id", s.d.ID, "delay", v.Delay, "level", level, "why", why)
	q.sendBack(s, v, level)
}

// levelFor is the first level that is not shorter, or the last one.
func levelFor(levels protocol.DelayLevels, d time.Duration) int32 {
	if level, ok := levels.LevelOf(d); ok {
		return int32(level)
	}
	if _, above := levels.Nearest(d); above > 0 {
		return int32(above)
	}
	return int32(len(levels))
}

// storedBody is the body as the broker has it, compressed or not.
func (q *queue) storedBody(s *slot) []byte {
	if s.rare != nil && s.rare.raw != nil {
		return s.rare.raw
	}
	return s.d.Body
}

// republish is the header of a message's next copy in the retry topic. What the
// broker counts and compares is kept: the id, the first topic and copy, the
// attempts. What belonged to the last delivery goes.
func (q *queue) republish(s *slot, times, maxTimes int32, deliverAt int64) *protocol.SendRequest {
	d := s.d
	return &protocol.SendRequest{
		Code: protocol.SendMessageV2, ProducerGroup: q.s.cfg.Group, Topic: message.RetryTopic(q.s.cfg.Group),
		DefaultTopic: protocol.DefaultTopic, DefaultTopicQueueNums: autoQueues,
		QueueID: -1, // the broker chooses
		SysFlag: d.SysFlag & (protocol.SysCompressed | protocol.SysCompressionMask | protocol.SysMultiTags), Flag: d.Flag,
		BornTimestamp: d.BornTimestamp, Properties: retryProperties(d, q.s.c.namespace.wire(d.OriginTopic()), deliverAt),
		ReconsumeTimes: times, MaxReconsumeTimes: protocol.SomeInt32(maxTimes), BrokerName: q.mq.Broker,
	}
}

// retryProperties are the properties of a message's next copy. topic is where it was first
// sent, not d.Topic, which for a dead letter is its queue's name.
func retryProperties(d *message.Delivery, topic string, deliverAt int64) []byte {
	var props []byte
	origin, id := "", ""
	for k, v := range d.Properties() {
		switch k {
		case protocol.PropDelayLevel, protocol.PropTimerDelaySec, protocol.PropTimerDelayMs, protocol.PropTimerDeliverMs,
			protocol.PropTimerOutMs, protocol.PropRealTopic, protocol.PropRealQueueID, protocol.PropTransactionPrepared,
			protocol.PropWaitStore, protocol.PropRetryTopic, protocol.PropReconsumeTime, protocol.PropMaxReconsumeTimes,
			"TIMER_ENQUEUE_MS", "TIMER_DEQUEUE_MS", "TIMER_ROLL_TIMES":
			continue
		case protocol.PropOriginMessageID:
			origin = v
			continue
		case protocol.PropUniqueKey:
			id = v
		}
		props = protocol.AppendProperty(props, k, v)
	}
	if id == "" {
		props = protocol.AppendProperty(props, protocol.PropUniqueKey, d.ID) // lest the broker makes up another
	}
	if origin == "" {
		origin = d.OffsetID
	}
	props = protocol.AppendProperty(props, protocol.PropOriginMessageID, origin)
	props = protocol.AppendProperty(props, protocol.PropRetryTopic, topic)
	if deliverAt > 0 {
		props = appendNumber(props, protocol.PropTimerDeliverMs, deliverAt)
	}
	return props
}

// tell makes a request about a settled message and calls then on the queue's
// goroutine, unless the message is not the queue's any more.
func (q *queue) tell(s *slot, code protocol.Code, h protocol.Header, body []byte, then func(*slot, error)) {
	s.state = slotSettling
	offset, d := s.offset, s.d
	done := func(string, error) {}
	if on := q.s.cfg.OnSendBack; on != nil {
		done = on(d)
	}
	finish := func(err error) {
		if s := q.win.find(offset); s != nil && s.d == d && s.state == slotSettling {
			then(s, err)
		}
	}
	b, err := q.s.c.master(q.mq)
	if err != nil {
		done("", err)
		finish(err)
		return
	}
	op := "hand a message of topic " + d.Topic + " back"
	ctx := remoting.WithTimeout(context.Background(), q.s.c.cfg.RequestTimeout)
	b.start(ctx, q.mq.Broker, op, code, h, func(resp *protocol.Command, err error) {
		if resp != nil {
			if _, stored := statusOf(resp.Code); stored {
				err = nil
			}
		}
		done(b.addr, err)
		q.post(func() { finish(err) })
	}, body)
}

// hold keeps a message here, because the broker did not take it back: it is
// delivered again after a while, and the offset does not pass it.
func (q *queue) hold(s *slot, err error, d time.Duration) {
	q.s.c.log.Warn("message not taken back; it stays here and is delivered again", "group", q.s.group, "queue", q.shown, "offset", s.offset, "id", s.d.ID, "after", d, "error", err)
	q.park(s, d)
}

// holdLetter keeps a message here that could not be dead-lettered, to try that
// again; its handler does not see it again.
func (q *queue) holdLetter(s *slot, v driver.Verdict, err error) {
	q.s.c.log.Warn("message not dead-lettered; trying again", "group", q.s.group, "queue", q.shown, "offset", s.offset, "id", s.d.ID, "after", holdTime, "error", err)
	q.park(s, holdTime)
	s.rare.then = func(s *slot) { q.deadLetter(s, v) }
}

func (q *queue) park(s *slot, d time.Duration) {
	s.state = slotWaiting
	s.extra().due = time.Now().Add(d)
	q.waiting++
}

// redeliverDue delivers what waits here and is due. The copy counts one more
// attempt; the one that failed before is not changed, since its handler may
// still look at it.
func (q *queue) redeliverDue(now time.Time) time.Time {
	next := now.Add(time.Hour)
	if q.waiting == 0 || !q.mine(now) {
		return next
	}
	var others []*slot
	q.win.each(func(s *slot) {
		switch {
		case s.state != slotWaiting:
		case s.rare.due.After(now):
			next = earlier(next, s.rare.due)
		case s.rare.then != nil:
			others = append(others, s)
		default:
			d := *s.d
			d.ReconsumeTimes++
			s.d, s.state = &d, slotOut
			q.waiting--
			q.deliverOne(&d)
		}
	})
	for _, s := range others {
		q.waiting--
		then := s.rare.then
		s.rare.then = nil
		then(s)
	}
	return next
}
