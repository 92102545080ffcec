package protocol

// ConsumeStatsRequest is the header of code 208 (GET_CONSUME_STATS); the
// response's body is ConsumeStats.
//
// 5.x adds topicList, names joined with ";", which are not held against the
// group's subscription, and bname.
type ConsumeStatsRequest struct {
	ConsumerGroup string
	Topic         string // "" asks for every topic that the group has offsets for
	TopicList     string // 5.x
	BrokerName    string // bname
}

// AppendFields implements Header.
func (h *ConsumeStatsRequest) AppendFields(w *FieldWriter) {
	w.String("consumerGroup", h.ConsumerGroup)
	w.OptString("topic", h.Topic)
	w.OptString("topicList", h.TopicList)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder.
func (h *ConsumeStatsRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = ConsumeStatsRequest{ConsumerGroup: r.name("consumerGroup"), Topic: r.str("topic"), TopicList: r.str("topicList"), BrokerName: r.str("bname")}
	return r.err
}

// BrokerConsumeStatsRequest is the header of code 317 (GET_BROKER_CONSUME_STATS).
type BrokerConsumeStatsRequest struct{ OrderedOnly bool }

// AppendFields implements Header.
func (h *BrokerConsumeStatsRequest) AppendFields(w *FieldWriter) { w.Bool("isOrder", h.OrderedOnly) }

// DecodeFields implements HeaderDecoder.
func (h *BrokerConsumeStatsRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = BrokerConsumeStatsRequest{OrderedOnly: r.bool("isOrder")}
	return r.err
}

// ProducerGroupRequest is the header of code 204 (GET_PRODUCER_CONNECTION_LIST).
type ProducerGroupRequest struct{ ProducerGroup string }

// AppendFields implements Header.
func (h *ProducerGroupRequest) AppendFields(w *FieldWriter) {
	w.String("producerGroup", h.ProducerGroup)
}

// DecodeFields implements HeaderDecoder.
func (h *ProducerGroupRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = ProducerGroupRequest{ProducerGroup: r.name("producerGroup")}
	return r.err
}

// GroupTopicRequest is the header of codes 221 (GET_CONSUMER_STATUS_FROM_CLIENT),
// 223 (INVOKE_BROKER_TO_GET_CONSUMER_STATUS), 303 (QUERY_CONSUME_TIME_SPAN), 343
// (QUERY_TOPICS_BY_CONSUMER) and 345 (QUERY_SUBSCRIPTION_BY_CONSUMER).
type GroupTopicRequest struct {
	Group      string
	Topic      string // not in 343
	ClientAddr string // 223 only: the client id to ask, "" asks all
}

// AppendFields implements Header.
func (h *GroupTopicRequest) AppendFields(w *FieldWriter) {
	w.String("group", h.Group)
	w.OptString("topic", h.Topic)
	w.OptString("clientAddr", h.ClientAddr)
}

// DecodeFields implements HeaderDecoder.
func (h *GroupTopicRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = GroupTopicRequest{Group: r.name("group"), Topic: r.str("topic"), ClientAddr: r.str("clientAddr")}
	return r.err
}

// LatestOffset is the timestamp of a ResetOffsetRequest that means the end of a
// queue.
const LatestOffset int64 = -1

// ResetOffsetRequest is the header of codes 222 (INVOKE_BROKER_TO_RESET_OFFSET) and
// 220 (RESET_CONSUMER_CLIENT_OFFSET, from broker to client). 4.9 knows neither
// queueId nor offset.
type ResetOffsetRequest struct {
	Group      string
	Topic      string
	QueueID    int32    // 5.x: one queue; negative means all
	Offset     OptInt64 // 5.x, with QueueID: where to go on, instead of the time
	Timestamp  int64    // ms since 1970, or LatestOffset
	Force      bool     // also forward; 5.x's default broker does not ask
	BrokerName string   // bname
}

// AppendFields implements Header.
func (h *ResetOffsetRequest) AppendFields(w *FieldWriter) {
	w.String("group", h.Group)
	w.String("topic", h.Topic)
	w.Int("queueId", int64(h.QueueID))
	w.OptInt64("offset", h.Offset)
	w.Int("timestamp", h.Timestamp)
	w.Bool("isForce", h.Force)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder.
func (h *ResetOffsetRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = ResetOffsetRequest{
		Group: r.name("group"), Topic: r.name("topic"), QueueID: -1, Offset: r.optInt64("offset"),
		Timestamp: r.int64("timestamp"), Force: r.bool("isForce"), BrokerName: r.str("bname"),
	}
	if id := r.optInt32("queueId"); id.Set {
		h.QueueID = id.Value
	}
	return r.err
}

// RunningInfoRequest is the header of code 307 (GET_CONSUMER_RUNNING_INFO), to a
// broker and from it to the client; the response's body is the client's.
type RunningInfoRequest struct {
	ConsumerGroup string
	ClientID      string
	Stacks        bool // jstackEnable: with what the threads do
}

// AppendFields implements Header.
func (h *RunningInfoRequest) AppendFields(w *FieldWriter) {
	w.String("consumerGroup", h.ConsumerGroup)
	w.String("clientId", h.ClientID)
	w.Bool("jstackEnable", h.Stacks)
}

// DecodeFields implements HeaderDecoder.
func (h *RunningInfoRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = RunningInfoRequest{ConsumerGroup: r.name("consumerGroup"), ClientID: r.name("clientId"), Stacks: r.bool("jstackEnable")}
	return r.err
}

// ConsumeDirectlyRequest is the header of code 309 (CONSUME_MESSAGE_DIRECTLY), to a
// broker and, with the message's record as body, from it to the client; the
// response's body is a DirectResult.
//
// 5.x adds topic and the two flags.
type ConsumeDirectlyRequest struct {
	ConsumerGroup string
	ClientID      string
	MessageID     string // offset message id
	BrokerName    string // where the message is; the broker fills it in
	Topic         string
	TopicSysFlag  OptInt32
	GroupSysFlag  OptInt32
}

// AppendFields implements Header.
func (h *ConsumeDirectlyRequest) AppendFields(w *FieldWriter) {
	w.String("consumerGroup", h.ConsumerGroup)
	w.OptString("clientId", h.ClientID)
	w.OptString("msgId", h.MessageID)
	w.OptString("brokerName", h.BrokerName)
	w.OptString("topic", h.Topic)
	w.OptInt32("topicSysFlag", h.TopicSysFlag)
	w.OptInt32("groupSysFlag", h.GroupSysFlag)
}

// DecodeFields implements HeaderDecoder.
func (h *ConsumeDirectlyRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = ConsumeDirectlyRequest{
		ConsumerGroup: r.name("consumerGroup"), ClientID: r.str("clientId"), MessageID: r.str("msgId"), BrokerName: r.str("brokerName"),
		Topic: r.str("topic"), TopicSysFlag: r.optInt32("topicSysFlag"), GroupSysFlag: r.optInt32("groupSysFlag"),
	}
	return r.err
}

// CorrectionOffsetRequest is the header of code 308 (QUERY_CORRECTION_OFFSET).
type CorrectionOffsetRequest struct {
	Topic        string
	CompareGroup string // whose offsets are compared
	FilterGroups string // groups that do not count, joined with ","
}

// AppendFields implements Header.
func (h *CorrectionOffsetRequest) AppendFields(w *FieldWriter) {
	w.String("topic", h.Topic)
	w.OptString("compareGroup", h.CompareGroup)
	w.OptString("filterGroups", h.FilterGroups)
}

// DecodeFields implements HeaderDecoder.
func (h *CorrectionOffsetRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = CorrectionOffsetRequest{Topic: r.name("topic"), CompareGroup: r.str("compareGroup"), FilterGroups: r.str("filterGroups")}
	return r.err
}

// CloneOffsetRequest is the header of code 314 (CLONE_GROUP_OFFSET).
type CloneOffsetRequest struct {
	From    string // srcGroup
	To      string // destGroup
	Topic   string // "" means every topic of the source
	Offline bool   // the source need not subscribe to the topic
}

// AppendFields implements Header.
func (h *CloneOffsetRequest) AppendFields(w *FieldWriter) {
	w.String("srcGroup", h.From)
	w.String("destGroup", h.To)
	w.OptString("topic", h.Topic)
	w.Bool("offline", h.Offline)
}

// DecodeFields implements HeaderDecoder.
func (h *CloneOffsetRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = CloneOffsetRequest{From: r.name("srcGroup"), To: r.name("destGroup"), Topic: r.str("topic"), Offline: r.bool("offline")}
	return r.err
}

// ConsumeQueueRequest is the header of code 321 (QUERY_CONSUME_QUEUE).
type ConsumeQueueRequest struct {
	Topic         string
	QueueID       int32
	Index         int64  // the first offset
	Count         int32  // how many
	ConsumerGroup string // whose filter to show; may be empty
}

// AppendFields implements Header.
func (h *ConsumeQueueRequest) AppendFields(w *FieldWriter) {
	w.String("topic", h.Topic)
	w.Int("queueId", int64(h.QueueID))
	w.Int("index", h.Index)
	w.Int("count", int64(h.Count))
	w.OptString("consumerGroup", h.ConsumerGroup)
}

// DecodeFields implements HeaderDecoder.
func (h *ConsumeQueueRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = ConsumeQueueRequest{
		Topic: r.name("topic"), QueueID: r.optInt32("queueId").Value, Index: r.optInt64("index").Value,
		Count: r.optInt32("count").Value, ConsumerGroup: r.str("consumerGroup"),
	}
	return r.err
}

// ResumeCheckRequest is the header of code 323 (RESUME_CHECK_HALF_MESSAGE).
type ResumeCheckRequest struct {
	MessageID string // offset message id
	Topic     string // 5.x
}

// AppendFields implements Header.
func (h *ResumeCheckRequest) AppendFields(w *FieldWriter) {
	w.OptString("topic", h.Topic)
	w.String("msgId", h.MessageID)
}

// DecodeFields implements HeaderDecoder.
func (h *ResumeCheckRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = ResumeCheckRequest{MessageID: r.name("msgId"), Topic: r.str("topic")}
	return r.err
}
