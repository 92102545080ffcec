package clientgo

import (
	"hash/crc32"
	"net/netip"
	"slices"
	"strings"

	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/rocketkit/rocketkit/message"
)

// propShardingKey is the property that RocketMQ's clients read a sharding key
// from (MessageConst.PROPERTY_SHARDING_KEY).
const propShardingKey = "__SHARDINGKEY"

// propInstance has the sender's namespace (MessageConst.PROPERTY_INSTANCE_ID).
const propInstance = "INSTANCE_ID"

// readable reports whether rocketmq-client-go could decompress a body. It knows
// zlib only, and hands on what it cannot read as it is, which shows by the
// checksum of the stored bytes.
func readable(m *primitive.MessageExt) bool {
	const crcBits = 0x7FFFFFFF // UtilAll.crc32
	return m.SysFlag&primitive.FlagCompressed == 0 || crc32.ChecksumIEEE(m.Body)&crcBits != uint32(m.BodyCRC)
}

// delivery is m, received from mq, in this module's words.
func (s *subscription) delivery(m *primitive.MessageExt, mq message.Queue) *message.Delivery {
	d := &message.Delivery{
		Topic: m.Topic, Body: m.Body, Tag: m.GetTags(), ID: m.MsgId, OffsetID: m.OffsetMsgId, Group: s.cfg.Group,
		Queue: mq, QueueOffset: m.QueueOffset, ReconsumeTimes: int(m.ReconsumeTimes),
		BornTimestamp: m.BornTimestamp, StoreTimestamp: m.StoreTimestamp,
		StoreHost: storeHost(m.OffsetMsgId), Flag: m.Flag, SysFlag: m.SysFlag,
	}
	if m.SysFlag&primitive.FlagBornHostV6 == 0 { // it reads 4 of the 16 bytes
		d.BornHost, _ = netip.ParseAddrPort(m.BornHost) // invalid: not known
	}
	if origin := m.GetProperty(propOrigin); origin != "" {
		d.Topic = origin
	}
	d.SetRawProperties(rawProperties(m.GetProperties()))
	topic, subscribed := s.shown[d.Topic]
	d.SetNamespace(s.c.cfg.Namespace)
	if subscribed {
		d.Topic = topic // as it was subscribed to
	}
	return d
}

// rawProperties joins properties as they travel, by name. Those that
// rocketmq-client-go or this driver added are left out.
func rawProperties(props map[string]string) string {
	if origin, ok := props[propOrigin]; ok {
		props[primitive.PropertyRetryTopic] = origin
	}
	names := make([]string, 0, len(props))
	size := 0
	for name, value := range props {
		switch name {
		case propOrigin, propLetter, primitive.PropertyMinOffset, primitive.PropertyMaxOffset, primitive.PropertyConsumeStartTime:
			continue
		}
		names = append(names, name)
		size += len(name) + len(value) + 2
	}
	slices.Sort(names)
	var b strings.Builder
	b.Grow(size)
	for _, name := range names {
		b.WriteString(name)
		b.WriteByte(1)
		b.WriteString(props[name])
		b.WriteByte(2)
	}
	return b.String()
}
