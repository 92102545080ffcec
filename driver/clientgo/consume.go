package clientgo

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/hooks"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// Properties that the driver puts on rocketmq-client-go's copy of a message,
// never on what a broker or a handler sees.
const (
	propOrigin = "ROCKETKIT_ORIGIN_TOPIC" // in place of RETRY_TOPIC, see keepOrigin
	propLetter = "ROCKETKIT_DEAD_LETTER"  // it is to be dead-lettered, and its handler is through
)

// keepOrigin hides from rocketmq-client-go which topic a retried message was
// first sent to. It would look for that topic's callback, and neither deliver
// nor acknowledge a message of a topic that the group does not subscribe to: one
// of a handler that is no longer there, or a dead letter that is retried.
func (s *subscription) keepOrigin(ctx *hooks.FilterMessageContext) ([]*primitive.MessageExt, error) {
	if ctx.MQ.Topic == s.retry {
		for _, m := range ctx.Msg {
			m.WithProperty(propOrigin, m.RemoveProperty(primitive.PropertyRetryTopic))
		}
	}
	return ctx.Msg, nil
}

// pending is one message in the sink's hands, and the driver.Settler for it.
type pending struct {
	d       *message.Delivery
	verdict chan driver.Verdict // capacity 1
}

// Settle implements driver.Settler. Settling again does not count.
func (p *pending) Settle(d *message.Delivery, v driver.Verdict) {
	if d != p.d {
		return
	}
	select {
	case p.verdict <- v:
	default:
	}
}

// revokedPause is how long a callback of a queue that was taken away does not
// return: longer than rocketmq-client-go takes to drop the queue after it has
// asked for its share. What returns after that does not count.
const revokedPause = 2 * time.Second

// consume is rocketmq-client-go's callback, for one message. It blocks until the
// message is settled. It never returns an error: the result beside it would
// count, and its zero value acknowledges.
func (s *subscription) consume(ctx context.Context, ms ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	cc, ok := primitive.GetConcurrentlyCtx(ctx)
	if !ok || len(ms) != 1 {
		s.c.log.Error("rocketmq-client-go calls back otherwise than v2.1.2", "group", s.cfg.Group, "messages", len(ms))
		return consumer.ConsumeRetryLater, nil
	}
	m := ms[0]
	// Without the moment when it began, rocketmq-client-go does not give it back
	// while it is at work.
	m.RemoveProperty(primitive.PropertyConsumeStartTime)
	s.working.Add(1)
	defer s.working.Add(-1)
	mq := message.Queue{Topic: cc.MQ.Topic, Broker: cc.MQ.BrokerName, ID: cc.MQ.QueueId}
	queue := s.owned.context(mq)
	if queue == nil || queue.Err() != nil || s.ctx.Err() != nil {
		s.hold()
		return consumer.ConsumeRetryLater, nil
	}
	if m.GetProperty(propLetter) != "" {
		return retryAt(cc, deadLetterLevel)
	}
	if !readable(m) {
		s.c.log.Error("the body is compressed otherwise than with zlib and cannot be read; another member of the group may, so it is retried", "group", s.cfg.Group, "queue", mq, "offset", m.QueueOffset, "id", m.MsgId, "remedy", "let the producer use ZLIB or none")
		return s.settle(cc, m, driver.Verdict{})
	}
	p := &pending{d: s.delivery(m, mq), verdict: make(chan driver.Verdict, 1)}
	s.deliver(queue, p)
	select {
	case v := <-p.verdict:
		if queue.Err() == nil {
			return s.settle(cc, m, v)
		}
		s.hold()
	case <-s.release:
	}
	return consumer.ConsumeRetryLater, nil
}

// hold waits until what is returned does not count.
func (s *subscription) hold() {
	t := time.NewTimer(revokedPause)
	defer t.Stop()
	select {
	case <-s.release:
	case <-t.C:
		if s.ctx.Err() != nil {
			<-s.release // leave is on its way there
		}
	}
}

// deliver hands a message to the sink. A panic there would leave the message
// with rocketmq-client-go, neither acknowledged nor delivered again.
func (s *subscription) deliver(queue context.Context, p *pending) {
	defer func() {
		if v := recover(); v != nil {
			s.c.log.Error("panic while a message was delivered; it is retried", "group", s.cfg.Group, "topic", p.d.Topic, "id", p.d.ID, "panic", v, "stack", string(debug.Stack()))
			p.Settle(p.d, driver.Verdict{})
		}
	}()
	s.sink.Deliver(queue, p, []*message.Delivery{p.d})
}

// settle says a verdict in rocketmq-client-go's words.
func (s *subscription) settle(cc *primitive.ConsumeConcurrentlyContext, m *primitive.MessageExt, v driver.Verdict) (consumer.ConsumeResult, error) {
	switch {
	case v.Action == driver.ActionAck:
		return consumer.ConsumeSuccess, nil
	case v.Action == driver.ActionDeadLetter || int(m.ReconsumeTimes) >= s.maxRetries(v):
		m.WithProperty(propLetter, "yes")
		return retryAt(cc, deadLetterLevel)
	case v.Delay > 0:
		level := levelFor(v.Delay)
		s.c.log.Warn("retry delay rounded up to a level", "group", s.cfg.Group, "id", m.MsgId, "delay", v.Delay, "level", level)
		return retryAt(cc, level)
	}
	return retryAt(cc, max(v.Level, 0))
}

// deadLetterLevel makes a broker dead-letter a message that is given back.
const deadLetterLevel = -1

// retryAt has rocketmq-client-go give a message back to its broker. Level 0 lets
// the broker choose.
func retryAt(cc *primitive.ConsumeConcurrentlyContext, level int) (consumer.ConsumeResult, error) {
	cc.DelayLevelWhenNextConsume = level
	return consumer.ConsumeRetryLater, nil
}

// maxRetries is the maximum that counts for a verdict.
func (s *subscription) maxRetries(v driver.Verdict) int {
	switch {
	case v.MaxRetries > 0:
		return v.MaxRetries
	case v.MaxRetries < 0:
		return 0
	}
	return s.cfg.MaxRetries
}

// levelFor is the first of RocketMQ's default delay levels that is not shorter,
// or the last one.
func levelFor(d time.Duration) int {
	levels := [...]time.Duration{
		time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 3 * time.Minute, 4 * time.Minute, 5 * time.Minute,
		6 * time.Minute, 7 * time.Minute, 8 * time.Minute, 9 * time.Minute, 10 * time.Minute,
		20 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour,
	}
	for i, level := range levels {
		if d <= level {
			return i + 1
		}
	}
	return len(levels)
}
