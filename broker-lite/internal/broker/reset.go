package broker

import (
	"context"
	"sync"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// Code 222 INVOKE_BROKER_TO_RESET_OFFSET (AdminBrokerProcessor, Broker2Client), and
// the broker's own 220 RESET_CONSUMER_CLIENT_OFFSET: an administrator moves a group
// to a time or an offset.
//
// 5.x (useServerSideResetOffset, on) keeps the offsets that were chosen: the next
// pull of a queue is answered with PULL_OFFSET_MOVED and where to go on, and until
// then commits do not count. It takes a single queue, an offset instead of a time,
// and groups without members. Here a pull that is parked is woken; on Apache it
// waits for its time. 4.9 tells the members with code 220, which move by themselves,
// and refuses a group without any: CONSUMER_NOT_ONLINE, on which tools fall back to
// codes 208, 29 or 30, and 15.

func (b *Broker) resetHandlers() handlers {
	return handlers{protocol.ResetOffset: b.resetOffset}
}

func (b *Broker) resetOffset(p *peer, cmd *protocol.Command) {
	var h protocol.ResetOffsetRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	list := cmd.Language == protocol.LanguageCPP
	b.audit(p, cmd, "group", h.Group, "topic", h.Topic, "queue", h.QueueID, "time", h.Timestamp, "offset", h.Offset.Value, "force", h.Force)
	b.later(p, cmd, func(context.Context) answer {
		if b.conf().ServerSideReset {
			return b.resetHere(&h)
		}
		return b.resetByMembers(&h, list)
	})
}

// resetHere keeps the offsets for the next pulls.
func (b *Broker) resetHere(h *protocol.ResetOffsetRequest) answer {
	topic, ok := b.meta.Topics.Get(h.Topic)
	if !ok {
		return refuse(protocol.TopicNotExist, "Topic %s does not exist", h.Topic)
	}
	if _, ok := b.meta.Groups.Get(h.Group); !ok {
		return refuse(protocol.GroupNotExist, "Group %s does not exist", h.Group)
	}
	offsets := map[protocol.MessageQueue]int64{}
	name := func(id int32) protocol.MessageQueue {
		return protocol.MessageQueue{Topic: h.Topic, BrokerName: b.config.BrokerName, QueueID: id}
	}
	switch {
	case h.QueueID >= max(topic.ReadQueueNums, topic.WriteQueueNums):
		return refuse(protocol.SystemError, "Topic %s has no queue %d", h.Topic, h.QueueID)
	case h.QueueID >= 0 && h.Offset.Set && h.Offset.Value != -1:
		low, high := b.store.MinOffset(h.Topic, h.QueueID), b.store.MaxOffset(h.Topic, h.QueueID)
		if o := h.Offset.Value; o < low || o > high+1 {
			return refuse(protocol.SystemError, "Target offset %d not in consume queue range [%d-%d]", o, low, high)
		}
		offsets[name(h.QueueID)] = h.Offset.Value
	default:
		first, end := int32(0), topic.ReadQueueNums
		if h.QueueID >= 0 {
			first, end = h.QueueID, h.QueueID+1
		}
		for id := first; id < end; id++ {
			offset, err := b.offsetAt(h, id)
			if err != nil {
				return failed(err)
			}
			offsets[name(id)] = offset
		}
	}
	if len(offsets) == 0 {
		return refuse(protocol.SystemError, "No queues to reset.")
	}
	for q, offset := range offsets {
		b.meta.Offsets.Reset(h.Group, h.Topic, q.QueueID, offset)
		b.holder.moved(h.Group, h.Topic, q.QueueID)
	}
	return answer{body: protocol.EncodeOffsetTable(offsets)}
}

// offsetAt is where a queue goes on.
func (b *Broker) offsetAt(h *protocol.ResetOffsetRequest, id int32) (int64, error) {
	if h.Timestamp < 0 {
		return b.store.MaxOffset(h.Topic, id), nil
	}
	return b.store.OffsetByTime(h.Topic, id, h.Timestamp)
}

// resetByMembers tells the group's members where to go on. list makes the body the
// one that C++ clients read.
func (b *Broker) resetByMembers(h *protocol.ResetOffsetRequest, list bool) answer {
	topic, ok := b.meta.Topics.Get(h.Topic)
	if !ok {
		return refuse(protocol.TopicNotExist, "[reset-offset] reset offset failed, no topic in this broker. topic=%s", h.Topic)
	}
	offsets := map[protocol.MessageQueue]int64{}
	for id := range topic.WriteQueueNums {
		before, known := b.meta.Offsets.Query(h.Group, h.Topic, id)
		if !known {
			return refuse(protocol.SystemError, "THe consumer group <%s> not exist", h.Group)
		}
		offset, err := b.offsetAt(h, id)
		if err != nil {
			return failed(err)
		}
		if !h.Force {
			offset = min(offset, before)
		}
		offsets[protocol.MessageQueue{Topic: h.Topic, BrokerName: b.config.BrokerName, QueueID: id}] = offset
	}
	g, ok := b.sessions.Group(h.Group)
	if !ok {
		return refuse(protocol.ConsumerNotOnline, "Consumer not online, so can not reset offset, Group: %s Topic: %s Timestamp: %d", h.Group, h.Topic, h.Timestamp)
	}
	body := protocol.EncodeOffsetTable(offsets)
	told := body
	if list {
		told = protocol.EncodeOffsetList(offsets)
	}
	note := protocol.ResetOffsetRequest{Group: h.Group, Topic: h.Topic, QueueID: -1, Timestamp: h.Timestamp}
	var conns []*remoting.Conn
	for _, m := range g.Members {
		conns = append(conns, m.Conn)
	}
	b.each(conns, func(c *remoting.Conn) {
		ctx, cancel := context.WithTimeout(b.ctx, pushTimeout)
		defer cancel()
		cmd := protocol.Command{Code: protocol.ResetClientOffset, Language: protocol.LanguageGo, Version: protocol.ServerVersion}
		if err := c.Oneway(ctx, &cmd, &note, told); err != nil {
			b.logger.Warn("a consumer was not told where to go on", "group", h.Group, "topic", h.Topic, "peer", c.RemoteAddr().String(), "err", err)
		}
	})
	return answer{body: body}
}

// eachAtOnce is how many clients are asked or told at the same time for one
// request.
const eachAtOnce = 16

// each calls f for every connection, a few at the same time, and waits.
func (b *Broker) each(conns []*remoting.Conn, f func(*remoting.Conn)) {
	var wg sync.WaitGroup
	turns := make(chan struct{}, eachAtOnce)
	for _, c := range conns {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			f(c)
		})
	}
	wg.Wait()
}
