package protocol

import (
	"bytes"
	"iter"
	"strings"
)

// Names of the properties that RocketMQ itself reads (MessageConst).
const (
	PropKeys                = "KEYS"
	PropTags                = "TAGS"
	PropWaitStore           = "WAIT"
	PropDelayLevel          = "DELAY"
	PropRetryTopic          = "RETRY_TOPIC"
	PropRealTopic           = "REAL_TOPIC"
	PropRealQueueID         = "REAL_QID"
	PropTransactionPrepared = "TRAN_MSG"
	PropProducerGroup       = "PGROUP"
	PropOriginMessageID     = "ORIGIN_MESSAGE_ID"
	PropReconsumeTime       = "RECONSUME_TIME"
	PropMaxReconsumeTimes   = "MAX_RECONSUME_TIMES"
	PropMsgRegion           = "MSG_REGION"
	PropTraceOn             = "TRACE_ON"
	PropUniqueKey           = "UNIQ_KEY"
	PropTransactionID       = "__transactionId__"
	PropCheckImmunity       = "CHECK_IMMUNITY_TIME_IN_SECONDS"
	PropCheckTimes          = "TRANSACTION_CHECK_TIMES"
	PropCluster             = "CLUSTER"
	PropShardingKey         = "__SHARDINGKEY"
	PropTimerDelaySec       = "TIMER_DELAY_SEC"
	PropTimerDelayMs        = "TIMER_DELAY_MS"
	PropTimerDeliverMs      = "TIMER_DELIVER_MS"
	PropTimerOutMs          = "TIMER_OUT_MS"
	PropTimerDelUniqueKey   = "TIMER_DEL_UNIQKEY"
	PropPopReceipt          = "POP_CK"       // of a popped message that came back; in the log no message has it
	PropFirstPopTime        = "1ST_POP_TIME" // of a popped message that became visible again
)

// Separators of a properties text: name \x01 value \x02.
const (
	NameValueSeparator = '\x01'
	PropertySeparator  = '\x02'
	// KeySeparator stands between the keys inside KEYS.
	KeySeparator = " "
)

// AppendProperty appends one entry to dst, which holds properties and nothing
// else. As Java does when reading, an entry with an empty name or value is
// dropped.
func AppendProperty(dst []byte, name, value string) []byte {
	if name == "" || value == "" {
		return dst
	}
	if n := len(dst); n > 0 && dst[n-1] != PropertySeparator {
		dst = append(dst, PropertySeparator) // the trailing separator is optional
	}
	dst = append(dst, name...)
	dst = append(dst, NameValueSeparator)
	dst = append(dst, value...)
	return append(dst, PropertySeparator)
}

// EachProperty yields the entries of a properties text. Entries without a
// separator or with an empty name or value are passed over, as in Java.
func EachProperty[T string | []byte](props T) iter.Seq2[T, T] {
	return func(yield func(T, T) bool) {
		rest := props
		for len(rest) > 0 {
			end := indexByte(rest, PropertySeparator)
			entry := rest
			if end < 0 {
				rest = rest[:0]
			} else {
				entry, rest = rest[:end], rest[end+1:]
			}
			if at := indexByte(entry, NameValueSeparator); at > 0 && at < len(entry)-1 {
				if !yield(entry[:at], entry[at+1:]) {
					return
				}
			}
		}
	}
}

func indexByte[T string | []byte](s T, c byte) int {
	switch s := any(s).(type) {
	case string:
		return strings.IndexByte(s, c)
	case []byte:
		return bytes.IndexByte(s, c)
	}
	return -1
}

// Property returns one property's value without reading the others into a map.
// The last entry of that name wins.
func Property(props []byte, name string) (string, bool) {
	var found []byte
	for k, v := range EachProperty(props) {
		if string(k) == name {
			found = v
		}
	}
	return string(found), found != nil
}

// RemoveProperty appends to dst all entries of props but those of names.
func RemoveProperty(dst, props []byte, names ...string) []byte {
next:
	for k, v := range EachProperty(props) {
		for _, n := range names {
			if string(k) == n {
				continue next
			}
		}
		dst = append(append(append(dst, k...), NameValueSeparator), v...)
		dst = append(dst, PropertySeparator)
	}
	return dst
}

// SetProperty returns props with name set to value, in a new slice.
func SetProperty(props []byte, name, value string) []byte {
	dst := make([]byte, 0, len(props)+len(name)+len(value)+2)
	return AppendProperty(RemoveProperty(dst, props, name), name, value)
}

// PropertiesMap reads all entries; later ones win.
func PropertiesMap[T string | []byte](props T) map[string]string {
	m := make(map[string]string, 8)
	for k, v := range EachProperty(props) {
		m[string(k)] = string(v)
	}
	return m
}
