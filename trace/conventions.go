package trace

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.39.0"
	"go.opentelemetry.io/otel/semconv/v1.39.0/messagingconv"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// This file alone names the version of the semantic conventions.

// schemaURL is that of the conventions.
const schemaURL = semconv.SchemaURL

// Operations by name and type. A recall is of no type that the conventions know.
const (
	opCreate  = "create"
	opSend    = "send"
	opReceive = "receive"
	opProcess = "process"
	opAck     = "ack"
	opNack    = "nack"
	opCommit  = "commit"
	opRecall  = "recall"
)

func operationType(name string) (attribute.KeyValue, bool) {
	switch name {
	case opCreate:
		return semconv.MessagingOperationTypeCreate, true
	case opSend:
		return semconv.MessagingOperationTypeSend, true
	case opReceive:
		return semconv.MessagingOperationTypeReceive, true
	case opProcess:
		return semconv.MessagingOperationTypeProcess, true
	case opAck, opNack, opCommit:
		return semconv.MessagingOperationTypeSettle, true
	}
	return attribute.KeyValue{}, false
}

// operation is what is the same for all messages of a kind: what a sampler may look at.
type operation struct {
	name   string
	kind   oteltrace.SpanKind
	topic  string // "": none, or several
	group  string // of consumers; "" for producers
	server string // "host:port"; "": not known
	host   netip.AddrPort
}

// attributes are those of the operation's spans and metrics. A metric of messages has no
// operation type.
func (o operation) attributes(withType bool) []attribute.KeyValue {
	attrs := append(make([]attribute.KeyValue, 0, 16), semconv.MessagingSystemRocketMQ, semconv.MessagingOperationName(o.name))
	if kind, ok := operationType(o.name); ok && withType {
		attrs = append(attrs, kind)
	}
	if o.topic != "" {
		attrs = append(attrs, semconv.MessagingDestinationName(o.topic))
	}
	if o.group != "" {
		attrs = append(attrs, semconv.MessagingConsumerGroupName(o.group))
	}
	return append(attrs, o.serverAttributes()...)
}

func (o operation) serverAttributes() []attribute.KeyValue {
	host, port, err := net.SplitHostPort(o.server)
	if o.host.IsValid() {
		host, port, err = o.host.Addr().Unmap().String(), strconv.Itoa(int(o.host.Port())), nil
	}
	if err != nil {
		return nil
	}
	attrs := []attribute.KeyValue{semconv.ServerAddress(host)}
	if n, err := strconv.Atoi(port); err == nil {
		attrs = append(attrs, semconv.ServerPort(n))
	}
	return attrs
}

// peerAttributes are those of the connection, where the server is named by its IP address.
func (o operation) peerAttributes() []attribute.KeyValue {
	at, err := netip.ParseAddrPort(o.server)
	if err != nil {
		return nil
	}
	return []attribute.KeyValue{semconv.NetworkPeerAddress(at.Addr().Unmap().String()), semconv.NetworkPeerPort(int(at.Port()))}
}

func partition(q message.Queue) attribute.KeyValue {
	return semconv.MessagingDestinationPartitionID(q.Broker + "-" + strconv.Itoa(q.ID))
}

func consumptionModel(broadcast bool) attribute.KeyValue {
	if broadcast {
		return semconv.MessagingRocketMQConsumptionModelBroadcasting
	}
	return semconv.MessagingRocketMQConsumptionModelClustering
}

// errorType is the broker's code name where a broker refused, "" for nil.
func errorType(err error) string {
	var be *message.BrokerError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &be) && be.Name != "":
		return be.Name
	}
	return semconv.ErrorTypeOther.Value.AsString()
}

// errorServer is the address of the broker that an error is from, "" when there is none.
func errorServer(err error) string {
	var be *message.BrokerError
	var unknown *message.UnknownOutcomeError
	switch {
	case errors.As(err, &be):
		return be.Addr
	case errors.As(err, &unknown):
		return unknown.Addr
	}
	return ""
}

// messageAttributes are those of a message that is sent.
func (t *Tracer) messageAttributes(m *message.Message, id string, transaction bool, began time.Time) []attribute.KeyValue {
	attrs := append(make([]attribute.KeyValue, 0, 13), semconv.MessagingMessageID(id))
	attrs = t.appendSize(attrs, m.Body)
	if m.Tag != "" {
		attrs = append(attrs, semconv.MessagingRocketMQMessageTag(m.Tag))
	}
	if len(m.Keys) > 0 {
		attrs = append(attrs, semconv.MessagingRocketMQMessageKeys(m.Keys...))
	}
	if m.ShardingKey != "" {
		attrs = append(attrs, semconv.MessagingRocketMQMessageGroup(m.ShardingKey))
	}
	switch d := m.Delay; {
	case transaction:
		return append(attrs, semconv.MessagingRocketMQMessageTypeTransaction)
	case d.Level > 0:
		return append(attrs, semconv.MessagingRocketMQMessageTypeDelay, semconv.MessagingRocketMQMessageDelayTimeLevel(d.Level))
	case d.After > 0:
		return append(attrs, semconv.MessagingRocketMQMessageTypeDelay, deliveryTimestamp(began.Add(d.After).UnixMilli()))
	case !d.At.IsZero():
		return append(attrs, semconv.MessagingRocketMQMessageTypeDelay, deliveryTimestamp(d.At.UnixMilli()))
	case m.ShardingKey != "":
		return append(attrs, semconv.MessagingRocketMQMessageTypeFifo)
	}
	return append(attrs, semconv.MessagingRocketMQMessageTypeNormal)
}

// appendSize adds the size of a body, if that is asked for.
func (t *Tracer) appendSize(attrs []attribute.KeyValue, body []byte) []attribute.KeyValue {
	if !t.bodySize {
		return attrs
	}
	return append(attrs, semconv.MessagingMessageBodySize(len(body)))
}

// deliveryTimestamp is in ms since 1970.
func deliveryTimestamp(ms int64) attribute.KeyValue {
	return semconv.MessagingRocketMQMessageDeliveryTimestampKey.Int64(ms)
}

func conversation(id string) attribute.KeyValue { return semconv.MessagingMessageConversationID(id) }

// propCorrelation is that of requests and replies (MessageConst); driver knows it too,
// which this package does not.
const propCorrelation = "CORRELATION_ID"

// deliveryAttributes are those of a message that was received.
func (t *Tracer) deliveryAttributes(d *message.Delivery) []attribute.KeyValue {
	attrs := append(make([]attribute.KeyValue, 0, 13), semconv.MessagingMessageID(d.ID), partition(d.Queue))
	attrs = t.appendSize(attrs, d.Body)
	if d.Tag != "" {
		attrs = append(attrs, semconv.MessagingRocketMQMessageTag(d.Tag))
	}
	var level, deliverAt int64
	var group, transaction string
	for k, v := range d.Properties() {
		switch k {
		case protocol.PropKeys:
			attrs = append(attrs, semconv.MessagingRocketMQMessageKeys(strings.Fields(v)...))
		case protocol.PropDelayLevel:
			level, _ = strconv.ParseInt(v, 10, 32)
		case protocol.PropTimerDeliverMs:
			deliverAt, _ = strconv.ParseInt(v, 10, 64)
		case protocol.PropTimerOutMs: // when the broker delivered
			if deliverAt == 0 {
				deliverAt, _ = strconv.ParseInt(v, 10, 64)
			}
		case protocol.PropTransactionPrepared:
			transaction = v
		case protocol.PropShardingKey:
			group = v
			attrs = append(attrs, semconv.MessagingRocketMQMessageGroup(v))
		case propCorrelation:
			attrs = append(attrs, conversation(v))
		}
	}
	retried := strings.HasPrefix(d.Queue.Topic, message.RetryPrefix) // its delay is the retry's
	switch {
	case transaction == "true":
		return append(attrs, semconv.MessagingRocketMQMessageTypeTransaction)
	case !retried && deliverAt > 0:
		return append(attrs, semconv.MessagingRocketMQMessageTypeDelay, deliveryTimestamp(deliverAt))
	case !retried && level > 0:
		return append(attrs, semconv.MessagingRocketMQMessageTypeDelay, semconv.MessagingRocketMQMessageDelayTimeLevel(int(level)))
	case group != "":
		return append(attrs, semconv.MessagingRocketMQMessageTypeFifo)
	case retried:
		return attrs // normal or delay: nobody knows any more
	}
	return append(attrs, semconv.MessagingRocketMQMessageTypeNormal)
}

// durations are the conventions' histograms; their bucket boundaries are in seconds.
func durations(m metric.Meter) (operation, process metric.Float64Histogram, err error) {
	buckets := metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
	o, err1 := messagingconv.NewClientOperationDuration(m, buckets)
	p, err2 := messagingconv.NewProcessDuration(m, buckets)
	return o.Inst(), p.Inst(), errors.Join(err1, err2)
}

// counters are the conventions' counters.
func counters(m metric.Meter) (sent, consumed metric.Int64Counter, err error) {
	s, err1 := messagingconv.NewClientSentMessages(m)
	c, err2 := messagingconv.NewClientConsumedMessages(m)
	return s.Inst(), c.Inst(), errors.Join(err1, err2)
}

func batchCount(n int) attribute.KeyValue { return semconv.MessagingBatchMessageCount(n) }

func messageID(id string) attribute.KeyValue { return semconv.MessagingMessageID(id) }

func failure(kind string) attribute.KeyValue { return semconv.ErrorTypeKey.String(kind) }

func namespaceOf(ns string) attribute.KeyValue { return semconv.MessagingRocketMQNamespace(ns) }

func clientID(id string) attribute.KeyValue { return semconv.MessagingClientID(id) }

func destination(topic string) attribute.KeyValue { return semconv.MessagingDestinationName(topic) }

func consumerGroup(group string) attribute.KeyValue { return semconv.MessagingConsumerGroupName(group) }
