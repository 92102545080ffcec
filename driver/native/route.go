package native

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// route is a topic's route as it was once answered. It is never changed.
type route struct {
	topic     string
	brokers   map[string]*brokerAddrs // by broker name
	publish   []message.Queue         // that a message can be sent to, in Apache's order; of an ordered topic all that it has. Named as above the seam
	subscribe []message.Queue         // that can be read, in Apache's order
	auto      bool                    // the topic does not exist: this is the default topic's
}

// brokerAddrs are the addresses that one broker name stands for.
type brokerAddrs struct {
	name  string
	addrs map[int64]string // by broker id; 0 is the master
}

func (b *brokerAddrs) master() string { return b.addrs[protocol.MasterID] }

// reader is where to pull from: the broker with the suggested id, else the
// master, else any slave.
func (b *brokerAddrs) reader(id int64) (addr string, master bool) {
	if a, ok := b.addrs[id]; ok {
		return a, id == protocol.MasterID
	}
	if a := b.master(); a != "" {
		return a, true
	}
	for _, id := range slices.Sorted(maps.Keys(b.addrs)) {
		return b.addrs[id], false
	}
	return "", false
}

// newRoute reads a name server's answer by Apache's rules
// (MQClientInstance.topicRouteData2TopicPublishInfo and …SubscribeInfo):
// messages go to the write queues of brokers with write permission and a
// master, and are read from the read queues of brokers with read permission.
func newRoute(topic string, data *protocol.TopicRoute) *route {
	r := &route{topic: topic, brokers: make(map[string]*brokerAddrs, len(data.BrokerDatas))}
	for _, b := range data.BrokerDatas {
		r.brokers[b.BrokerName] = &brokerAddrs{name: b.BrokerName, addrs: b.BrokerAddrs}
	}
	for _, q := range data.QueueDatas {
		b := r.brokers[q.BrokerName]
		if b == nil {
			continue
		}
		if q.Perm&protocol.PermWrite != 0 && b.master() != "" {
			r.publish = appendQueues(r.publish, topic, q.BrokerName, q.WriteQueueNums)
		}
		if q.Perm&protocol.PermRead != 0 {
			r.subscribe = appendQueues(r.subscribe, topic, q.BrokerName, q.ReadQueueNums)
		}
	}
	slices.SortFunc(r.publish, compareQueues)
	slices.SortFunc(r.subscribe, compareQueues)
	if ordered := orderedQueues(topic, data.OrderTopicConf); len(ordered) > 0 {
		r.publish = ordered
	}
	return r
}

// orderedQueues are the queues of an ordered topic, from what an administrator wrote
// down for it ("broker-a:4;broker-b:4", mqadmin updateOrderConf) and in that order, as
// Apache's clients take them. They stay the same while a broker is gone, so that a
// sharding key never goes to another queue: its sends fail until the broker is back.
// What cannot be read is none.
func orderedQueues(topic, conf string) []message.Queue {
	var qs []message.Queue
	for entry := range strings.SplitSeq(strings.TrimSuffix(conf, ";"), ";") {
		broker, number, _ := strings.Cut(entry, ":")
		n, err := strconv.ParseInt(number, 10, 32)
		if err != nil || broker == "" || n < 0 || len(qs)+int(n) > maxQueues {
			return nil
		}
		qs = appendQueues(qs, topic, broker, int32(n))
	}
	return qs
}

// maxQueues bounds what one answer can make of a queue count.
const maxQueues = 1 << 16

func appendQueues(dst []message.Queue, topic, broker string, n int32) []message.Queue {
	for i := range min(n, maxQueues) {
		dst = append(dst, message.Queue{Topic: topic, Broker: broker, ID: int(i)})
	}
	return dst
}

// autoQueues is how many queues a client asks for when a send creates its topic
// (defaultTopicQueueNums of Apache's producers).
const autoQueues = 4

// autoRoute is where to send the first message of a topic that does not exist:
// to the brokers that have the default topic, which create it.
func autoRoute(topic string, data *protocol.TopicRoute) *route {
	d := *data
	d.OrderTopicConf = ""
	d.QueueDatas = slices.Clone(data.QueueDatas)
	for i := range d.QueueDatas {
		q := &d.QueueDatas[i]
		q.WriteQueueNums = min(autoQueues, q.ReadQueueNums)
		q.ReadQueueNums = 0 // nothing can be read yet
	}
	r := newRoute(topic, &d)
	r.auto = true
	return r
}

// errStatic refuses a static topic (5.x, mqadmin updateStaticTopic): its queues are not
// those of its brokers. Which broker has one is in the route's mappings, and changes; the
// others refuse it. Records have offsets that are not the queue's, from when it moved, so
// that a consumer would take new messages for old ones and pass over them.
func errStatic(topic string) error {
	return &UnsupportedError{
		Op: "use topic " + topic, Why: "it is a static topic, whose queues move between brokers, which this driver does not follow",
		Remedy: "make an ordinary topic (mqadmin updateTopic)",
	}
}

// equal reports whether two snapshots say the same.
func (r *route) equal(o *route) bool {
	return r.auto == o.auto && slices.Equal(r.publish, o.publish) && slices.Equal(r.subscribe, o.subscribe) &&
		maps.EqualFunc(r.brokers, o.brokers, func(a, b *brokerAddrs) bool { return maps.Equal(a.addrs, b.addrs) })
}
