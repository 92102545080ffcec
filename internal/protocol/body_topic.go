package protocol

// Bits of a topic's or queue's permissions (PermName).
const (
	PermInherit  int32 = 1 << 0
	PermWrite    int32 = 1 << 1
	PermRead     int32 = 1 << 2
	PermPriority int32 = 1 << 3
)

// Values of a topic's filter type.
const (
	SingleTag = "SINGLE_TAG"
	MultiTag  = "MULTI_TAG"
)

// TopicConfig is a topic as a broker knows it: the body of code 351's response
// and an entry of a registration. 4.9 knows no attributes.
type TopicConfig struct {
	Attributes      map[string]string `json:"attributes,omitempty"` // 5.x, such as message.type
	Order           bool              `json:"order"`
	Perm            int32             `json:"perm"`
	ReadQueueNums   int32             `json:"readQueueNums"`
	TopicFilterType string            `json:"topicFilterType"`
	TopicName       string            `json:"topicName"`
	TopicSysFlag    int32             `json:"topicSysFlag"`
	WriteQueueNums  int32             `json:"writeQueueNums"`
}

// MessageQueue names a queue of a topic on a broker. It is comparable, and sorts
// by topic, broker and id as Java's does.
type MessageQueue struct {
	BrokerName string `json:"brokerName"`
	QueueID    int32  `json:"queueId"`
	Topic      string `json:"topic"`
}
