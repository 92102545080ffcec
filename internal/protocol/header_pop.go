package protocol

// Values of PopRequest.InitMode (ConsumeInitMode).
const (
	PopFromMin int32 = 0
	PopFromMax int32 = 1
)

// PopOrderReviveQueue is the reviveQid of messages that were popped in order.
const PopOrderReviveQueue int32 = 999

// PopRequest is the header of code 200050 (POP_MESSAGE), 5.x.
type PopRequest struct {
	ConsumerGroup  string
	Topic          string
	QueueID        int32 // -1: all of the topic's
	MaxMessages    int32
	InvisibleTime  int64 // ms
	PollTime       int64 // ms
	BornTime       int64 // ms since 1970; 0: when the broker gets it
	InitMode       int32 // where a group without an offset begins
	ExpressionType string
	Expression     string // "" means all
	Order          bool
	AttemptID      string // of orderly pops
	BrokerName     string // bname
}

// AppendFields implements Header.
func (h *PopRequest) AppendFields(w *FieldWriter) {
	w.String("consumerGroup", h.ConsumerGroup)
	w.String("topic", h.Topic)
	w.Int("queueId", int64(h.QueueID))
	w.Int("maxMsgNums", int64(h.MaxMessages))
	w.Int("invisibleTime", h.InvisibleTime)
	w.Int("pollTime", h.PollTime)
	w.Int("bornTime", h.BornTime)
	w.Int("initMode", int64(h.InitMode))
	w.OptString("expType", h.ExpressionType)
	w.OptString("exp", h.Expression)
	w.Bool("order", h.Order)
	w.OptString("attemptId", h.AttemptID)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder.
func (h *PopRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = PopRequest{
		ConsumerGroup: r.name("consumerGroup"), Topic: r.name("topic"), QueueID: r.int32("queueId"), MaxMessages: r.int32("maxMsgNums"),
		InvisibleTime: r.int64("invisibleTime"), PollTime: r.int64("pollTime"), BornTime: r.int64("bornTime"), InitMode: r.int32("initMode"),
		ExpressionType: r.str("expType"), Expression: r.str("exp"), Order: r.bool("order"), AttemptID: r.str("attemptId"), BrokerName: r.str("bname"),
	}
	return r.err
}

// PopResponse answers code 200050, and 200052 with RestNum only. Java insists on
// the numbers whatever the code.
//
// The texts have parts separated by ';', of three words each: the retry mark (0,
// or 1 and 2 for retry topics of either naming), the queue, and the queue's first
// offset (StartOffsets), the messages' offsets with commas between (Offsets), or
// how often the messages were delivered before (OrderCounts, where the second
// word may be qo<queue>%<offset>).
type PopResponse struct {
	PopTime       int64 // ms since 1970
	InvisibleTime int64 // ms
	ReviveQueueID int32
	RestNum       int64
	StartOffsets  string // startOffsetInfo
	Offsets       string // msgOffsetInfo
	OrderCounts   string // orderCountInfo
}

// AppendFields implements Header.
func (h *PopResponse) AppendFields(w *FieldWriter) {
	w.Int("popTime", h.PopTime)
	w.Int("invisibleTime", h.InvisibleTime)
	w.Int("reviveQid", int64(h.ReviveQueueID))
	w.Int("restNum", h.RestNum)
	w.OptString("startOffsetInfo", h.StartOffsets)
	w.OptString("msgOffsetInfo", h.Offsets)
	w.OptString("orderCountInfo", h.OrderCounts)
}

// DecodeFields implements HeaderDecoder.
func (h *PopResponse) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = PopResponse{
		PopTime: r.int64("popTime"), InvisibleTime: r.int64("invisibleTime"), ReviveQueueID: r.int32("reviveQid"), RestNum: r.int64("restNum"),
		StartOffsets: r.str("startOffsetInfo"), Offsets: r.str("msgOffsetInfo"), OrderCounts: r.str("orderCountInfo"),
	}
	return r.err
}

// AckRequest is the header of code 200051 (ACK_MESSAGE), 5.x.
type AckRequest struct {
	ConsumerGroup string
	Topic         string // the retry topic for a message from there
	QueueID       int32
	Receipt       string // extraInfo: see PopReceipt
	Offset        int64
	BrokerName    string // bname
}

// AppendFields implements Header.
func (h *AckRequest) AppendFields(w *FieldWriter) {
	w.String("consumerGroup", h.ConsumerGroup)
	w.String("topic", h.Topic)
	w.Int("queueId", int64(h.QueueID))
	w.String("extraInfo", h.Receipt)
	w.Int("offset", h.Offset)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder.
func (h *AckRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = AckRequest{
		ConsumerGroup: r.name("consumerGroup"), Topic: r.name("topic"), QueueID: r.int32("queueId"),
		Receipt: r.name("extraInfo"), Offset: r.int64("offset"), BrokerName: r.str("bname"),
	}
	return r.err
}

// ChangeInvisibleRequest is the header of code 200053
// (CHANGE_MESSAGE_INVISIBLETIME), 5.x.
type ChangeInvisibleRequest struct {
	AckRequest
	InvisibleTime int64 // ms from now on
}

// AppendFields implements Header.
func (h *ChangeInvisibleRequest) AppendFields(w *FieldWriter) {
	h.AckRequest.AppendFields(w)
	w.Int("invisibleTime", h.InvisibleTime)
}

// DecodeFields implements HeaderDecoder.
func (h *ChangeInvisibleRequest) DecodeFields(f Fields) error {
	if err := h.AckRequest.DecodeFields(f); err != nil {
		return err
	}
	r := fieldReader{fields: f}
	h.InvisibleTime = r.int64("invisibleTime")
	return r.err
}

// ChangeInvisibleResponse answers code 200053: the new receipt's figures.
type ChangeInvisibleResponse struct {
	PopTime       int64
	InvisibleTime int64
	ReviveQueueID int32
}

// AppendFields implements Header.
func (h *ChangeInvisibleResponse) AppendFields(w *FieldWriter) {
	w.Int("popTime", h.PopTime)
	w.Int("invisibleTime", h.InvisibleTime)
	w.Int("reviveQid", int64(h.ReviveQueueID))
}

// DecodeFields implements HeaderDecoder.
func (h *ChangeInvisibleResponse) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = ChangeInvisibleResponse{PopTime: r.int64("popTime"), InvisibleTime: r.int64("invisibleTime"), ReviveQueueID: r.int32("reviveQid")}
	return r.err
}

// PeekRequest is the header of codes 200052 (PEEK_MESSAGE) and 200055
// (POLLING_INFO), which has no maxMsgNums.
type PeekRequest struct {
	Code          Code
	ConsumerGroup string
	Topic         string
	QueueID       int32
	MaxMessages   int32
	BrokerName    string // bname
}

// AppendFields implements Header.
func (h *PeekRequest) AppendFields(w *FieldWriter) {
	w.String("consumerGroup", h.ConsumerGroup)
	w.String("topic", h.Topic)
	w.Int("queueId", int64(h.QueueID))
	if h.Code == PeekMessage {
		w.Int("maxMsgNums", int64(h.MaxMessages))
	}
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder. Code must be set.
func (h *PeekRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = PeekRequest{
		Code: h.Code, ConsumerGroup: r.name("consumerGroup"), Topic: r.name("topic"), QueueID: r.int32("queueId"), BrokerName: r.str("bname"),
	}
	if h.Code == PeekMessage {
		h.MaxMessages = r.int32("maxMsgNums")
	}
	return r.err
}

// PollingInfoResponse answers code 200055: how many pops wait.
type PollingInfoResponse struct{ PollingNum int32 }

// AppendFields implements Header.
func (h *PollingInfoResponse) AppendFields(w *FieldWriter) { w.Int("pollingNum", int64(h.PollingNum)) }

// DecodeFields implements HeaderDecoder.
func (h *PollingInfoResponse) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = PollingInfoResponse{PollingNum: r.int32("pollingNum")}
	return r.err
}

// NotificationRequest is the header of code 200054 (NOTIFICATION), 5.x: is there
// something to pop?
type NotificationRequest struct {
	ConsumerGroup string
	Topic         string
	QueueID       int32 // -1: all
	PollTime      int64 // ms
	BornTime      int64 // ms since 1970
	Order         bool
	AttemptID     string
	BrokerName    string // bname
}

// AppendFields implements Header.
func (h *NotificationRequest) AppendFields(w *FieldWriter) {
	w.String("consumerGroup", h.ConsumerGroup)
	w.String("topic", h.Topic)
	w.Int("queueId", int64(h.QueueID))
	w.Int("pollTime", h.PollTime)
	w.Int("bornTime", h.BornTime)
	w.Bool("order", h.Order)
	w.OptString("attemptId", h.AttemptID)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder.
func (h *NotificationRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = NotificationRequest{
		ConsumerGroup: r.name("consumerGroup"), Topic: r.name("topic"), QueueID: r.int32("queueId"), PollTime: r.int64("pollTime"),
		BornTime: r.int64("bornTime"), Order: r.bool("order"), AttemptID: r.str("attemptId"), BrokerName: r.str("bname"),
	}
	return r.err
}

// NotificationResponse answers code 200054.
type NotificationResponse struct {
	HasMessage  bool
	PollingFull bool
}

// AppendFields implements Header.
func (h *NotificationResponse) AppendFields(w *FieldWriter) {
	w.Bool("hasMsg", h.HasMessage)
	w.Bool("pollingFull", h.PollingFull)
}

// DecodeFields implements HeaderDecoder.
func (h *NotificationResponse) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = NotificationResponse{HasMessage: r.bool("hasMsg"), PollingFull: r.bool("pollingFull")}
	return r.err
}

// RecallRequest is the header of code 370 (RECALL_MESSAGE), 5.x.
type RecallRequest struct {
	ProducerGroup string
	Topic         string
	Handle        string // recallHandle: see RecallHandle
	BrokerName    string // bname
}

// AppendFields implements Header.
func (h *RecallRequest) AppendFields(w *FieldWriter) {
	w.OptString("producerGroup", h.ProducerGroup)
	w.String("topic", h.Topic)
	w.String("recallHandle", h.Handle)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder.
func (h *RecallRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = RecallRequest{ProducerGroup: r.str("producerGroup"), Topic: r.name("topic"), Handle: r.name("recallHandle"), BrokerName: r.str("bname")}
	return r.err
}

// RecallResponse answers code 370 with the unique key of the message.
type RecallResponse struct {
	MessageID string
	RegionID  string // MSG_REGION
}

// AppendFields implements Header.
func (h *RecallResponse) AppendFields(w *FieldWriter) {
	w.OptString("msgId", h.MessageID)
	w.OptString("MSG_REGION", h.RegionID)
}

// DecodeFields implements HeaderDecoder.
func (h *RecallResponse) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = RecallResponse{MessageID: r.str("msgId"), RegionID: r.str("MSG_REGION")}
	return r.err
}
