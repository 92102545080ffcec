package protocol

import "math/bits"

// Bits of PullRequest.SysFlag (PullSysFlag).
const (
	PullCommitOffset int32 = 1 << 0
	PullSuspend      int32 = 1 << 1 // wait for a message instead of answering 19
	PullSubscription int32 = 1 << 2 // the request carries its own subscription
	PullClassFilter  int32 = 1 << 3
	PullLite         int32 = 1 << 4
)

// Expression types of a subscription.
const (
	ExpressionTag   = "TAG"
	ExpressionSQL92 = "SQL92"
)

// PullRequest is the header of codes 11 (PULL_MESSAGE) and 361
// (LITE_PULL_MESSAGE, 5.x).
type PullRequest struct {
	ConsumerGroup  string
	Topic          string
	QueueID        int32
	QueueOffset    int64
	MaxMessages    int32
	SysFlag        int32
	CommitOffset   int64
	SuspendTimeout int64 // ms
	Subscription   string
	SubVersion     int64
	ExpressionType string   // "" means TAG
	MaxBytes       OptInt32 // 5.x
	BrokerName     string   // bname, 5.x
}

// AppendFields implements Header.
func (h *PullRequest) AppendFields(w *FieldWriter) {
	w.String("consumerGroup", h.ConsumerGroup)
	w.String("topic", h.Topic)
	w.Int("queueId", int64(h.QueueID))
	w.Int("queueOffset", h.QueueOffset)
	w.Int("maxMsgNums", int64(h.MaxMessages))
	w.Int("sysFlag", int64(h.SysFlag))
	w.Int("commitOffset", h.CommitOffset)
	w.Int("suspendTimeoutMillis", h.SuspendTimeout)
	w.OptString("subscription", h.Subscription)
	w.Int("subVersion", h.SubVersion)
	w.OptString("expressionType", h.ExpressionType)
	if h.MaxBytes.Set {
		w.Int("maxMsgBytes", int64(h.MaxBytes.Value))
	}
	w.OptString("bname", h.BrokerName)
}

// pullRequired are the fields without which Java fails: it does not check them, but
// uses them, the last one when sysFlag says so.
var pullRequired = [...]string{"consumerGroup", "topic", "queueId", "queueOffset", "maxMsgNums", "sysFlag", "commitOffset"}

// DecodeFields implements HeaderDecoder.
func (h *PullRequest) DecodeFields(fields Fields) error {
	*h = PullRequest{}
	seen := 0
	for _, f := range fields {
		var err error
		switch f.Key {
		case "consumerGroup":
			h.ConsumerGroup, seen = f.Value, seen|1
		case "topic":
			h.Topic, seen = f.Value, seen|1<<1
		case "queueId":
			h.QueueID, err = f.ParseInt32()
			seen |= 1 << 2
		case "queueOffset":
			h.QueueOffset, err = f.ParseInt64()
			seen |= 1 << 3
		case "maxMsgNums":
			h.MaxMessages, err = f.ParseInt32()
			seen |= 1 << 4
		case "sysFlag":
			h.SysFlag, err = f.ParseInt32()
			seen |= 1 << 5
		case "commitOffset":
			h.CommitOffset, err = f.ParseInt64()
			seen |= 1 << 6
		case "suspendTimeoutMillis":
			h.SuspendTimeout, err = f.ParseInt64()
		case "subVersion":
			h.SubVersion, err = f.ParseInt64()
		case "subscription":
			h.Subscription = f.Value
		case "expressionType":
			h.ExpressionType = f.Value
		case "maxMsgBytes":
			h.MaxBytes.Value, err = f.ParseInt32()
			h.MaxBytes.Set = true
		case "bname":
			h.BrokerName = f.Value
		}
		if err != nil {
			return err
		}
	}
	return h.checkRequired(seen)
}

func (h *PullRequest) checkRequired(seen int) error {
	if h.ConsumerGroup == "" {
		seen &^= 1
	}
	if h.Topic == "" {
		seen &^= 1 << 1
	}
	if h.SysFlag&PullCommitOffset == 0 {
		seen |= 1 << 6
	}
	if i := bits.TrailingZeros(^uint(seen)); i < len(pullRequired) {
		return &FieldError{Field: pullRequired[i], Want: "a value"}
	}
	return nil
}

// PullResponse answers a pull. Codes: 0 found, 19 nothing yet, 20 nothing that
// matches, 21 the offset is wrong and NextBeginOffset is the remedy.
type PullResponse struct {
	SuggestBroker   int64 // broker id to pull from next
	NextBeginOffset int64
	MinOffset       int64
	MaxOffset       int64
}

// AppendFields implements Header.
func (h *PullResponse) AppendFields(w *FieldWriter) {
	w.Int("suggestWhichBrokerId", h.SuggestBroker)
	w.Int("nextBeginOffset", h.NextBeginOffset)
	w.Int("minOffset", h.MinOffset)
	w.Int("maxOffset", h.MaxOffset)
}

// DecodeFields implements HeaderDecoder.
func (h *PullResponse) DecodeFields(fields Fields) error {
	*h = PullResponse{}
	for _, f := range fields {
		var err error
		switch f.Key {
		case "suggestWhichBrokerId":
			h.SuggestBroker, err = f.ParseInt64()
		case "nextBeginOffset":
			h.NextBeginOffset, err = f.ParseInt64()
		case "minOffset":
			h.MinOffset, err = f.ParseInt64()
		case "maxOffset":
			h.MaxOffset, err = f.ParseInt64()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
