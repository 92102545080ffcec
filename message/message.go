package message

import (
	"maps"
	"slices"
	"time"
)

// Message is what a producer sends. The zero value of every field but Topic and
// Body is usable. A producer never changes a Message that it was given, so one
// may be sent again, or by several goroutines at once as long as nobody writes
// to it.
type Message struct {
	// Topic names where the message goes: 1–127 characters of [%|a-zA-Z0-9_-].
	Topic string
	// Body is the payload, 1 byte to 4 MiB (the server's maxMessageSize).
	Body []byte
	// Tag is the second-level subject that consumers can filter by; "" is none.
	// It must not contain "|" or spaces.
	Tag string
	// Keys are business keys by which the message can be found, such as an
	// order's id. A key must not contain spaces: RocketMQ joins keys with them.
	Keys []string
	// ShardingKey keeps messages with the same key in the same queue.
	ShardingKey string
	// Properties are the user's own name-value pairs. Names that RocketMQ uses
	// itself (KEYS, TAGS, DELAY …) are refused.
	Properties map[string]string
	// Flag is passed through unread.
	Flag int32
	// Delay postpones the delivery; the zero value does not. Package delay has
	// the constructors.
	Delay Delay
}

// Delay says when a message becomes visible. At most one of Level, After and At is set.
type Delay struct {
	// Level is one of the server's delay levels, 1–18 by default (1s 5s 10s 30s
	// 1m … 10m 20m 30m 1h 2h).
	Level int
	// After is relative to the moment the server stores the message, and so
	// immune to clock skew. It needs a server with timer messages (5.0 and up).
	After time.Duration
	// At is an absolute moment by the server's clock. It needs a server with
	// timer messages (5.0 and up).
	At time.Time
	// OrLevel is the level to use where the server or the driver has no timer messages;
	// 0: the send fails there with ErrUnsupported. It goes with After or At.
	OrLevel int
}

// IsZero reports that nothing is delayed.
func (d Delay) IsZero() bool { return d.Level == 0 && d.After == 0 && d.At.IsZero() }

// Option sets something of a Message; see New.
type Option func(*Message)

// New makes a message.
//
//	m := message.New("orders", body, message.Tag("paid"), message.Key(order.ID), delay.Level(3))
func New(topic string, body []byte, opts ...Option) *Message {
	m := &Message{Topic: topic, Body: body}
	for _, o := range opts {
		o(m)
	}
	return m
}

// Tag sets the message's tag.
func Tag(tag string) Option { return func(m *Message) { m.Tag = tag } }

// Key adds business keys.
func Key(keys ...string) Option {
	return func(m *Message) { m.Keys = append(m.Keys, keys...) }
}

// ShardingKey keeps messages with the same key in the same queue.
func ShardingKey(key string) Option { return func(m *Message) { m.ShardingKey = key } }

// Property sets one user property.
func Property(name, value string) Option {
	return func(m *Message) {
		if m.Properties == nil {
			m.Properties = make(map[string]string, 4)
		}
		m.Properties[name] = value
	}
}

// Clone returns a copy that shares only the bytes of Body.
func (m *Message) Clone() *Message {
	c := *m
	c.Keys = slices.Clone(m.Keys)
	c.Properties = maps.Clone(m.Properties)
	return &c
}

// Queue is one queue of a topic on one broker.
type Queue struct {
	Topic  string
	Broker string // the broker's name, not an address
	ID     int
}
