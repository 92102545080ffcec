package protocol

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// TopicRoute is the body of code 105's response: where a topic's queues are.
//
// 5.x adds topicQueueMappingByBroker, enableActingMaster and zoneName. Before
// 4.9.4 the keys of brokerAddrs are bare numbers, {0:"ip:port"}; from there, and
// for clients that accept standard JSON only, they are quoted.
type TopicRoute struct {
	OrderTopicConf string                     // "broker-a:4;broker-b:4" of an ordered topic
	QueueDatas     []QueueData                // one a broker
	BrokerDatas    []BrokerData               //
	FilterServers  map[string][]string        // of 4.x; empty today
	QueueMappings  map[string]json.RawMessage // static topics of 5.x, by broker name
}

// QueueData is a topic's share of one broker.
type QueueData struct {
	BrokerName     string `json:"brokerName"`
	Perm           int32  `json:"perm"`
	ReadQueueNums  int32  `json:"readQueueNums"`
	TopicSysFlag   int32  `json:"topicSysFlag"`
	WriteQueueNums int32  `json:"writeQueueNums"`
}

// BrokerData is one broker name with the addresses of its master, id 0, and its
// slaves.
type BrokerData struct {
	BrokerAddrs        map[int64]string `json:"brokerAddrs"`
	BrokerName         string           `json:"brokerName"`
	Cluster            string           `json:"cluster"`
	EnableActingMaster bool             `json:"enableActingMaster"` // 5.x
	ZoneName           string           `json:"zoneName,omitempty"` // 5.x
}

// UnmarshalJSON implements json.Unmarshaler; it takes objects only.
func (q *QueueData) UnmarshalJSON(b []byte) error {
	type plain QueueData
	return unmarshalElement(b, (*plain)(q))
}

// UnmarshalJSON implements json.Unmarshaler; it takes objects only.
func (d *BrokerData) UnmarshalJSON(b []byte) error {
	type plain BrokerData
	return unmarshalElement(b, (*plain)(d))
}

// MasterID is the id of a master broker.
const MasterID int64 = 0

// EncodeTopicRoute renders r compactly, since client-go splits brokerAddrs at
// commas and colons. standard quotes the broker ids.
func EncodeTopicRoute(r *TopicRoute, standard bool) []byte {
	b := make([]byte, 0, 256+96*len(r.QueueDatas)+160*len(r.BrokerDatas))
	b = append(b, `{"brokerDatas":[`...)
	for i := range r.BrokerDatas {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendBrokerData(b, &r.BrokerDatas[i], standard)
	}
	b = append(b, `],"filterServerTable":{`...)
	for i, addr := range sortedKeys(r.FilterServers) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSONString(b, addr), ':')
		b = appendStrings(b, r.FilterServers[addr])
	}
	b = append(b, '}')
	if r.OrderTopicConf != "" {
		b = append(b, `,"orderTopicConf":`...)
		b = appendJSONString(b, r.OrderTopicConf)
	}
	b = append(b, `,"queueDatas":[`...)
	for i := range r.QueueDatas {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQueueData(b, &r.QueueDatas[i])
	}
	b = append(b, ']')
	if len(r.QueueMappings) > 0 {
		b = append(b, `,"topicQueueMappingByBroker":{`...)
		for i, name := range sortedKeys(r.QueueMappings) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSONString(b, name), ':')
			b = append(b, r.QueueMappings[name]...)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

// DecodeTopicRoute reads either dialect.
func DecodeTopicRoute(data []byte) (*TopicRoute, error) {
	var v struct {
		OrderTopicConf string                     `json:"orderTopicConf"`
		QueueDatas     []QueueData                `json:"queueDatas"`
		BrokerDatas    []BrokerData               `json:"brokerDatas"`
		FilterServers  map[string][]string        `json:"filterServerTable"`
		QueueMappings  map[string]json.RawMessage `json:"topicQueueMappingByBroker"`
	}
	if err := decodeBody("TopicRoute", data, &v); err != nil {
		return nil, err
	}
	r := TopicRoute(v)
	return &r, nil
}

func appendBrokerData(b []byte, d *BrokerData, standard bool) []byte {
	b = append(b, `{"brokerAddrs":{`...)
	for i, id := range sortedKeys(d.BrokerAddrs) {
		if i > 0 {
			b = append(b, ',')
		}
		if standard {
			b = append(b, '"')
			b = strconv.AppendInt(b, id, 10)
			b = append(b, '"')
		} else {
			b = strconv.AppendInt(b, id, 10)
		}
		b = append(b, ':')
		b = appendJSONString(b, d.BrokerAddrs[id])
	}
	b = append(b, `},"brokerName":`...)
	b = appendJSONString(b, d.BrokerName)
	b = append(b, `,"cluster":`...)
	b = appendJSONString(b, d.Cluster)
	b = append(b, `,"enableActingMaster":`...)
	b = strconv.AppendBool(b, d.EnableActingMaster)
	if d.ZoneName != "" {
		b = append(b, `,"zoneName":`...)
		b = appendJSONString(b, d.ZoneName)
	}
	return append(b, '}')
}

func appendQueueData(b []byte, q *QueueData) []byte {
	b = append(b, `{"brokerName":`...)
	b = appendJSONString(b, q.BrokerName)
	b = append(b, `,"perm":`...)
	b = strconv.AppendInt(b, int64(q.Perm), 10)
	b = append(b, `,"readQueueNums":`...)
	b = strconv.AppendInt(b, int64(q.ReadQueueNums), 10)
	b = append(b, `,"topicSysFlag":`...)
	b = strconv.AppendInt(b, int64(q.TopicSysFlag), 10)
	b = append(b, `,"writeQueueNums":`...)
	b = strconv.AppendInt(b, int64(q.WriteQueueNums), 10)
	return append(b, '}')
}

func appendStrings(b []byte, ss []string) []byte {
	b = append(b, '[')
	for i, s := range ss {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(b, s)
	}
	return append(b, ']')
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
