package protocol

import "math/bits"

// SendRequest is the header of codes 10 (SEND_MESSAGE, long names, as
// client-go sends), 310 (SEND_MESSAGE_V2, one-letter names, as Java sends) and
// 320 (SEND_BATCH_MESSAGE, one-letter names, Batch set), and of replies, 324
// (SEND_REPLY_MESSAGE, long names) and 325 (SEND_REPLY_MESSAGE_V2).
//
// 5.x adds the broker's name (n, or bname); 4.9 ignores it.
type SendRequest struct {
	Code                  Code // which of the spellings
	ProducerGroup         string
	Topic                 string
	DefaultTopic          string // the topic whose permissions auto-create copies: TBW102
	DefaultTopicQueueNums int32
	QueueID               int32 // negative: the broker chooses
	SysFlag               int32
	BornTimestamp         int64 // ms
	Flag                  int32
	Properties            []byte // "k\x01v\x02…"; after decoding a copy, in the buffer that was here before
	ReconsumeTimes        int32
	UnitMode              bool
	MaxReconsumeTimes     OptInt32
	Batch                 bool
	BrokerName            string
}

// OptInt32 is a number that a header may leave out.
type OptInt32 struct {
	Value int32
	Set   bool
}

// SomeInt32 is an OptInt32 that is set.
func SomeInt32(v int32) OptInt32 { return OptInt32{v, true} }

// DefaultTopic is the topic that auto-creation copies its rules from.
const DefaultTopic = "TBW102"

// AppendFields implements Header.
func (h *SendRequest) AppendFields(w *FieldWriter) {
	k := &sendKeysV2
	if h.longNames() {
		k = &sendKeysV1
	}
	w.String(k[0], h.ProducerGroup)
	w.String(k[1], h.Topic)
	w.String(k[2], h.DefaultTopic)
	w.Int(k[3], int64(h.DefaultTopicQueueNums))
	w.Int(k[4], int64(h.QueueID))
	w.Int(k[5], int64(h.SysFlag))
	w.Int(k[6], h.BornTimestamp)
	w.Int(k[7], int64(h.Flag))
	w.Bytes(k[8], h.Properties)
	w.Int(k[9], int64(h.ReconsumeTimes))
	w.Bool(k[10], h.UnitMode)
	if h.MaxReconsumeTimes.Set {
		w.Int(k[11], int64(h.MaxReconsumeTimes.Value))
	}
	w.Bool(k[12], h.Batch)
	w.OptString(k[13], h.BrokerName)
}

func (h *SendRequest) longNames() bool { return h.Code == SendMessage || h.Code == SendReply }

var (
	sendKeysV1 = [14]string{"producerGroup", "topic", "defaultTopic", "defaultTopicQueueNums", "queueId", "sysFlag", "bornTimestamp", "flag", "properties", "reconsumeTimes", "unitMode", "maxReconsumeTimes", "batch", "bname"}
	sendKeysV2 = [14]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"}
)

// sendField maps a name of either spelling to its place in the key tables.
func sendField(key string) int {
	if len(key) == 1 {
		return int(key[0]) - 'a'
	}
	for i := range sendKeysV1 {
		if sendKeysV1[i] == key {
			return i
		}
	}
	return -1
}

// sendRequired are the fields, as places in the key tables, without which Java
// fails, however they are spelled: it does not check them, but uses them.
const sendRequired = 1<<1 | 1<<4 | 1<<5 | 1<<6 | 1<<7

// DecodeFields implements HeaderDecoder. h.Code must be set: it says how errors
// spell a field. Either spelling is read for any code.
func (h *SendRequest) DecodeFields(fields Fields) error {
	*h = SendRequest{Code: h.Code, Properties: h.Properties[:0]}
	seen := 0
	for _, f := range fields {
		var err error
		i := sendField(f.Key)
		if i < 0 || i >= len(sendKeysV1) {
			continue
		}
		seen |= 1 << i
		switch i {
		case 0:
			h.ProducerGroup = f.Value
		case 1:
			h.Topic = f.Value
		case 2:
			h.DefaultTopic = f.Value
		case 3:
			h.DefaultTopicQueueNums, err = f.ParseInt32()
		case 4:
			h.QueueID, err = f.ParseInt32()
		case 5:
			h.SysFlag, err = f.ParseInt32()
		case 6:
			h.BornTimestamp, err = f.ParseInt64()
		case 7:
			h.Flag, err = f.ParseInt32()
		case 8:
			h.Properties = append(h.Properties[:0], f.Value...)
		case 9:
			h.ReconsumeTimes, err = f.ParseInt32()
		case 10:
			h.UnitMode = f.ParseBool()
		case 11:
			h.MaxReconsumeTimes.Value, err = f.ParseInt32()
			h.MaxReconsumeTimes.Set = true
		case 12:
			h.Batch = f.ParseBool()
		case 13:
			h.BrokerName = f.Value
		}
		if err != nil {
			return err
		}
	}
	return h.checkRequired(seen)
}

func (h *SendRequest) checkRequired(seen int) error {
	required := sendRequired
	if h.Topic == "" {
		seen &^= 1 << 1
	}
	if required &^= seen; required == 0 {
		return nil
	}
	i := bits.TrailingZeros(uint(required))
	name := sendKeysV1[i]
	if !h.longNames() {
		name = sendKeysV2[i] + " (" + name + ")"
	}
	return &FieldError{Field: name, Want: "a value"}
}

// SendResponse answers a send. For a batch MessageID is comma-joined. client-go
// needs MessageID to be an offset message id, 32 or 56 hex digits.
type SendResponse struct {
	MessageID     string // offsetMsgId(s)
	QueueID       int32
	QueueOffset   int64 // of the first message
	TransactionID string
	RegionID      string // MSG_REGION
	TraceOn       string // TRACE_ON: "true" or "false"; "" leaves it out
	RecallHandle  string // timer messages, 5.x
}

// AppendFields implements Header.
func (h *SendResponse) AppendFields(w *FieldWriter) {
	w.String("msgId", h.MessageID)
	w.Int("queueId", int64(h.QueueID))
	w.Int("queueOffset", h.QueueOffset)
	w.OptString("transactionId", h.TransactionID)
	w.OptString("MSG_REGION", h.RegionID)
	w.OptString("TRACE_ON", h.TraceOn)
	w.OptString("recallHandle", h.RecallHandle)
}

// DecodeFields implements HeaderDecoder.
func (h *SendResponse) DecodeFields(fields Fields) error {
	*h = SendResponse{}
	for _, f := range fields {
		var err error
		switch f.Key {
		case "msgId":
			h.MessageID = f.Value
		case "queueId":
			h.QueueID, err = f.ParseInt32()
		case "queueOffset":
			h.QueueOffset, err = f.ParseInt64()
		case "transactionId":
			h.TransactionID = f.Value
		case "MSG_REGION":
			h.RegionID = f.Value
		case "TRACE_ON":
			h.TraceOn = f.Value
		case "recallHandle":
			h.RecallHandle = f.Value
		}
		if err != nil {
			return err
		}
	}
	return nil
}
