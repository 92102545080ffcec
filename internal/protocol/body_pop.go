package protocol

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"math/bits"
)

// Values of a message request mode.
const (
	ModePull = "PULL"
	ModePop  = "POP"
)

// BatchAckBody is the body of code 200151 (BATCH_ACK_MESSAGE), 5.x.
type BatchAckBody struct {
	Acks       []BatchAck `json:"acks"`
	BrokerName string     `json:"brokerName,omitempty"`
}

// BatchAck acknowledges messages of one queue that were popped together.
type BatchAck struct {
	ConsumerGroup string `json:"c"`
	Topic         string `json:"t"`
	Retry         string `json:"r"` // see PopReceipt
	StartOffset   int64  `json:"so"`
	QueueID       int32  `json:"q"`
	ReviveQueueID int32  `json:"rq"`
	PopTime       int64  `json:"pt"`
	InvisibleTime int64  `json:"it"`
	BitSet        BitSet `json:"b"` // of offsets from StartOffset on
}

// UnmarshalJSON implements json.Unmarshaler; it takes objects only.
func (a *BatchAck) UnmarshalJSON(b []byte) error {
	type plain BatchAck
	return unmarshalElement(b, (*plain)(a))
}

// BitSet is a java.util.BitSet: bit i is in byte i/8. Its JSON is base64.
type BitSet []byte

// MarshalJSON implements json.Marshaler.
func (s BitSet) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.StdEncoding.EncodeToString(s))
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *BitSet) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("a bit set: want base64: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("a bit set: want base64: %w", err)
	}
	*s = raw
	return nil
}

// Set sets a bit that must not be negative.
func (s *BitSet) Set(i int) {
	for len(*s) <= i/8 {
		*s = append(*s, 0)
	}
	(*s)[i/8] |= 1 << (i % 8)
}

// Count is how many bits are set.
func (s BitSet) Count() (n int) {
	for _, b := range s {
		n += bits.OnesCount8(b)
	}
	return n
}

// All yields the bits that are set, in order.
func (s BitSet) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for at, b := range s {
			for bit := 0; b != 0; bit, b = bit+1, b>>1 {
				if b&1 != 0 && !yield(8*at+bit) {
					return
				}
			}
		}
	}
}

// QueryAssignmentRequest is the body of code 400 (QUERY_ASSIGNMENT), 5.x.
type QueryAssignmentRequest struct {
	ClientID      string `json:"clientId"`
	ConsumerGroup string `json:"consumerGroup"`
	MessageModel  string `json:"messageModel"`
	StrategyName  string `json:"strategyName"`
	Topic         string `json:"topic"`
}

// QueryAssignmentResponse answers code 400. A nil list tells the client to stay
// with what it has, an empty one to let go of it.
type QueryAssignmentResponse struct {
	Assignments *[]QueueAssignment `json:"messageQueueAssignments,omitempty"`
}

// QueueAssignment is a queue for a client, and how to consume it. In POP mode the
// queue may be -1, all of the broker's.
type QueueAssignment struct {
	Queue MessageQueue `json:"messageQueue"`
	Mode  string       `json:"mode"`
}

// UnmarshalJSON implements json.Unmarshaler; it takes objects only.
func (a *QueueAssignment) UnmarshalJSON(b []byte) error {
	type plain QueueAssignment
	return unmarshalElement(b, (*plain)(a))
}

// MessageRequestMode is how a group consumes a topic: the body of code 401
// (SET_MESSAGE_REQUEST_MODE), 5.x.
type MessageRequestMode struct {
	ConsumerGroup    string `json:"consumerGroup"`
	Mode             string `json:"mode"`
	PopShareQueueNum int32  `json:"popShareQueueNum"`
	Topic            string `json:"topic"`
}

// MessageRequestModes answers code 402 (GET_ALL_MESSAGE_REQUEST_MODE), and is
// config/messageRequestMode.json: modes by topic and group.
type MessageRequestModes struct {
	Modes map[string]map[string]MessageRequestMode `json:"messageRequestModeMap"`
}
