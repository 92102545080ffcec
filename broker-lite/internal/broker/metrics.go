package broker

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/metrics"
	"github.com/rocketkit/rocketkit/broker-lite/internal/register"
	"github.com/rocketkit/rocketkit/broker-lite/internal/session"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Metrics have the names, types and labels of Apache's 5.x (BrokerMetricsConstant,
// DefaultStoreMetricsConstant) where it has them; 4.9 has none. Labels that are left
// out: message_type, and the topic of transactions, timers and of what was dead-lettered.
// The others begin with rocketkit_.

// sizeBounds are the buckets of rocketmq_message_size, in bytes.
var sizeBounds = [...]float64{1 << 10, 4 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20}

// size notes the sizes of records that lie side by side.
func (it *item) size(records []byte) {
	for len(records) >= 4 {
		n := int(binary.BigEndian.Uint32(records))
		if n < 4 || n > len(records) {
			return
		}
		records = records[n:]
		i := 0
		for i < len(sizeBounds) && float64(n) > sizeBounds[i] {
			i++
		}
		it.sizes[i].Add(1)
	}
}

// WriteMetrics writes the metrics in Prometheus' text format.
func (b *Broker) WriteMetrics(to io.Writer) error {
	w := metrics.NewWriter(metrics.Label{Name: "cluster", Value: b.config.ClusterName},
		metrics.Label{Name: "node_id", Value: b.config.BrokerName}, metrics.Label{Name: "node_type", Value: "broker"})
	b.writeBroker(w)
	b.writeTraffic(w)
	b.writeConnections(w)
	b.writeLags(w)
	b.writeTimer(w)
	b.writePop(w)
	if err := b.writeStorage(w); err != nil {
		return err
	}
	if _, err := w.WriteTo(to); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

func gauge(w *metrics.Writer, name, help string, value float64, labels ...metrics.Label) {
	w.Family(name, metrics.Gauge, help)
	w.Sample(value, labels...)
}

func counter(w *metrics.Writer, name, help string, value int64, labels ...metrics.Label) {
	w.Family(name, metrics.Counter, help)
	w.Sample(float64(value), labels...)
}

func (b *Broker) writeBroker(w *metrics.Writer) {
	gauge(w, "rocketmq_broker_permission", "Broker permission: 4 read, 2 write.", float64(b.conf().Permission))
	gauge(w, "rocketmq_topic_number", "Topics.", float64(len(b.meta.Topics.Names())))
	gauge(w, "rocketmq_consumer_group_number", "Subscription groups.", float64(len(b.meta.Groups.Names())))
	w.Family("rocketmq_processor_watermark", metrics.Gauge, "Requests that are being processed.")
	w.Sample(float64(b.sending.Load()), metrics.Label{Name: "processor", Value: "send"})
	w.Sample(float64(len(b.queries.running)), metrics.Label{Name: "processor", Value: "query_message"})
	gauge(w, "rocketkit_parked_pulls", "Pulls that wait for a message.", float64(b.ParkedPulls()))
	gauge(w, "rocketkit_start_time_seconds", "When the broker was started, since 1970.", float64(b.stats.started.UnixMilli())/1000)
	gauge(w, "rocketmq_half_messages", "Half messages without an outcome.", float64(b.half.Count()))
	counter(w, "rocketmq_commit_messages_total", "Half messages that were committed.", b.stats.commits.Load())
	counter(w, "rocketmq_rollback_messages_total", "Half messages that were rolled back.", b.stats.rollbacks.Load())
	counter(w, "rocketkit_failed_sends_total", "Sends that the store did not take.", b.stats.putFailures.Load())
}

// systemLabel is BrokerMetricsManager.isSystem.
func (b *Broker) systemLabel(topic, group string) metrics.Label {
	system := b.meta.Topics.IsSystem(topic) || strings.HasPrefix(strings.ToLower(group), "cid_rmq_sys_")
	return metrics.Label{Name: "is_system", Value: strconv.FormatBool(system)}
}

func (b *Broker) writeTraffic(w *metrics.Writer) {
	type counted struct {
		itemKey
		*item
		labels []metrics.Label
	}
	var in, out []counted
	for key, it := range b.stats.items.clone() {
		c := counted{key, it, []metrics.Label{{Name: "topic", Value: key.topic}, b.systemLabel(key.topic, key.group)}}
		if key.group == "" {
			in = append(in, c)
		} else {
			c.labels = append(c.labels, metrics.Label{Name: "consumer_group", Value: key.group})
			out = append(out, c)
		}
	}
	write := func(name, help string, list []counted, of func(*item) int64) {
		w.Family(name, metrics.Counter, help)
		for _, c := range list {
			w.Sample(float64(of(c.item)), c.labels...)
		}
	}
	for _, list := range [][]counted{in, out} {
		slices.SortFunc(list, func(a, b counted) int {
			return cmp.Or(strings.Compare(a.topic, b.topic), strings.Compare(a.group, b.group))
		})
	}
	messages, bytes := func(it *item) int64 { return it.count.Load() }, func(it *item) int64 { return it.bytes.Load() }
	write("rocketmq_messages_in_total", "Messages from producers.", in, messages)
	write("rocketmq_throughput_in_total", "Bytes from producers.", in, bytes)
	write("rocketmq_messages_out_total", "Messages to consumers.", out, messages)
	write("rocketmq_throughput_out_total", "Bytes to consumers.", out, bytes)
	w.Family("rocketmq_message_size", metrics.Histogram, "Incoming messages' sizes in bytes.")
	for _, c := range in {
		var sizes [len(sizeBounds) + 1]int64
		for i := range sizes {
			sizes[i] = c.sizes[i].Load()
		}
		w.Buckets(sizeBounds[:], sizes[:], float64(c.bytes.Load()), c.labels...)
	}
	w.Family("rocketmq_send_to_dlq_messages_total", metrics.Counter, "Messages that were dead-lettered since the group's dead-letter topic was made.")
	for _, topic := range b.meta.Topics.Names() {
		if group, ok := strings.CutPrefix(topic, meta.DLQPrefix); ok {
			n := int64(0)
			for id := range int32(meta.DLQQueueNums) {
				n += b.store.MaxOffset(topic, id)
			}
			w.Sample(float64(n), metrics.Label{Name: "consumer_group", Value: group}, b.systemLabel("", group))
		}
	}
}

func (b *Broker) writeConnections(w *metrics.Writer) {
	producers, consumers := b.sessions.Tally()
	write := func(name, help string, tally map[session.Kind]int, more func(session.Kind) []metrics.Label) {
		w.Family(name, metrics.Gauge, help)
		for _, k := range slices.SortedFunc(maps.Keys(tally), func(a, b session.Kind) int {
			return cmp.Or(strings.Compare(a.Group, b.Group), cmp.Compare(a.Language, b.Language), cmp.Compare(a.Version, b.Version), strings.Compare(a.ConsumeType, b.ConsumeType))
		}) {
			w.Sample(float64(tally[k]), append(more(k), metrics.Label{Name: "language", Value: strings.ToLower(k.Language.String())},
				metrics.Label{Name: "version", Value: versionLabel(k.Version)}, metrics.Label{Name: "protocol_type", Value: "remoting"})...)
		}
	}
	write("rocketmq_producer_connections", "Producers' connections.", producers, func(session.Kind) []metrics.Label { return nil })
	modes := map[string]string{protocol.ConsumeActively: "pull", protocol.ConsumePassively: "push", protocol.ConsumePop: "pop"}
	write("rocketmq_consumer_connections", "Consumers' connections.", consumers, func(k session.Kind) []metrics.Label {
		return []metrics.Label{{Name: "consumer_group", Value: k.Group}, {Name: "consume_mode", Value: modes[k.ConsumeType]}, b.systemLabel("", k.Group)}
	})
}

// versionLabel is MQVersion.getVersionDesc in lower case, from 4.0.0 on: each of a
// minor version's ten patches has two numbers, of which the first is its snapshot's.
func versionLabel(ordinal int32) string {
	const first = 212 // V4_0_0_SNAPSHOT
	if ordinal < first || ordinal > first+1199 {
		return strconv.Itoa(int(ordinal))
	}
	n := (ordinal - first) / 2
	text := fmt.Sprintf("v%d_%d_%d", 4+n/100, n/10%10, n%10)
	if (ordinal-first)%2 == 0 {
		text += "_snapshot"
	}
	return text
}

// maxLagQueues bounds the queues that one answer looks at.
const maxLagQueues = 50_000

// lag is how far a group is behind in a topic.
type lag struct {
	labels []metrics.Label
	// Messages: stored and not consumed; of these, given out; and not given out.
	behind, inFlight, ready int64
	latency, queueing       time.Duration // how old the first that is behind is, and the first that is ready
}

// lags are those of all groups that have offsets (ConsumerLagCalculator). Apache
// leaves out groups whose members it has not seen since its start, and messages that a
// filter does not take, which it estimates.
func (b *Broker) lags() []lag {
	var list []lag
	queues := int32(0)
	for _, c := range b.meta.Offsets.Consumptions() {
		topic, ok := b.meta.Topics.Get(c.Topic)
		if !ok {
			continue
		}
		if queues += topic.ReadQueueNums; queues > maxLagQueues {
			b.logger.Warn("the metrics do not show how far all groups are behind", "queues", maxLagQueues, "first left out", c.Group)
			break
		}
		retry := strings.HasPrefix(c.Topic, meta.RetryPrefix)
		l := lag{labels: []metrics.Label{{Name: "consumer_group", Value: c.Group}, {Name: "topic", Value: c.Topic},
			{Name: "is_retry", Value: strconv.FormatBool(retry)}, b.systemLabel(c.Topic, c.Group)}}
		for id := range topic.ReadQueueNums {
			b.addLag(&l, c, id)
		}
		list = append(list, l)
	}
	return list
}

// addLag adds one queue.
func (b *Broker) addLag(l *lag, c meta.Consumption, id int32) {
	low, high := b.store.MinOffset(c.Topic, id), b.store.MaxOffset(c.Topic, id)
	committed, ok := b.meta.Offsets.Query(c.Group, c.Topic, id)
	committed = max(committed, low)
	if !ok || committed >= high {
		return
	}
	pulled, _ := b.meta.Offsets.PulledTo(c.Group, c.Topic, id)
	pulled = min(max(pulled, committed), high)
	l.behind += high - committed
	l.inFlight += pulled - committed
	l.ready += high - pulled
	l.latency = max(l.latency, b.age(c.Topic, id, committed))
	if pulled < high {
		l.queueing = max(l.queueing, b.age(c.Topic, id, pulled))
	}
}

// age is how long a message is stored; 0 when it is not there.
func (b *Broker) age(topic string, queueID int32, offset int64) time.Duration {
	ms, err := b.store.StoreTime(topic, queueID, offset)
	if err != nil || ms <= 0 {
		return 0
	}
	return b.clock.Now().Sub(time.UnixMilli(ms))
}

func (b *Broker) writeLags(w *metrics.Writer) {
	lags := b.lags()
	for _, f := range []struct {
		name, help string
		of         func(lag) int64
	}{
		{"rocketmq_consumer_lag_messages", "Messages that a group has not consumed.", func(l lag) int64 { return l.behind }},
		{"rocketmq_consumer_inflight_messages", "Messages that were given to a group and that it has not consumed.", func(l lag) int64 { return l.inFlight }},
		{"rocketmq_consumer_ready_messages", "Messages that a group was not given yet.", func(l lag) int64 { return l.ready }},
		{"rocketmq_consumer_lag_latency_milliseconds", "Age of the first message that a group has not consumed.", func(l lag) int64 { return l.latency.Milliseconds() }},
		{"rocketmq_consumer_queueing_latency_milliseconds", "Age of the first message that a group was not given yet.", func(l lag) int64 { return l.queueing.Milliseconds() }},
	} {
		w.Family(f.name, metrics.Gauge, f.help)
		for _, l := range lags {
			w.Sample(float64(f.of(l)), l.labels...)
		}
	}
}

func storageLabels() []metrics.Label {
	return []metrics.Label{{Name: "storage_type", Value: "local"}, {Name: "storage_medium", Value: "disk"}}
}

func (b *Broker) writeStorage(w *metrics.Writer) error {
	st, err := b.store.Stats()
	if err != nil {
		return err
	}
	labels := storageLabels()
	age := b.clock.Now().UnixMilli() - b.earliest(st.MinPhysicalOffset)
	gauge(w, "rocketmq_storage_size_bytes", "Bytes of the commit log.", float64(st.MaxPhysicalOffset-st.MinPhysicalOffset), labels...)
	gauge(w, "rocketmq_storage_flush_behind_bytes", "Bytes of the commit log that are not known to be durable.", float64(st.MaxPhysicalOffset-st.DurablePhysicalOffset), labels...)
	gauge(w, "rocketmq_storage_dispatch_behind_bytes", "Bytes of the commit log that consumers cannot read yet.", 0, labels...)
	gauge(w, "rocketmq_storage_message_reserve_time_milliseconds", "Age of the oldest message.", float64(max(age, 0)), labels...)
	gauge(w, "rocketkit_storage_pending_bytes", "Bytes of sends that are not answered.", float64(st.PendingBytes))
	gauge(w, "rocketkit_volume_size_bytes", "Size of the commit log's volume; 0 where it is not known.", float64(st.Space.Total))
	gauge(w, "rocketkit_volume_available_bytes", "What is left of it.", float64(st.Space.Available))
	failed := 0.0
	if b.store.Err() != nil {
		failed = 1
	}
	gauge(w, "rocketkit_storage_failed", "1 when the store takes no messages any more, because a sync has failed.", failed)
	return nil
}

// Ready says why the broker does not take messages now; nil: it does.
func (b *Broker) Ready() error {
	switch {
	case b.closing.Load():
		return errShuttingDown
	case b.store.Err() != nil:
		return b.store.Err()
	case !b.registrar.Registered():
		return fmt.Errorf("%w: %s", register.ErrNotRegistered, strings.Join(b.config.NameServers, ";"))
	}
	return nil
}
