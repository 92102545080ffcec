package message

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"time"
)

// Delivery is one received message. Delivery is at least once: the same message
// can arrive again after a crash, a rebalance or a lost acknowledgement, always
// with the same ID.
type Delivery struct {
	// Topic is the topic that the message was sent to; for a retried message
	// that is its original topic, not the group's retry topic.
	Topic string
	// Body is the payload. It must not be changed.
	Body []byte
	// Tag is "" when the message has none.
	Tag string
	// ID was given by the producer and stays the same over all retries.
	ID string
	// OffsetID names this stored copy by broker and offset; each retry has its own.
	OffsetID string
	// Group is the consumer group that receives it.
	Group string
	// Queue is where this copy was stored; its Topic may be the retry topic.
	Queue Queue
	// QueueOffset is the copy's place in Queue.
	QueueOffset int64
	// ReconsumeTimes counts the failed attempts so far: 0 on first delivery.
	ReconsumeTimes int
	// BornTimestamp is when the producer sent it, StoreTimestamp when the broker
	// stored this copy; both in ms since 1970.
	BornTimestamp, StoreTimestamp int64
	// BornHost is the producer's address, StoreHost the broker's.
	BornHost, StoreHost netip.AddrPort
	// Flag is what the producer set.
	Flag int32
	// SysFlag holds RocketMQ's own bits (MessageSysFlag).
	SysFlag int32

	namespace string
	props     string // "k\x01v\x02…", read on demand
	claim     *Claim
}

// Namespace is the namespace that the message was received in, "" for none. Topic, Group,
// Queue and OriginTopic are named without it.
func (d *Delivery) Namespace() string { return d.namespace }

// SetNamespace is for drivers: it takes ns off the names, and notes it.
func (d *Delivery) SetNamespace(ns string) {
	d.namespace = ns
	d.Topic, d.Group, d.Queue.Topic = WithoutNamespace(ns, d.Topic), WithoutNamespace(ns, d.Group), WithoutNamespace(ns, d.Queue.Topic)
}

// Claim is for drivers: how a popped message is answered.
type Claim struct {
	// Receipt names this delivery to the broker.
	Receipt string
	// Until is when the broker lets others have the message.
	Until time.Time
}

// SetClaim is for drivers: it notes how the message is answered.
func (d *Delivery) SetClaim(c *Claim) { d.claim = c }

// Claim is for drivers: what SetClaim noted, nil for messages that were not popped.
func (d *Delivery) Claim() *Claim { return d.claim }

// SetRawProperties is for drivers: it hands over the properties as they travel,
// name \x01 value \x02. They are parsed when asked for.
func (d *Delivery) SetRawProperties(props string) { d.props = props }

// Property returns a property, the user's or RocketMQ's own, "" when absent.
func (d *Delivery) Property(name string) string {
	found := ""
	for k, v := range d.Properties() {
		if k == name {
			found = v
		}
	}
	return found
}

// Properties yields all properties, the user's and RocketMQ's own.
func (d *Delivery) Properties() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for rest := d.props; rest != ""; {
			var entry string
			entry, rest, _ = strings.Cut(rest, "\x02")
			if k, v, ok := strings.Cut(entry, "\x01"); ok && k != "" && v != "" {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// Keys returns the business keys.
func (d *Delivery) Keys() []string { return strings.Fields(d.Property(propKeys)) }

// ShardingKey is what the message was sent to its queue by, "" when it has none.
func (d *Delivery) ShardingKey() string { return d.Property(propShardingKey) }

// OriginID is the id of the first stored copy of a retried or dead-lettered
// message, "" on first delivery.
func (d *Delivery) OriginID() string { return d.Property(propOriginMessageID) }

// OriginTopic is the topic that a retried or dead-lettered message was first
// sent to; for all others it is Topic. A dead-letter queue's messages arrive with
// the queue's own name as Topic.
func (d *Delivery) OriginTopic() string {
	if t := d.Property(propRetryTopic); t != "" {
		return WithoutNamespace(d.namespace, t)
	}
	return d.Topic
}

// String names the message, for logs: in the form of Java's client, but without the
// body and the properties, whose place is not in a log.
func (d *Delivery) String() string {
	return fmt.Sprintf("Delivery [topic=%s, tags=%s, keys=%s, msgId=%s, reconsumeTimes=%d, messageQueue=MessageQueue [topic=%s, brokerName=%s, queueId=%d], queueOffset=%d, body=%d bytes]",
		d.Topic, d.Tag, d.Property(propKeys), d.ID, d.ReconsumeTimes, d.Queue.Topic, d.Queue.Broker, d.Queue.ID, d.QueueOffset, len(d.Body))
}

// Born is BornTimestamp as a time.
func (d *Delivery) Born() time.Time { return time.UnixMilli(d.BornTimestamp) }

// Stored is StoreTimestamp as a time.
func (d *Delivery) Stored() time.Time { return time.UnixMilli(d.StoreTimestamp) }

// DeliveryKey is the key under which DeliveryFrom finds a *Delivery in a ctx. It
// is exported for implementations of context.Context that answer it themselves;
// everyone else uses WithDelivery and DeliveryFrom.
type DeliveryKey struct{}

// WithDelivery returns a ctx from which DeliveryFrom reads d, for tests that
// call a handler themselves.
func WithDelivery(ctx context.Context, d *Delivery) context.Context {
	return context.WithValue(ctx, DeliveryKey{}, d)
}

// DeliveryFrom returns the metadata of the message that a handler is working
// on, nil outside a handler.
func DeliveryFrom(ctx context.Context) *Delivery {
	d, _ := ctx.Value(DeliveryKey{}).(*Delivery)
	return d
}
