package broker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/register"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 400 QUERY_ASSIGNMENT, 401 SET_MESSAGE_REQUEST_MODE
// (QueryAssignmentProcessor) and 402 GET_ALL_MESSAGE_REQUEST_MODE; all of them came
// with 5.0. A client with clientRebalance=false asks any broker of a topic which
// queues it has, and whether to pull or to pop them.
//
// Without an answer's list a client stays with what it has; an empty list takes it
// away. Only the strategies AVG and AVG_BY_CIRCLE are known.

const (
	// routePatience bounds how long an assignment waits for name servers.
	routePatience = 2 * time.Second
	// assignCost is what an assignment that waits takes of its connection's
	// maxInFlight.
	assignCost = 64 << 10
)

func (b *Broker) assignmentHandlers() handlers {
	return handlers{
		protocol.QueryAssignment:           b.queryAssignment,
		protocol.SetMessageRequestMode:     b.at(b.setRequestMode),
		protocol.GetAllMessageRequestModes: b.at(func(*peer, *protocol.Command) answer { return encoded(b.meta.Modes.Snapshot()) }),
	}
}

func (b *Broker) setRequestMode(_ *peer, cmd *protocol.Command) answer {
	var mode protocol.MessageRequestMode
	if err := protocol.DecodeBody(cmd.Body, &mode); err != nil {
		return failed(err)
	}
	if strings.HasPrefix(mode.Topic, meta.RetryPrefix) {
		return refuse(protocol.NoPermission, "retry topic is not allowed to set mode")
	}
	if _, ok := b.meta.Topics.Get(mode.Topic); !ok {
		return refuse(protocol.TopicNotExist, "topic[%s] not exist", mode.Topic)
	}
	if _, ok := b.meta.Groups.Find(mode.ConsumerGroup); !ok {
		return refuse(protocol.GroupNotExist, "subscription group does not exist")
	}
	switch mode.Mode {
	case "":
		mode.Mode = protocol.ModePull
	case protocol.ModePull, protocol.ModePop:
	default:
		return refuse(protocol.InvalidParameter, "mode %.64q of topic %s: want PULL or POP", mode.Mode, mode.Topic)
	}
	b.meta.Modes.Set(mode)
	b.logger.Info("a group's way to consume a topic was set", "group", mode.ConsumerGroup, "topic", mode.Topic, "mode", mode.Mode, "popShareQueueNum", mode.PopShareQueueNum)
	return answer{}
}

// queryAssignment answers on a goroutine of its own: it asks a name server.
func (b *Broker) queryAssignment(p *peer, cmd *protocol.Command) {
	var q protocol.QueryAssignmentRequest
	if err := protocol.DecodeBody(cmd.Body, &q); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	if !p.acquire(assignCost) {
		return
	}
	request := *cmd
	request.Fields, request.Body = nil, nil
	b.spawn(func() {
		defer p.release(assignCost)
		b.reply(p.conn, &request, encoded(b.assign(&q)))
	})
}

// requestMode is how a group consumes a topic.
func (b *Broker) requestMode(topic, group string) protocol.MessageRequestMode {
	if mode, ok := b.meta.Modes.Get(topic, group); ok {
		return mode
	}
	mode := protocol.MessageRequestMode{Topic: topic, ConsumerGroup: group, Mode: b.config.RequestMode, PopShareQueueNum: int32(b.config.PopShareQueueNum)}
	if strings.HasPrefix(topic, meta.RetryPrefix) {
		mode.Mode = protocol.ModePull
	}
	return mode
}

func (b *Broker) assign(q *protocol.QueryAssignmentRequest) (r protocol.QueryAssignmentResponse) {
	mode := b.requestMode(q.Topic, q.ConsumerGroup)
	queues := b.readableQueues(q.Topic)
	if len(queues) == 0 {
		return r
	}
	if q.MessageModel != protocol.Broadcasting {
		ids, err := b.sessions.ConsumerIDs(q.ConsumerGroup)
		allocate := strategy(q.StrategyName)
		if err != nil || allocate == nil {
			b.logger.Warn("queues are not assigned", "group", q.ConsumerGroup, "topic", q.Topic, "strategy", q.StrategyName, "err", err)
			return r
		}
		if mode.Mode == protocol.ModePop {
			queues = share(allocate, queues, ids, q.ClientID, int(mode.PopShareQueueNum))
		} else {
			queues = allocate(queues, ids, q.ClientID)
		}
	}
	list := []protocol.QueueAssignment{}
	for _, queue := range queues {
		if a := (protocol.QueueAssignment{Queue: queue, Mode: mode.Mode}); !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	r.Assignments = &list
	return r
}

// readableQueues lists the queues of a topic on all brokers, sorted. Of its own the
// broker knows more than a name server may yet.
func (b *Broker) readableQueues(topic string) (queues []protocol.MessageQueue) {
	add := func(broker string, perm, n int32) {
		for id := int32(0); perm&protocol.PermRead != 0 && id < n; id++ {
			queues = append(queues, protocol.MessageQueue{Topic: topic, BrokerName: broker, QueueID: id})
		}
	}
	if t, ok := b.meta.Topics.Get(topic); ok {
		add(b.config.BrokerName, t.Perm&int32(b.conf().Permission), t.ReadQueueNums)
	}
	ctx, cancel := context.WithTimeout(b.ctx, routePatience)
	defer cancel()
	route, err := b.registrar.Route(ctx, topic)
	if err != nil {
		if !errors.Is(err, register.ErrNoRoute) {
			b.logger.Warn("queues of other brokers are not assigned", "topic", topic, "err", err)
		}
		return queues
	}
	for _, q := range route.QueueDatas {
		if q.BrokerName != b.config.BrokerName {
			add(q.BrokerName, q.Perm, min(q.ReadQueueNums, maxAssigned))
		}
	}
	slices.SortFunc(queues, func(a, b protocol.MessageQueue) int {
		return cmp.Or(cmp.Compare(a.BrokerName, b.BrokerName), cmp.Compare(a.QueueID, b.QueueID))
	})
	return queues
}

// maxAssigned bounds the queues of another broker.
const maxAssigned = 1 << 16

// allocation chooses a client's queues; both lists are sorted.
type allocation func(queues []protocol.MessageQueue, clients []string, client string) []protocol.MessageQueue

func strategy(name string) allocation {
	switch name {
	case "AVG":
		return averagely
	case "AVG_BY_CIRCLE":
		return inCircle
	}
	return nil
}

// averagely is AllocateMessageQueueAveragely: neighbours stay together.
func averagely(queues []protocol.MessageQueue, clients []string, client string) []protocol.MessageQueue {
	at := slices.Index(clients, client)
	if at < 0 {
		return nil
	}
	size, more := len(queues)/len(clients), len(queues)%len(clients)
	begin := at*size + min(at, more)
	if at < more {
		size++
	}
	return slices.Clone(queues[begin : begin+size])
}

// inCircle is AllocateMessageQueueAveragelyByCircle: neighbours go to different
// clients.
func inCircle(queues []protocol.MessageQueue, clients []string, client string) (own []protocol.MessageQueue) {
	at := slices.Index(clients, client)
	for i := at; at >= 0 && i < len(queues); i += len(clients) {
		own = append(own, queues[i])
	}
	return own
}

// share is allocate4Pop: all clients pop all queues, or each those of the next
// clients too.
func share(allocate allocation, queues []protocol.MessageQueue, clients []string, client string, with int) (own []protocol.MessageQueue) {
	at := slices.Index(clients, client)
	switch {
	case with <= 0 || with >= len(clients)-1:
		for _, q := range queues {
			q.QueueID = -1
			own = append(own, q)
		}
		return slices.Compact(own)
	case at < 0:
		return nil
	case len(clients) > len(queues):
		return []protocol.MessageQueue{queues[at%len(queues)]}
	}
	for i := range with + 1 {
		own = append(own, allocate(queues, clients, clients[(at+i)%len(clients)])...)
	}
	return own
}
