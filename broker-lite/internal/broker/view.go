package broker

import "github.com/rocketkit/rocketkit/internal/protocol"

// Code 33 VIEW_MESSAGE_BY_ID (QueryMessageProcessor). The answer's body is the
// record at a physical offset. 5.x sends the topic too; nobody reads it: with ACL the
// record's own topic counts.

func (b *Broker) viewHandlers() handlers {
	return handlers{protocol.ViewMessageByID: b.at(b.viewMessage)}
}

func (b *Broker) viewMessage(p *peer, cmd *protocol.Command) answer {
	var h protocol.ViewMessageRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	record, err := b.store.ReadRecord(h.Offset)
	if err != nil {
		return refuse(protocol.SystemError, "can not find message by the offset, %d", h.Offset)
	}
	if err := b.mayRead(p, cmd, record); err != nil {
		return failed(err)
	}
	if a := unreadableRecord(cmd, record); a != nil {
		return *a
	}
	return answer{body: record}
}
