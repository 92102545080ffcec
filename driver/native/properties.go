package native

import (
	"strconv"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// propInstance has the sender's namespace (MessageConst.PROPERTY_INSTANCE_ID).
const propInstance = "INSTANCE_ID"

// appendProperties is appendProperties with what the client adds.
func (c *client) appendProperties(dst []byte, m *driver.Outgoing) []byte {
	return protocol.AppendProperty(appendProperties(dst, m), propInstance, c.namespace.name)
}

// appendProperties encodes everything about a message that travels as a
// property: what the user set, the id, the delay. The message is not changed.
func appendProperties(dst []byte, m *driver.Outgoing) []byte {
	dst = protocol.AppendProperty(dst, protocol.PropUniqueKey, m.ID)
	dst = protocol.AppendProperty(dst, protocol.PropTags, m.Tag)
	dst = appendKeys(dst, m.Keys)
	dst = protocol.AppendProperty(dst, protocol.PropShardingKey, m.ShardingKey)
	for k, v := range m.Properties {
		dst = protocol.AppendProperty(dst, k, v)
	}
	for i := range m.Extra {
		dst = protocol.AppendProperty(dst, m.Extra[i].Name, m.Extra[i].Value)
	}
	return appendDelay(dst, m.Delay)
}

// appendKeys joins the keys with RocketMQ's separator, without a string between.
func appendKeys(dst []byte, keys []string) []byte {
	if len(keys) == 0 {
		return dst
	}
	dst = append(dst, protocol.PropKeys...)
	dst = append(dst, protocol.NameValueSeparator)
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, protocol.KeySeparator...)
		}
		dst = append(dst, k...)
	}
	return append(dst, protocol.PropertySeparator)
}

// appendDelay says when the message becomes visible. A level beats the timer on
// the broker, so at most one of them is written.
func appendDelay(dst []byte, d message.Delay) []byte {
	switch {
	case d.Level > 0:
		return appendNumber(dst, protocol.PropDelayLevel, int64(d.Level))
	case d.After > 0:
		return appendNumber(dst, protocol.PropTimerDelayMs, int64((d.After+time.Millisecond-1)/time.Millisecond))
	case !d.At.IsZero():
		return appendNumber(dst, protocol.PropTimerDeliverMs, d.At.UnixMilli())
	}
	return dst
}

func appendNumber(dst []byte, name string, v int64) []byte {
	dst = append(dst, name...)
	dst = append(dst, protocol.NameValueSeparator)
	dst = strconv.AppendInt(dst, v, 10)
	return append(dst, protocol.PropertySeparator)
}

// needsTimer reports whether the broker must have timer messages (5.0).
func needsTimer(d message.Delay) bool { return d.Level == 0 && (d.After > 0 || !d.At.IsZero()) }
