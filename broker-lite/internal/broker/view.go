package broker

import "github.com/rocketkit/rocketkit/internal/protocol"

// Code 33 VIEW_MESSAGE_BY_ID (QueryMessageProcessor). The answer's body is the
// record at a physical offset. 5.x sends the topic too; nobody reads it.

func (b *Broker) viewHandlers() handlers {
	return handlers{protocol.ViewMessageByID: b.at(b.viewMessage)}
}

func (b *Broker) viewMessage(_ *peer, cmd *protocol.Command) answer {
	var h protocol.ViewMessageRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	record, err := b.store.ReadRecord(h.Offset)
	if err != nil {
		return refuse(protocol.SystemError, "can not find message by the offset, %d", h.Offset)
	}
	if a := unreadableRecord(cmd, record); a != nil {
		return *a
	}
	return answer{body: record}
}
