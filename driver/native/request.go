package native

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/compression"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

var _ driver.Requester = (*sender)(nil)

// replies are the requests of this client that wait for theirs.
type replies struct {
	mu      sync.Mutex                        // guards the following
	waiting map[string]chan *message.Delivery // by correlation id; capacity 1
}

// ReplyTo implements driver.Requester.
func (s *sender) ReplyTo() string { return s.c.id }

// AwaitReply implements driver.Requester.
func (s *sender) AwaitReply(id string) (<-chan *message.Delivery, func()) {
	r := &s.c.replies
	ch := make(chan *message.Delivery, 1)
	r.mu.Lock()
	if r.waiting == nil {
		r.waiting = make(map[string]chan *message.Delivery)
	}
	r.waiting[id] = ch
	r.mu.Unlock()
	return ch, func() {
		r.mu.Lock()
		delete(r.waiting, id)
		r.mu.Unlock()
	}
}

// take hands a reply to who waits for it. A second one, of a request that was handled
// twice, is dropped, and so is one that comes too late.
func (r *replies) take(id string, d *message.Delivery) (taken bool) {
	r.mu.Lock()
	ch := r.waiting[id]
	delete(r.waiting, id)
	r.mu.Unlock()
	if ch != nil {
		ch <- d
	}
	return ch != nil
}

// receiveReply is code 326: a broker hands over the reply to a request. As from
// Java's client the answer is a success also when nobody waits.
func (c *client) receiveReply(conn *remoting.Conn, cmd *protocol.Command) {
	var h protocol.PushReplyRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		c.reply(conn, cmd, protocol.SystemError, err.Error())
		return
	}
	d, err := replyDelivery(&h, cmd.Body)
	if err == nil {
		d.SetNamespace(c.namespace.name)
	}
	if err != nil {
		c.reply(conn, cmd, protocol.SystemError, fmt.Sprintf("the reply cannot be read: %v", err))
		return
	}
	id := d.Property(driver.CorrelationProperty)
	if !c.replies.take(id, d) {
		c.log.Debug("nobody waits for a reply", "correlation id", id, "from", h.BornHost, "group", h.ProducerGroup)
	}
	c.reply(conn, cmd, protocol.Success, "")
}

// replyDelivery copies a reply from the connection.
func replyDelivery(h *protocol.PushReplyRequest, body []byte) (*message.Delivery, error) {
	rec := protocol.Record{
		Topic: string([]byte(h.Topic)), Body: append([]byte(nil), body...), QueueID: h.QueueID, Flag: h.Flag, SysFlag: h.SysFlag,
		BornTimestamp: h.BornTimestamp, StoreTimestamp: h.StoreTimestamp, ReconsumeTimes: h.ReconsumeTimes,
	}
	// Addresses that cannot be read are left out: nothing depends on them.
	rec.BornHost, _ = netip.ParseAddrPort(h.BornHost)
	rec.StoreHost, _ = netip.ParseAddrPort(h.StoreHost)
	if rec.SysFlag&protocol.SysCompressed != 0 {
		unpacked, err := compression.Unpack(rec.Body, rec.SysFlag)
		if err != nil {
			return nil, err
		}
		rec.Body = unpacked
	}
	d := new(message.Delivery)
	answer.Fill(d, &rec, string(h.Properties), "")
	d.Queue = message.Queue{Topic: rec.Topic, ID: int(rec.QueueID)}
	return d, nil
}

// isReply reports that a message is a reply, which its broker hands over.
func isReply(m *driver.Outgoing) bool {
	for i := range m.Extra {
		if m.Extra[i].Name == driver.TypeProperty {
			return m.Extra[i].Value == driver.ReplyType
		}
	}
	return false
}
