package broker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// Codes 307 GET_CONSUMER_RUNNING_INFO, 309 CONSUME_MESSAGE_DIRECTLY and 223
// INVOKE_BROKER_TO_GET_CONSUMER_STATUS (AdminBrokerProcessor, Broker2Client), which
// clients answer. The fields of 307 and 309 go to the client as they came, and its
// answer back; 309 gets the message as its body, and on 5.x the flags of topic and
// group. 223 asks each member with code 221.
//
// A client that does not answer in time is CONSUME_MSG_TIMEOUT for 307 and 309, and
// left out for 223. Apache fails on 223 for a group without members, with a null
// pointer.

// clientTimeout bounds how long a client may take to answer (Broker2Client.
// callClient).
const clientTimeout = 10 * time.Second

func (b *Broker) callClientHandlers() handlers {
	return handlers{
		protocol.GetClientRunningInfo: b.runningInfo,
		protocol.ConsumeDirectly:      b.consumeDirectly,
		protocol.GetConsumerStatus:    decoded(b, b.consumerStatus),
	}
}

// passed are fields that go on as they came.
type passed protocol.Fields

// AppendFields implements protocol.Header.
func (f passed) AppendFields(w *protocol.FieldWriter) {
	for _, field := range f {
		w.String(field.Key, field.Value)
	}
}

// with adds a field, or replaces it.
func (f passed) with(key, value string) passed {
	f = slices.DeleteFunc(f, func(field protocol.Field) bool { return field.Key == key })
	return append(f, protocol.Field{Key: key, Value: value})
}

func (b *Broker) runningInfo(p *peer, cmd *protocol.Command) {
	var h protocol.RunningInfoRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	fields := passed(slices.Clone(cmd.Fields))
	b.later(p, cmd, func(context.Context) answer {
		return b.callConsumer(protocol.GetClientRunningInfo, h.ConsumerGroup, h.ClientID, fields, nil)
	})
}

func (b *Broker) consumeDirectly(p *peer, cmd *protocol.Command) {
	var h protocol.ConsumeDirectlyRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	_, phys, err := protocol.ParseOffsetMessageID(h.MessageID)
	if err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	fields := passed(slices.Clone(cmd.Fields)).with("brokerName", b.config.BrokerName)
	if t, ok := b.meta.Topics.Get(h.Topic); ok {
		fields = fields.with("topicSysFlag", itoa(int64(t.TopicSysFlag)))
	}
	if g, ok := b.meta.Groups.Get(h.ConsumerGroup); ok {
		fields = fields.with("groupSysFlag", itoa(int64(g.GroupSysFlag)))
	}
	b.later(p, cmd, func(context.Context) answer {
		record, err := b.store.ReadRecord(phys)
		if err != nil {
			return refuse(protocol.SystemError, "can not find message by the offset, %d", phys)
		}
		return b.callConsumer(protocol.ConsumeDirectly, h.ConsumerGroup, h.ClientID, fields, record)
	})
}

// callConsumer asks a member of a group and answers with its answer.
func (b *Broker) callConsumer(code protocol.Code, group, clientID string, h protocol.Header, body []byte) answer {
	member, ok := b.sessions.Member(group, clientID)
	if !ok {
		return refuse(protocol.SystemError, "The Consumer <%s> <%s> not online", group, clientID)
	}
	resp, err := b.callClient(member.Conn, code, h, body)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(protocol.ConsumeTimeout, "consumer <%s> <%s> Timeout: %v", group, clientID, err)
	case err != nil:
		return refuse(protocol.SystemError, "invoke consumer <%s> <%s> Exception: %v", group, clientID, err)
	}
	return answer{code: resp.Code, remark: resp.Remark, header: passed(resp.Fields), body: resp.Body}
}

func (b *Broker) callClient(c *remoting.Conn, code protocol.Code, h protocol.Header, body []byte) (*protocol.Command, error) {
	ctx, cancel := context.WithTimeout(b.ctx, clientTimeout)
	defer cancel()
	cmd := protocol.Command{Code: code, Language: protocol.LanguageGo, Version: protocol.ServerVersion}
	return c.Call(ctx, &cmd, h, body)
}

// consumerStatus asks the members of a group, or one, how far they are.
func (b *Broker) consumerStatus(h *protocol.GroupTopicRequest) answer {
	g, ok := b.sessions.Group(h.Group)
	if !ok {
		return refuse(protocol.SystemError, "No Any Consumer online in the consumer group: [%s]", h.Group)
	}
	ids := map[*remoting.Conn]string{}
	var conns []*remoting.Conn
	for _, m := range g.Members {
		if h.ClientAddr == "" || h.ClientAddr == m.ID {
			ids[m.Conn] = m.ID
			conns = append(conns, m.Conn)
		}
	}
	var mu sync.Mutex
	status := protocol.ClientStatus{} // guarded by mu
	b.each(conns, func(c *remoting.Conn) {
		resp, err := b.callClient(c, protocol.GetClientStatus, &protocol.GroupTopicRequest{Group: h.Group, Topic: h.Topic}, nil)
		var offsets map[protocol.MessageQueue]int64
		if err == nil && resp.Code == protocol.Success {
			offsets, err = protocol.DecodeClientOffsets(resp.Body)
		}
		if err != nil || resp.Code != protocol.Success {
			b.logger.Warn("a consumer did not say how far it is", "group", h.Group, "topic", h.Topic, "client", ids[c], "err", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		status[ids[c]] = offsets
	})
	return answer{body: protocol.EncodeClientStatus(status)}
}
