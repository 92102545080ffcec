package native

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// What administrators ask a running consumer, by way of a broker: where it is (221),
// how it is (307), and to handle one message now (309).

const (
	// maxAsked bounds the questions that wait for the queues' answers.
	maxAsked = 64
	// askTime is how long queues have to say how they are.
	askTime = 3 * time.Second
	// maxDirects bounds the messages that a group handles for administrators at once.
	maxDirects = 16
	// directTime bounds a handler's run for an administrator: brokers wait 10 s.
	directTime = 10 * time.Second
)

// asked finds the group that a question is about, or answers that there is none.
func (c *client) asked(conn *remoting.Conn, cmd *protocol.Command, group string) *subscription {
	s := c.subscription(group)
	if s == nil {
		c.reply(conn, cmd, protocol.SystemError, fmt.Sprintf("The Consumer Group <%s> not exist in this consumer", group))
	}
	return s
}

// answerLater answers a question on another goroutine.
func (c *client) answerLater(conn *remoting.Conn, cmd *protocol.Command, f func(ctx context.Context) ([]byte, error)) {
	request := *cmd
	request.Fields, request.Body = nil, nil
	queued := c.asks.submit(func() {
		ctx, cancel := context.WithTimeout(c.ctx, askTime)
		defer cancel()
		body, err := f(ctx)
		if err != nil {
			c.reply(conn, &request, protocol.SystemError, err.Error())
			return
		}
		c.reply(conn, &request, protocol.Success, "", body)
	})
	if !queued {
		c.reply(conn, cmd, protocol.SystemBusy, fmt.Sprintf("%d questions wait for an answer already", maxAsked))
	}
}

// tellOffsets is code 221: where this member is in each of its queues of a topic.
func (c *client) tellOffsets(conn *remoting.Conn, cmd *protocol.Command) {
	var h protocol.GroupTopicRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		c.reply(conn, cmd, protocol.SystemError, err.Error())
		return
	}
	s := c.asked(conn, cmd, h.Group)
	if s == nil {
		return
	}
	c.answerLater(conn, cmd, func(ctx context.Context) ([]byte, error) {
		offsets := map[protocol.MessageQueue]int64{}
		for mq, info := range s.inspect(ctx) {
			if mq.Topic == h.Topic {
				offsets[mq] = info.CommitOffset
			}
		}
		return protocol.EncodeClientOffsets(offsets), nil
	})
}

// tellRunningInfo is code 307.
func (c *client) tellRunningInfo(conn *remoting.Conn, cmd *protocol.Command) {
	var h protocol.RunningInfoRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		c.reply(conn, cmd, protocol.SystemError, err.Error())
		return
	}
	s := c.asked(conn, cmd, h.ConsumerGroup)
	if s == nil {
		return
	}
	c.answerLater(conn, cmd, func(ctx context.Context) ([]byte, error) {
		subs := s.filters()
		slices.SortFunc(subs, func(a, b protocol.SubscriptionData) int { return strings.Compare(a.Topic, b.Topic) })
		return protocol.EncodeRunningInfo(&protocol.RunningInfo{
			Queues: s.inspect(ctx), Subscriptions: subs,
			Properties: map[string]string{
				protocol.RunningNameServers: strings.Join(c.cfg.NameServers, ";"),
				protocol.RunningConsumeType: protocol.ConsumePassively,
				protocol.RunningOrdered:     strconv.FormatBool(s.cfg.Ordered),
				protocol.RunningVersion:     "V5_3_1", // of protocol.ClientVersion
				protocol.RunningSince:       strconv.FormatInt(s.began.UnixMilli(), 10),
			},
		})
	})
}

// inspect asks every queue of this member how it is. What has not answered when ctx
// ends, or still looks for its offset, is left out.
func (s *subscription) inspect(ctx context.Context) map[protocol.MessageQueue]protocol.ProcessQueue {
	queues, _ := s.owned(ctx) // none when the group is left
	answers := make([]chan protocol.ProcessQueue, len(queues))
	for i, q := range queues {
		answers[i] = make(chan protocol.ProcessQueue, 1)
		q.post(func() { answers[i] <- q.inspect() })
	}
	infos := map[protocol.MessageQueue]protocol.ProcessQueue{}
	for i, q := range queues {
		select {
		case <-q.done:
		case <-ctx.Done():
		case info := <-answers[i]:
			infos[wireQueue(q.mq)] = info
		}
	}
	return infos
}

// inspect is how the queue is. It runs on its goroutine.
func (q *queue) inspect() protocol.ProcessQueue {
	info := protocol.ProcessQueue{
		CommitOffset: q.low(), CachedCount: q.win.live, CachedMiB: int(q.win.bytes >> 20), Dropped: q.life.Err() != nil,
		LastPullMs: millis(q.pull.sent), LastConsumeMs: millis(q.consumed),
	}
	if q.locks() {
		info.Locked, info.LastLockMs = q.ord.lock.held, millis(q.ord.lock.until.Add(-lockTrust))
	}
	if q.win.n > 0 {
		info.CachedMin = q.win.at(0).offset
		info.CachedMax = q.win.at(q.win.n - 1).offset
	}
	return info
}

// millis is 0 for no time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// consumeDirectly is code 309: hand one message to its handler, once, and say what
// became of it. Offsets and retries are not touched.
func (c *client) consumeDirectly(conn *remoting.Conn, cmd *protocol.Command) {
	var h protocol.ConsumeDirectlyRequest
	err := h.DecodeFields(cmd.Fields)
	if err != nil {
		c.reply(conn, cmd, protocol.SystemError, err.Error())
		return
	}
	s := c.asked(conn, cmd, h.ConsumerGroup)
	if s == nil {
		return
	}
	d, err := s.directDelivery(bytes.Clone(cmd.Body), h.BrokerName)
	if err != nil {
		c.reply(conn, cmd, protocol.SystemError, fmt.Sprintf("the message cannot be read: %v", err))
		return
	}
	if s.directs.Add(1) > maxDirects {
		s.directs.Add(-1)
		c.reply(conn, cmd, protocol.SystemBusy, fmt.Sprintf("%d messages are handled directly already", maxDirects))
		return
	}
	request := *cmd
	request.Fields, request.Body = nil, nil
	ctx, cancel := context.WithTimeout(s.ctx, directTime)
	s.sink.Deliver(ctx, &direct{s: s, conn: conn, cmd: request, began: time.Now(), cancel: cancel}, []*message.Delivery{d})
}

func (s *subscription) directDelivery(body []byte, brokerName string) (*message.Delivery, error) {
	var rec protocol.Record
	if _, err := protocol.DecodeRecord(body, &rec); err != nil {
		return nil, err
	}
	d, err := answer.Delivery(&rec, s.cfg.Group, message.Queue{Topic: rec.Topic, Broker: brokerName, ID: int(rec.QueueID)})
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(rec.Topic, message.DLQPrefix) {
		if origin, ok := protocol.Property(rec.Properties, protocol.PropRetryTopic); ok {
			d.Topic = origin // the handler is registered for that
		}
	}
	s.show(d)
	return d, nil
}

// direct is the driver.Settler of a message that is handled for an administrator.
type direct struct {
	s      *subscription
	conn   *remoting.Conn
	cmd    protocol.Command
	began  time.Time
	cancel context.CancelFunc
}

// Settle implements driver.Settler.
func (a *direct) Settle(_ *message.Delivery, v driver.Verdict) {
	defer a.s.directs.Add(-1)
	defer a.cancel()
	r := protocol.DirectResult{AutoCommit: true, Ordered: a.s.cfg.Ordered, SpentMs: time.Since(a.began).Milliseconds()}
	switch v.Action {
	case driver.ActionAck:
		r.Result = protocol.DirectSuccess
	case driver.ActionDeadLetter:
		r.Result, r.Remark = protocol.DirectLater, "it would go to the dead letters"
	default:
		r.Result = protocol.DirectLater
	}
	body, err := protocol.EncodeBody(r)
	if err != nil {
		a.s.c.reply(a.conn, &a.cmd, protocol.SystemError, err.Error())
		return
	}
	a.s.c.reply(a.conn, &a.cmd, protocol.Success, "", body)
}
