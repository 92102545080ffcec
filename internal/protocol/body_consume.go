package protocol

import (
	"errors"
	"maps"
	"slices"
	"strconv"
)

// ConsumeOffset is how far a group has come in a queue.
type ConsumeOffset struct {
	BrokerOffset   int64 `json:"brokerOffset"`   // the next to be written
	ConsumerOffset int64 `json:"consumerOffset"` // committed
	LastTimestamp  int64 `json:"lastTimestamp"`  // when the message before it was stored, ms since 1970; 0 for none
	PullOffset     int64 `json:"pullOffset"`     // 5.x: the next to be pulled
}

// ConsumeStats is the body of code 208's response. 4.9 has no pullOffset.
type ConsumeStats struct {
	Offsets map[MessageQueue]ConsumeOffset
	TPS     float64 // messages a second
}

// EncodeConsumeStats renders s as fastjson does, compactly and sorted by queue.
func EncodeConsumeStats(s *ConsumeStats) []byte {
	return appendConsumeStats(make([]byte, 0, 64+224*len(s.Offsets)), s)
}

func appendConsumeStats(b []byte, s *ConsumeStats) []byte {
	b = appendJavaDouble(append(b, `{"consumeTps":`...), s.TPS)
	b = appendQueueTable(append(b, `,"offsetTable":`...), s.Offsets, func(b []byte, o ConsumeOffset) []byte {
		b = strconv.AppendInt(append(b, `{"brokerOffset":`...), o.BrokerOffset, 10)
		b = strconv.AppendInt(append(b, `,"consumerOffset":`...), o.ConsumerOffset, 10)
		b = strconv.AppendInt(append(b, `,"lastTimestamp":`...), o.LastTimestamp, 10)
		b = strconv.AppendInt(append(b, `,"pullOffset":`...), o.PullOffset, 10)
		return append(b, '}')
	})
	return append(b, '}')
}

// DecodeConsumeStats reads fastjson's form and its standard rewriting.
func DecodeConsumeStats(data []byte) (*ConsumeStats, error) {
	var v struct {
		Offsets map[queueKey]ConsumeOffset `json:"offsetTable"`
		TPS     float64                    `json:"consumeTps"`
	}
	if err := decodeBody("ConsumeStats", data, &v); err != nil {
		return nil, err
	}
	return &ConsumeStats{Offsets: queueTable(v.Offsets), TPS: v.TPS}, nil
}

// GroupConsumeStats are a group's ConsumeStats, one for each topic.
type GroupConsumeStats struct {
	Group string
	Stats []ConsumeStats
}

// BrokerConsumeStats is the body of code 317's response.
type BrokerConsumeStats struct {
	BrokerAddr   string
	Groups       []GroupConsumeStats
	Diff         int64 // messages that are not consumed
	InflightDiff int64 // messages that are pulled and not consumed; 5.x
}

// EncodeBrokerConsumeStats renders s as fastjson does.
func EncodeBrokerConsumeStats(s *BrokerConsumeStats) []byte {
	b := appendJSONString([]byte(`{"brokerAddr":`), s.BrokerAddr)
	b = append(b, `,"consumeStatsList":[`...)
	for i, g := range s.Groups {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSONString(append(b, '{'), g.Group), `:[`...)
		for j := range g.Stats {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendConsumeStats(b, &g.Stats[j])
		}
		b = append(b, `]}`...)
	}
	b = strconv.AppendInt(append(b, `],"totalDiff":`...), s.Diff, 10)
	b = strconv.AppendInt(append(b, `,"totalInflightDiff":`...), s.InflightDiff, 10)
	return append(b, '}')
}

// ClientStatus is the body of code 223's response: by client id where each member
// of a group is in each queue of a topic.
type ClientStatus map[string]map[MessageQueue]int64

// EncodeClientStatus renders s as fastjson does.
func EncodeClientStatus(s ClientStatus) []byte {
	b := []byte(`{"consumerTable":{`)
	for i, id := range slices.Sorted(maps.Keys(s)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQueueTable(append(appendJSONString(b, id), ':'), s[id], appendOffset)
	}
	return append(b, `},"messageQueueTable":{}}`...)
}

// EncodeClientOffsets renders the body of code 221's response, what one client
// says of itself.
func EncodeClientOffsets(offsets map[MessageQueue]int64) []byte {
	b := appendQueueTable([]byte(`{"messageQueueTable":`), offsets, appendOffset)
	return append(b, '}')
}

// DecodeClientOffsets reads the body of code 221's response.
func DecodeClientOffsets(data []byte) (map[MessageQueue]int64, error) {
	var v struct {
		Offsets map[queueKey]int64 `json:"messageQueueTable"`
	}
	if err := decodeBody("offsets of a client", data, &v); err != nil {
		return nil, err
	}
	return queueTable(v.Offsets), nil
}

// EncodeOffsetList renders the body of code 220 in the form that the C++ client
// reads: a list of queues with their offsets.
func EncodeOffsetList(offsets map[MessageQueue]int64) []byte {
	b := []byte(`{"offsetTable":[`)
	for i, q := range slices.SortedFunc(maps.Keys(offsets), MessageQueue.Compare) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(append(b, `{"brokerName":`...), q.BrokerName)
		b = strconv.AppendInt(append(b, `,"offset":`...), offsets[q], 10)
		b = strconv.AppendInt(append(b, `,"queueId":`...), int64(q.QueueID), 10)
		b = append(appendJSONString(append(b, `,"topic":`...), q.Topic), '}')
	}
	return append(b, `]}`...)
}

func appendOffset(b []byte, offset int64) []byte { return strconv.AppendInt(b, offset, 10) }

// appendQueueTable writes a map by queue, which is no standard JSON.
func appendQueueTable[V any](b []byte, table map[MessageQueue]V, value func([]byte, V) []byte) []byte {
	b = append(b, '{')
	for i, q := range slices.SortedFunc(maps.Keys(table), MessageQueue.Compare) {
		if i > 0 {
			b = append(b, ',')
		}
		b = value(append(appendMessageQueue(b, &q), ':'), table[q])
	}
	return append(b, '}')
}

func queueTable[V any](m map[queueKey]V) map[MessageQueue]V {
	table := make(map[MessageQueue]V, len(m))
	for k, v := range m {
		table[MessageQueue(k)] = v
	}
	return table
}

// Connection is a member of a group, as codes 203 and 204 show it.
type Connection struct {
	ClientAddr string `json:"clientAddr"`
	ClientID   string `json:"clientId"`
	Language   string `json:"language"` // Java's name, such as JAVA
	Version    int32  `json:"version"`
}

// ConsumerConnections is the body of code 203's response.
type ConsumerConnections struct {
	Connections      []Connection                `json:"connectionSet"`
	ConsumeFromWhere string                      `json:"consumeFromWhere,omitempty"`
	ConsumeType      string                      `json:"consumeType,omitempty"`
	MessageModel     string                      `json:"messageModel,omitempty"`
	Subscriptions    map[string]SubscriptionData `json:"subscriptionTable"` // by topic
}

// ProducerConnections is the body of code 204's response.
type ProducerConnections struct {
	Connections []Connection `json:"connectionSet"`
}

// ProducerInfo is a producer, as code 328 shows it.
type ProducerInfo struct {
	ClientID            string `json:"clientId"`
	Language            string `json:"language"`
	LastUpdateTimestamp int64  `json:"lastUpdateTimestamp"` // of its last heartbeat, ms since 1970
	RemoteIP            string `json:"remoteIP"`            // and port
	Version             int32  `json:"version"`
}

// ProducerTable is the body of code 328's response: producers by group.
type ProducerTable struct {
	Groups map[string][]ProducerInfo `json:"data"`
}

// QueueTimeSpan says from when to when a queue has messages, and how far a group
// has come. Times are in ms since 1970, -1 for none.
type QueueTimeSpan struct {
	ConsumeTimestamp int64        `json:"consumeTimeStamp"`
	DelayTime        int64        `json:"delayTime"` // age of the next message to consume, ms
	MaxTimestamp     int64        `json:"maxTimeStamp"`
	MessageQueue     MessageQueue `json:"messageQueue"`
	MinTimestamp     int64        `json:"minTimeStamp"`
}

// ConsumeTimeSpans is the body of code 303's response.
type ConsumeTimeSpans struct {
	Spans []QueueTimeSpan `json:"consumeTimeSpanSet"`
}

// GroupList is the body of code 300's response.
type GroupList struct {
	Groups []string `json:"groupList"`
}

// QueriedSubscription is the body of code 345's response.
type QueriedSubscription struct {
	Group        string            `json:"group"`
	Subscription *SubscriptionData `json:"subscriptionData,omitempty"` // nil: the group has none
	Topic        string            `json:"topic"`
}

// EncodeCorrectionOffsets renders the body of code 308's response, offsets by
// queue, as fastjson does.
func EncodeCorrectionOffsets(offsets map[int32]int64) []byte {
	b := []byte(`{"correctionOffsets":{`)
	for i, id := range slices.Sorted(maps.Keys(offsets)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendInt(b, int64(id), 10), ':')
		b = strconv.AppendInt(b, offsets[id], 10)
	}
	return append(b, `}}`...)
}

// QueueEntry is an entry of a consume queue, as code 321 shows it.
type QueueEntry struct {
	Eval       bool   `json:"eval"`
	Message    string `json:"msg,omitempty"`
	PhysOffset int64  `json:"physicOffset"`
	PhysSize   int32  `json:"physicSize"`
	TagsCode   int64  `json:"tagsCode"`
}

// QueueEntries is the body of code 321's response.
type QueueEntries struct {
	FilterData   string            `json:"filterData,omitempty"`
	MaxIndex     int64             `json:"maxQueueIndex"`
	MinIndex     int64             `json:"minQueueIndex"`
	Entries      []QueueEntry      `json:"queueData,omitempty"`
	Subscription *SubscriptionData `json:"subscriptionData,omitempty"`
}

// Outcomes of a message that was consumed directly (CMResult).
const (
	DirectSuccess = "CR_SUCCESS"
	DirectLater   = "CR_LATER"
)

// DirectResult is the body of code 309's response.
type DirectResult struct {
	AutoCommit bool   `json:"autoCommit"`
	Result     string `json:"consumeResult"`
	Ordered    bool   `json:"order"`
	Remark     string `json:"remark,omitempty"`
	SpentMs    int64  `json:"spentTimeMills"`
}

// Names of a RunningInfo's properties.
const (
	RunningNameServers = "PROP_NAMESERVER_ADDR"
	RunningOrdered     = "PROP_CONSUMEORDERLY"
	RunningConsumeType = "PROP_CONSUME_TYPE"
	RunningVersion     = "PROP_CLIENT_VERSION"
	RunningSince       = "PROP_CONSUMER_START_TIMESTAMP"
)

// ProcessQueue is a queue that a client consumes (ProcessQueueInfo). Offsets are 0
// when nothing is cached.
type ProcessQueue struct {
	CachedCount      int   `json:"cachedMsgCount"`
	CachedMax        int64 `json:"cachedMsgMaxOffset"`
	CachedMin        int64 `json:"cachedMsgMinOffset"`
	CachedMiB        int   `json:"cachedMsgSizeInMiB"`
	CommitOffset     int64 `json:"commitOffset"`
	Dropped          bool  `json:"droped"`
	LastConsumeMs    int64 `json:"lastConsumeTimestamp"`
	LastLockMs       int64 `json:"lastLockTimestamp"`
	LastPullMs       int64 `json:"lastPullTimestamp"`
	Locked           bool  `json:"locked"`
	TransactionCount int   `json:"transactionMsgCount"`
	TransactionMax   int64 `json:"transactionMsgMaxOffset"`
	TransactionMin   int64 `json:"transactionMsgMinOffset"`
	TryUnlockTimes   int64 `json:"tryUnlockTimes"`
}

// RunningInfo is the body of code 307's response, what a consumer says of itself
// (ConsumerRunningInfo). 4.9 has no mqPopTable. Java's also has rates by topic,
// stacks, and what the program adds.
type RunningInfo struct {
	Queues        map[MessageQueue]ProcessQueue
	Properties    map[string]string
	Subscriptions []SubscriptionData
}

// EncodeRunningInfo renders i as fastjson does.
func EncodeRunningInfo(i *RunningInfo) ([]byte, error) {
	var failed error
	b := appendQueueTable([]byte(`{"mqPopTable":{},"mqTable":`), i.Queues, func(b []byte, q ProcessQueue) []byte {
		v, err := EncodeBody(q)
		if err != nil {
			failed = err
		}
		return append(b, v...)
	})
	rest, err := EncodeBody(struct {
		Properties    map[string]string  `json:"properties"`
		Rates         struct{}           `json:"statusTable"`
		Subscriptions []SubscriptionData `json:"subscriptionSet,omitempty"`
		User          struct{}           `json:"userConsumerInfo"`
	}{Properties: i.Properties, Subscriptions: i.Subscriptions})
	if err != nil || failed != nil {
		return nil, errors.Join(failed, err)
	}
	return append(append(b, ','), rest[1:]...), nil
}
