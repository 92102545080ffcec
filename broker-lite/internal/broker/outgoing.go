package broker

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/timer"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// outgoing is a message on its way into the log: where it goes, and what its
// properties become there.
type outgoing struct {
	topic    string
	queueID  int32
	tagsCode int64
	props    []byte // as they came
	scanned         // of props

	drop      known // what does not stay of props
	uniqueKey []byte
	stamped   bool   // MSG_REGION, TRACE_ON and CLUSTER are written
	level     string // DELAY, when it changes
	txID      bool   // __transactionId__ is written
	timerOut  int64  // TIMER_OUT_MS, when it is one
	timerAt   int64  // TIMER_DELIVER_MS, when its delay is relative
	realTopic string // REAL_TOPIC and REAL_QID, when topic is the broker's own
	realQueue int32
}

// prioritize puts a message with a priority into the queue of that number, when it
// is nothing else than that; otherwise the property goes.
func (m *outgoing) prioritize(topic *protocol.TopicConfig) {
	n, err := strconv.Atoi(string(m.priority))
	switch {
	case err != nil || n < 0:
	case isTrue(m.prepared) || m.seen&(hasDelay|hasTimer|hasSharding) != 0 || topic.WriteQueueNums <= 0:
		m.drop |= hasPriority
	default:
		m.queueID = min(int32(min(n, math.MaxInt32)), topic.WriteQueueNums-1)
	}
}

// setReal sends the message to one of the broker's own topics, from where it goes
// on to its real one.
func (m *outgoing) setReal(topic string, queueID int32) {
	m.realTopic, m.realQueue = m.topic, m.queueID
	m.topic, m.queueID = topic, queueID
	m.drop |= hasReal
}

// appendProperties appends the message's properties as they are stored.
func (b *Broker) appendProperties(dst []byte, m *outgoing) []byte {
	dst = m.without(dst, m.props, m.drop)
	if len(m.uniqueKey) > 0 && m.scanned.uniqueKey == nil {
		dst = appendProperty(dst, protocol.PropUniqueKey, m.uniqueKey)
	}
	if m.stamped {
		dst = append(dst, b.stamp...)
	}
	if m.level != "" {
		dst = appendProperty(dst, protocol.PropDelayLevel, m.level)
	}
	if m.txID {
		dst = appendProperty(dst, protocol.PropTransactionID, m.uniqueKey)
	}
	if m.timerOut > 0 {
		dst = appendNumber(dst, protocol.PropTimerOutMs, m.timerOut)
	}
	if m.timerAt > 0 {
		dst = appendNumber(dst, protocol.PropTimerDeliverMs, m.timerAt)
	}
	if m.realTopic != "" {
		dst = appendProperty(dst, protocol.PropRealTopic, m.realTopic)
		dst = appendNumber(dst, protocol.PropRealQueueID, int64(m.realQueue))
	}
	return dst
}

// What the broker adds to a message's properties when it moves the message, in bytes
// at most: package timer two moments, a commit with a timer two more, package halfmsg
// a number of checks and, in what producers are asked, WAIT.
const (
	timerRoom       = len("TIMER_ENQUEUE_MS= TIMER_DEQUEUE_MS= ") + 2*len("253402300799999")
	commitTimerRoom = len("TIMER_OUT_MS= TIMER_DELIVER_MS= ") + 2*len("253402300799999")
	checkRoom       = len(protocol.PropCheckTimes+"= ") + len("-2147483648") + len("WAIT=false ")
)

// room is how many bytes of properties must be left for what is added on the way to
// its consumers: without, a message that was acknowledged could not be delivered.
func (m *outgoing) room() int {
	switch {
	case m.txID && m.seen&hasTimer != 0:
		return checkRoom + commitTimerRoom + timerRoom
	case m.txID:
		return checkRoom
	case m.timerOut > 0:
		return timerRoom
	}
	return 0
}

func appendProperty[T string | []byte](dst []byte, name string, value T) []byte {
	dst = append(append(dst, name...), protocol.NameValueSeparator)
	return append(append(dst, value...), protocol.PropertySeparator)
}

func appendNumber(dst []byte, name string, value int64) []byte {
	dst = append(append(dst, name...), protocol.NameValueSeparator)
	return append(strconv.AppendInt(dst, value, 10), protocol.PropertySeparator)
}

// divert sends a message with a delay to where it waits (HookUtils.
// handleScheduleMessage): a delay level beats the timer's properties.
func (b *Broker) divert(m *outgoing) *answer {
	level, a := delayLevel(m.delay)
	if a != nil {
		return a
	}
	if m.level != "" {
		level = 0 // the broker has set it, to none
	}
	switch {
	case level > 0:
		b.divertLevel(m, level)
		return nil
	case m.seen&hasTimer == 0 || m.seen&hasTimerOut != 0:
		return nil
	}
	return b.divertTimer(m)
}

func delayLevel(v []byte) (int, *answer) {
	if v == nil {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(v), 10, 32)
	if err != nil {
		a := refuse(protocol.MessageIllegal, "the message is illegal: property DELAY is %q, want a delay level as a whole number", short(v))
		return 0, &a
	}
	return int(n), nil
}

func (b *Broker) divertLevel(m *outgoing, level int) {
	m.drop |= hasTimer
	if clamped := b.levels.Clamp(level); clamped != level {
		level = clamped
		m.drop |= hasDelay
		m.level = strconv.Itoa(level)
	}
	m.setReal(meta.ScheduleTopic, int32(level-1))
	m.tagsCode = b.clock.Now().UnixMilli() + b.levels.Delay(level).Milliseconds()
}

// timerPrecision is what TIMER_OUT_MS is rounded down to (timerPrecisionMs). The
// delivery itself is exact to the millisecond.
const timerPrecision = 1000

// outOf is the TIMER_OUT_MS of a message that is delivered at a moment.
func outOf(at int64) int64 { return (at - 1) / timerPrecision * timerPrecision }

// latestDelivery is the last moment that a message can be delivered at: the end
// of the year 9999.
const latestDelivery = 253_402_300_799_999

func (b *Broker) divertTimer(m *outgoing) *answer {
	if !b.config.TimerEnable {
		a := refuse(protocol.SystemError, "accurate timer message is not enabled, timerWheelEnable is false")
		return &a
	}
	now := b.clock.Now().UnixMilli()
	at, ok := timerDeadline(&m.scanned, now)
	limit := latestDelivery - now
	if most := b.conf().TimerMaxDelay.Milliseconds(); most > 0 {
		limit = most
	}
	why := ""
	switch {
	case !ok:
		why = "its delay is no whole number"
	case at-now > limit:
		why = fmt.Sprintf("its delay is %dms; timerMaxDelaySec sets the limit", at-now)
	case at > now:
	case m.seen&hasTimerDelete != 0:
		why = "the message that it recalls has been delivered"
	default:
		return nil // delivered at once
	}
	if why != "" {
		a := refuse(protocol.MessageIllegal, "timer message illegal, the delay time should not be bigger than the max delay %dms; or if set del msg, the delay time should be bigger than the current time (%s)", limit, why)
		return &a
	}
	m.timerOut = outOf(at)
	if m.seen&(hasTimerSec|hasTimerMs) != 0 {
		// The record keeps the exact moment, for a consume queue that is built anew.
		// Package timer takes it out again.
		m.drop |= hasTimerDeliver
		m.timerAt = at
	}
	m.setReal(meta.TimerTopic, 0)
	m.tagsCode = at
	if m.seen&hasTimerDelete != 0 {
		m.tagsCode = timer.RecallTagsCode(m.timerOut)
	}
	return nil
}

// timerDeadline is the moment that a message's timer properties name, in ms since
// 1970, when a relative delay begins at now.
func timerDeadline(s *scanned, now int64) (at int64, ok bool) {
	v, unit := s.timerDeliver, int64(1)
	switch {
	case s.timerSec != nil:
		v, unit = s.timerSec, 1000
	case s.timerMs != nil:
		v = s.timerMs
	default:
		now = 0
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || n > math.MaxInt64/2/unit || n < math.MinInt64/2/unit {
		return 0, false
	}
	return now + n*unit, true
}

// tagsCodeOf is String.hashCode of the tags, as consume queues have it.
func tagsCodeOf(tags []byte) int64 {
	if len(tags) == 0 {
		return 0
	}
	h := int32(0)
	for _, c := range tags {
		if c >= 0x80 {
			return int64(protocol.HashCode(string(tags)))
		}
		h = 31*h + int32(c)
	}
	return int64(h)
}

// TagsCode is the tags code of a record when its consume queue is built anew: the
// moment of delivery for delayed messages, the hash of the tags for all others.
func TagsCode(levels protocol.DelayLevels) func(*protocol.Record) int64 {
	return func(r *protocol.Record) int64 {
		var s scanned
		s.scan(r.Properties)
		switch r.Topic {
		case meta.ScheduleTopic:
			return r.StoreTimestamp + levels.Delay(int(r.QueueID)+1).Milliseconds()
		case meta.TimerTopic:
			if s.timerDeliver != nil {
				s.timerSec, s.timerMs = nil, nil
			}
			if at, ok := timerDeadline(&s, r.StoreTimestamp); ok && s.seen&hasTimerDelete != 0 {
				return timer.RecallTagsCode(outOf(at))
			} else if ok {
				return at
			}
		}
		return tagsCodeOf(s.tags)
	}
}

// short is as much of a client's value as a remark repeats.
func short(v []byte) []byte { return bytes.ToValidUTF8(v[:min(len(v), 64)], []byte("?")) }

// divertCommit is Divert for a half message that is committed.
func (b *Broker) divertCommit(r *protocol.Record) (tagsCode int64, err error) {
	b.adopt(r)
	return b.Divert(r)
}

// Divert is divert for a record that the broker stores again, a send-back or a
// commit: it changes the record and returns its tags code.
func (b *Broker) Divert(r *protocol.Record) (tagsCode int64, err error) {
	m := outgoing{topic: r.Topic, queueID: r.QueueID, props: r.Properties}
	m.scan(r.Properties)
	m.tagsCode = tagsCodeOf(m.tags)
	if a := b.divert(&m); a != nil {
		return 0, errors.New(a.remark)
	}
	if m.realTopic != "" {
		r.Topic, r.QueueID = m.topic, m.queueID
		r.Properties = b.appendProperties(nil, &m)
	}
	return m.tagsCode, nil
}
