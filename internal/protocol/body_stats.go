package protocol

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Compare orders queues by topic, broker name and id.
func (q MessageQueue) Compare(o MessageQueue) int {
	return cmp.Or(cmp.Compare(q.Topic, o.Topic), cmp.Compare(q.BrokerName, o.BrokerName), cmp.Compare(q.QueueID, o.QueueID))
}

// TopicOffset is what a queue holds.
type TopicOffset struct {
	LastUpdateTimestamp int64 `json:"lastUpdateTimestamp"` // ms since 1970, 0 when empty
	MaxOffset           int64 `json:"maxOffset"`           // the next to be written
	MinOffset           int64 `json:"minOffset"`
}

// TopicStats is the body of code 202's response. Its map has objects as keys,
// which is no JSON: EncodeTopicStats and DecodeTopicStats know how. 4.9 has no
// topicPutTps.
type TopicStats struct {
	Offsets map[MessageQueue]TopicOffset
	PutTPS  float64 // messages a second, 5.x
}

// EncodeTopicStats renders s as fastjson does, compactly and sorted by queue.
func EncodeTopicStats(s *TopicStats) []byte {
	b := append(make([]byte, 0, 64+192*len(s.Offsets)), `{"offsetTable":{`...)
	for i, q := range slices.SortedFunc(maps.Keys(s.Offsets), MessageQueue.Compare) {
		if i > 0 {
			b = append(b, ',')
		}
		o := s.Offsets[q]
		b = append(appendMessageQueue(b, &q), `:{"lastUpdateTimestamp":`...)
		b = strconv.AppendInt(b, o.LastUpdateTimestamp, 10)
		b = append(b, `,"maxOffset":`...)
		b = strconv.AppendInt(b, o.MaxOffset, 10)
		b = append(b, `,"minOffset":`...)
		b = strconv.AppendInt(b, o.MinOffset, 10)
		b = append(b, '}')
	}
	b = append(b, `},"topicPutTps":`...)
	b = appendJavaDouble(b, s.PutTPS)
	return append(b, '}')
}

// DecodeTopicStats reads fastjson's form and its standard rewriting.
func DecodeTopicStats(data []byte) (*TopicStats, error) {
	var v struct {
		Offsets map[queueKey]TopicOffset `json:"offsetTable"`
		PutTPS  float64                  `json:"topicPutTps"`
	}
	if err := decodeBody("TopicStats", data, &v); err != nil {
		return nil, err
	}
	s := &TopicStats{Offsets: make(map[MessageQueue]TopicOffset, len(v.Offsets)), PutTPS: v.PutTPS}
	for k, o := range v.Offsets {
		s.Offsets[MessageQueue(k)] = o
	}
	return s, nil
}

// EncodeOffsetTable renders the body of code 220 (RESET_CONSUMER_CLIENT_OFFSET):
// {"offsetTable":{{"brokerName":"b","queueId":0,"topic":"t"}:5}}. client-go
// splits it at "}:" and ",{", so it must be compact.
func EncodeOffsetTable(offsets map[MessageQueue]int64) []byte {
	b := append(make([]byte, 0, 32+96*len(offsets)), `{"offsetTable":{`...)
	for i, q := range slices.SortedFunc(maps.Keys(offsets), MessageQueue.Compare) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendMessageQueue(b, &q), ':')
		b = strconv.AppendInt(b, offsets[q], 10)
	}
	return append(b, `}}`...)
}

// DecodeOffsetTable reads what EncodeOffsetTable, EncodeOffsetList and fastjson
// write.
func DecodeOffsetTable(data []byte) (map[MessageQueue]int64, error) {
	var v struct {
		Offsets json.RawMessage `json:"offsetTable"`
	}
	if err := decodeBody("offset table", data, &v); err != nil {
		return nil, err
	}
	if len(v.Offsets) > 0 && v.Offsets[0] == '[' {
		return decodeOffsetList(v.Offsets)
	}
	var table map[queueKey]int64
	if len(v.Offsets) > 0 {
		if err := decodeBody("offset table", v.Offsets, &table); err != nil {
			return nil, err
		}
	}
	return queueTable(table), nil
}

// queueOffset is an element of an offset list.
type queueOffset struct {
	MessageQueue
	Offset int64 `json:"offset"`
}

// UnmarshalJSON implements json.Unmarshaler; it takes objects only.
func (q *queueOffset) UnmarshalJSON(b []byte) error {
	type plain queueOffset
	return unmarshalElement(b, (*plain)(q))
}

func decodeOffsetList(data []byte) (map[MessageQueue]int64, error) {
	var list []queueOffset
	if err := decodeBody("offset list", data, &list); err != nil {
		return nil, err
	}
	m := make(map[MessageQueue]int64, len(list))
	for _, q := range list {
		m[q.MessageQueue] = q.Offset
	}
	return m, nil
}

// queueKey reads a MessageQueue from a map's key.
type queueKey MessageQueue

func (k *queueKey) UnmarshalText(b []byte) error {
	if err := json.Unmarshal(b, (*MessageQueue)(k)); err != nil {
		return fmt.Errorf("map key %.64q: want a message queue: %w", b, err)
	}
	return nil
}

func appendMessageQueue(b []byte, q *MessageQueue) []byte {
	b = append(b, `{"brokerName":`...)
	b = appendJSONString(b, q.BrokerName)
	b = append(b, `,"queueId":`...)
	b = strconv.AppendInt(b, int64(q.QueueID), 10)
	b = append(b, `,"topic":`...)
	b = appendJSONString(b, q.Topic)
	return append(b, '}')
}

// appendJavaDouble writes a double with at least one decimal, as Java does.
func appendJavaDouble(b []byte, v float64) []byte {
	if v == float64(int64(v)) {
		return append(strconv.AppendInt(b, int64(v), 10), ".0"...)
	}
	return strconv.AppendFloat(b, v, 'f', -1, 64)
}
