package broker

import (
	"bytes"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Properties that only the broker looks at (MessageConst).
const (
	propPriority = "_SYS_MSG_PRIORITY_"
	propInnerNum = "INNER_NUM"
)

// known is a set of the properties that a send looks at or replaces.
type known uint32

const (
	hasTags known = 1 << iota
	hasUniqueKey
	hasDelay
	hasTimerSec
	hasTimerMs
	hasTimerDeliver
	hasTimerOut
	hasTimerDelete
	hasPrepared
	hasImmunity
	hasCluster
	hasRegion
	hasTrace
	hasRealTopic
	hasRealQueue
	hasTransactionID
	hasPopCheck
	hasPriority
	hasInnerNum
	hasSharding

	hasTimer = hasTimerSec | hasTimerMs | hasTimerDeliver
	hasReal  = hasRealTopic | hasRealQueue
)

func knownProperty(name []byte) known {
	switch string(name) {
	case protocol.PropTags:
		return hasTags
	case protocol.PropUniqueKey:
		return hasUniqueKey
	case protocol.PropDelayLevel:
		return hasDelay
	case protocol.PropTimerDelaySec:
		return hasTimerSec
	case protocol.PropTimerDelayMs:
		return hasTimerMs
	case protocol.PropTimerDeliverMs:
		return hasTimerDeliver
	case protocol.PropTimerOutMs:
		return hasTimerOut
	case protocol.PropTimerDelUniqueKey:
		return hasTimerDelete
	case protocol.PropTransactionPrepared:
		return hasPrepared
	case protocol.PropCheckImmunity:
		return hasImmunity
	case protocol.PropCluster:
		return hasCluster
	case protocol.PropMsgRegion:
		return hasRegion
	case protocol.PropTraceOn:
		return hasTrace
	case protocol.PropRealTopic:
		return hasRealTopic
	case protocol.PropRealQueueID:
		return hasRealQueue
	case protocol.PropTransactionID:
		return hasTransactionID
	case protocol.PropPopReceipt:
		return hasPopCheck
	case propPriority:
		return hasPriority
	case propInnerNum:
		return hasInnerNum
	case protocol.PropShardingKey:
		return hasSharding
	}
	return 0
}

// scanned is what one pass over a message's properties finds. Its slices alias
// the properties.
type scanned struct {
	seen      known
	malformed bool // there are entries that Java drops

	tags, uniqueKey, delay, prepared, immunity, priority []byte
	timerSec, timerMs, timerDeliver                      []byte
}

// scan reads properties as MessageDecoder.string2messageProperties does: an entry
// without a separator, or with an empty name or value, does not count, and the
// last of a name wins.
func (s *scanned) scan(props []byte) {
	*s = scanned{}
	for len(props) > 0 {
		entry := props
		if end := bytes.IndexByte(props, protocol.PropertySeparator); end >= 0 {
			entry, props = props[:end], props[end+1:]
		} else {
			props = nil
		}
		at := bytes.IndexByte(entry, protocol.NameValueSeparator)
		if at <= 0 || at == len(entry)-1 {
			s.malformed = true
			continue
		}
		k := knownProperty(entry[:at])
		if k == 0 {
			continue
		}
		s.seen |= k
		switch value := entry[at+1:]; k {
		case hasTags:
			s.tags = value
		case hasUniqueKey:
			s.uniqueKey = value
		case hasDelay:
			s.delay = value
		case hasPrepared:
			s.prepared = value
		case hasImmunity:
			s.immunity = value
		case hasPriority:
			s.priority = value
		case hasTimerSec:
			s.timerSec = value
		case hasTimerMs:
			s.timerMs = value
		case hasTimerDeliver:
			s.timerDeliver = value
		}
	}
}

// without appends props to dst, but for the entries that Java drops and those of
// the set drop.
func (s *scanned) without(dst, props []byte, drop known) []byte {
	if !s.malformed && s.seen&drop == 0 {
		dst = append(dst, props...)
		if n := len(dst); n > 0 && dst[n-1] != protocol.PropertySeparator {
			dst = append(dst, protocol.PropertySeparator)
		}
		return dst
	}
	for k, v := range protocol.EachProperty(props) {
		if knownProperty(k)&drop != 0 {
			continue
		}
		dst = append(append(append(dst, k...), protocol.NameValueSeparator), v...)
		dst = append(dst, protocol.PropertySeparator)
	}
	return dst
}

// isTrue is Java's Boolean.parseBoolean.
func isTrue(v []byte) bool { return len(v) == 4 && bytes.EqualFold(v, []byte("true")) }
