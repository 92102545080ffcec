package broker

import (
	"context"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/session"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// Codes 34 HEART_BEAT, 35 UNREGISTER_CLIENT, 46 CHECK_CLIENT_CONFIG
// (ClientManageProcessor), 38
// GET_CONSUMER_LIST_BY_GROUP (ConsumerManageProcessor), and the broker's own 40
// NOTIFY_CONSUMER_IDS_CHANGED.
//
// 5.x answers a heartbeat with IS_SUPPORT_HEART_BEAT_V2 and IS_SUB_CHANGE, 4.9
// with nothing. The version in the frame matters to clients: Java refuses SQL92
// for brokers below 4.1.0, and knows timers and POP by it.

func (b *Broker) clientHandlers() handlers {
	return handlers{
		protocol.Heartbeat:         b.at(b.heartbeat),
		protocol.UnregisterClient:  b.at(b.unregister),
		protocol.GetConsumerList:   b.at(b.consumerList),
		protocol.CheckClientConfig: b.at(b.checkClient),
	}
}

func (b *Broker) heartbeat(p *peer, cmd *protocol.Command) answer {
	var hb protocol.HeartbeatData
	if err := protocol.DecodeBody(cmd.Body, &hb); err != nil {
		return failed(err)
	}
	known := hb.Consumers[:0]
	for _, c := range hb.Consumers {
		group, ok := b.meta.Groups.Find(c.GroupName)
		if !ok {
			b.logger.Warn("a consumer of a group that does not exist is ignored", "group", c.GroupName, "client", hb.ClientID)
			continue
		}
		sysFlag := int32(0)
		if c.UnitMode {
			sysFlag = unitSubscription
		}
		b.meta.Topics.CreateForSendBack(retryTopic(c.GroupName), group.RetryQueueNums, protocol.PermRead|protocol.PermWrite, b.ordered(c.Subscriptions), sysFlag)
		known = append(known, c)
	}
	hb.Consumers = known
	changes, subChanged, err := b.sessions.Heartbeat(p.conn, &hb, cmd.Language, cmd.Version)
	if err != nil {
		return failed(err)
	}
	b.notify(changes)
	return answer{header: &protocol.HeartbeatResponse{SupportsV2: true, SubscriptionChanged: subChanged}}
}

// unitSubscription is FLAG_UNIT_SUB of TopicSysFlag.
const unitSubscription = 2

// ordered reports whether a subscribed topic is ordered: then so is the retry
// topic.
func (b *Broker) ordered(subs []protocol.SubscriptionData) bool {
	for i := range subs {
		if t, ok := b.meta.Topics.Get(subs[i].Topic); ok && t.Order {
			return true
		}
	}
	return false
}

func (b *Broker) unregister(p *peer, cmd *protocol.Command) answer {
	var h protocol.UnregisterRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	b.notify(b.sessions.Unregister(p.conn, h.ProducerGroup, h.ConsumerGroup))
	return answer{}
}

func (b *Broker) consumerList(_ *peer, cmd *protocol.Command) answer {
	var h protocol.ConsumerListRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		return failed(err)
	}
	ids, err := b.sessions.ConsumerIDs(h.ConsumerGroup)
	if err != nil {
		return failed(err)
	}
	return encoded(protocol.ConsumerList{ConsumerIDs: ids})
}

// pushTimeout bounds how long a oneway request to a client waits while the client
// reads slowly.
const pushTimeout = 3 * time.Second

// news is what the members of groups are yet to be told.
type news struct {
	mu sync.Mutex // guards the following
	// groups have changed, by the connection that is to be told of them. A goroutine
	// is at work for each connection that is here, so that changes that come faster
	// than a client reads them become one.
	groups map[*remoting.Conn]map[string]struct{}
}

// add reports whether a goroutine must be started for c.
func (n *news) add(c *remoting.Conn, group string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	groups, busy := n.groups[c]
	if !busy {
		groups = map[string]struct{}{}
		n.groups[c] = groups
	}
	groups[group] = struct{}{}
	return !busy
}

// take takes a group that c is to be told of; false: there is none, and the
// goroutine ends.
func (n *news) take(c *remoting.Conn) (group string, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for group = range n.groups[c] {
		delete(n.groups[c], group)
		return group, true
	}
	delete(n.groups, c)
	return "", false
}

// notify tells the members of groups that have changed to balance their queues.
// It does not block.
func (b *Broker) notify(changes []session.Change) {
	for _, change := range changes {
		if g, ok := b.meta.Groups.Get(change.Group); ok && !g.NotifyConsumerIDsChangedEnable {
			continue
		}
		for _, c := range change.Notify {
			if b.news.add(c, change.Group) {
				b.spawn(func() { b.tell(c) })
			}
		}
	}
}

// tell tells one member what there is to be told.
func (b *Broker) tell(c *remoting.Conn) {
	for group, ok := b.news.take(c); ok; group, ok = b.news.take(c) {
		cmd := protocol.Command{Code: protocol.NotifyConsumersChanged, Language: protocol.LanguageGo, Version: protocol.ServerVersion}
		ctx, cancel := context.WithTimeout(b.ctx, pushTimeout)
		err := c.Oneway(ctx, &cmd, &protocol.NotifyConsumersChangedRequest{ConsumerGroup: group})
		cancel()
		if err != nil {
			b.logger.Debug("a consumer was not told of a change", "group", group, "peer", c.RemoteAddr().String(), "err", err)
		}
	}
}
