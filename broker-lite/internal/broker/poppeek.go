package broker

import (
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/pop"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// handlePeek answers what a pop would begin with, and takes nothing. Peeks know no
// filter.
func (b *Broker) handlePeek(p *peer, cmd *protocol.Command) {
	h := protocol.PeekRequest{Code: cmd.Code}
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	pp := popping{peer: p, resp: cmd.Response(protocol.Success, "")}
	pp.h = protocol.PopRequest{ConsumerGroup: h.ConsumerGroup, Topic: h.Topic, QueueID: h.QueueID, MaxMessages: h.MaxMessages}
	b.waits(&pp)
	if a := b.checkPeek(p, &pp.h); a != nil {
		a.header = &protocol.PopResponse{}
		b.reply(p.conn, cmd, *a)
		return
	}
	for _, topic := range append(pp.retry, h.Topic) { // peeked messages have their own topic
		if a := unreadable(cmd, topic); a != nil {
			b.reply(p.conn, cmd, *a)
			return
		}
	}
	r := peekRead{b: b, h: &pp.h}
	turn := int(b.popTurn.Add(1))
	each := func(topic string) {
		if t, ok := b.meta.Topics.Get(topic); ok {
			for i := range t.ReadQueueNums {
				r.queue(topic, int32((turn+int(i))%int(t.ReadQueueNums)))
			}
		}
	}
	if h.QueueID >= 0 {
		r.queue(h.Topic, h.QueueID)
	} else {
		each(h.Topic)
	}
	for _, topic := range pp.retry {
		each(topic)
	}
	status := store.Found
	if r.count == 0 {
		pp.resp.Code, status = protocol.PullNotFound, store.NoMessageInQueue
	}
	if r.err != nil && r.count == 0 {
		b.reply(p.conn, cmd, failed(r.err))
		return
	}
	pp.resp.Remark = status.String()
	b.stats.get(pp.h.Topic, pp.h.ConsumerGroup, r.count, len(r.body))
	if !cmd.IsOneway() {
		b.send(p.conn, &pp.resp, &protocol.PopResponse{RestNum: r.rest}, r.body)
	}
}

// checkPeek is what notifications, peeks and polling infos check.
func (b *Broker) checkPeek(p *peer, h *protocol.PopRequest) *answer {
	if int32(b.conf().Permission)&protocol.PermRead == 0 {
		a := refuse(protocol.NoPermission, "the broker[%s] peeking message is forbidden", b.host)
		return &a
	}
	return b.checkPopTopic(p, h)
}

// peekRead gathers what one peek sees.
type peekRead struct {
	b     *Broker
	h     *protocol.PopRequest
	body  []byte
	count int
	rest  int64
	err   error
}

// queue looks at one queue. restNum has what is answered too, as on Apache.
func (r *peekRead) queue(topic string, id int32) {
	b := r.b
	key := pop.Key{Topic: topic, Group: r.h.ConsumerGroup, Queue: id}
	low, end := b.store.MinOffset(topic, id), b.store.MaxOffset(topic, id)
	next := min(max(b.pops.Next(key, low), low), end)
	r.rest += end - next
	want := int(min(max(r.h.MaxMessages, 1), maxPopNums)) - r.count
	if want <= 0 || next == end || r.count > 0 && len(r.body) >= b.conf().MaxTransferBytes {
		return
	}
	res, err := b.store.Read(topic, id, next, want, b.conf().MaxTransferBytes-len(r.body), nil, r.body)
	if err != nil {
		r.err = err
	}
	r.body, r.count = res.Body, r.count+res.Count
}

// handleNotification answers whether there is something to pop, or waits until there
// is. As on Apache it looks at offsets, not at filters.
func (b *Broker) handleNotification(p *peer, cmd *protocol.Command) {
	var h protocol.NotificationRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	pp := popping{peer: p, resp: cmd.Response(protocol.Success, ""), notify: true}
	pp.h = protocol.PopRequest{
		ConsumerGroup: h.ConsumerGroup, Topic: h.Topic, QueueID: h.QueueID, PollTime: h.PollTime, BornTime: h.BornTime, Order: h.Order, AttemptID: h.AttemptID,
	}
	b.waits(&pp)
	if a := b.checkPeek(p, &pp.h); a != nil {
		b.reply(p.conn, cmd, *a)
		return
	}
	b.notification(&pp)
}

func (b *Broker) notification(pp *popping) {
	h := protocol.NotificationResponse{HasMessage: b.popAvailable(pp)}
	if !h.HasMessage && time.Now().Before(pp.until) && !b.closing.Load() {
		if b.popWaits.park(pp) {
			return
		}
		h.PollingFull = true
	}
	b.send(pp.peer.conn, &pp.resp, &h, nil)
}

// popAvailable reports whether a pop would find something to read, matching or not.
func (b *Broker) popAvailable(pp *popping) bool {
	p := b.pops.NewPop(0, pp.h.Order, pp.h.AttemptID)
	defer p.End()
	some := func(topic string, id int32) bool {
		key := pop.Key{Topic: topic, Group: pp.h.ConsumerGroup, Queue: id}
		end := b.store.MaxOffset(topic, id)
		if end == 0 {
			return false
		}
		if pp.notify { // it must not choose where the group begins
			return !(pp.h.Order && b.pops.Blocked(key, pp.h.AttemptID)) && b.pops.Next(key, b.store.MinOffset(topic, id)) < end
		}
		init, err := b.popStart(key, pp.h.InitMode)
		return err == nil && p.Available(key, init, end)
	}
	any := func(topic string) bool {
		t, ok := b.meta.Topics.Get(topic)
		for i := int32(0); ok && i < t.ReadQueueNums; i++ {
			if some(topic, i) {
				return true
			}
		}
		return false
	}
	if pp.h.QueueID >= 0 && some(pp.h.Topic, pp.h.QueueID) || pp.h.QueueID < 0 && any(pp.h.Topic) {
		return true
	}
	if pp.h.Order && !pp.notify {
		return false
	}
	for _, topic := range pp.retry {
		if any(topic) {
			return true
		}
	}
	return false
}

// pollingInfo answers how many pops wait.
func (b *Broker) pollingInfo(p *peer, cmd *protocol.Command) answer {
	h := protocol.PeekRequest{Code: cmd.Code}
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	if a := b.checkPeek(p, &protocol.PopRequest{ConsumerGroup: h.ConsumerGroup, Topic: h.Topic, QueueID: h.QueueID}); a != nil {
		return *a
	}
	return answer{header: &protocol.PollingInfoResponse{PollingNum: int32(b.popWaits.waiting(h.Topic, h.ConsumerGroup, h.QueueID))}}
}
