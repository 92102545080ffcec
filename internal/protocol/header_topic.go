package protocol

// TopicRequest is the header of codes 202 (GET_TOPIC_STATS_INFO; the response's
// body is a TopicStats) and 351 (GET_TOPIC_CONFIG, 5.x; the response's body is a
// TopicConfig). 4.9 answers 351 with REQUEST_CODE_NOT_SUPPORTED.
type TopicRequest struct {
	Topic      string
	BrokerName string // bname
}

// AppendFields implements Header.
func (h *TopicRequest) AppendFields(w *FieldWriter) {
	w.String("topic", h.Topic)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder.
func (h *TopicRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = TopicRequest{Topic: r.name("topic"), BrokerName: r.str("bname")}
	return r.err
}

// CreateTopicRequest is the header of code 17 (UPDATE_AND_CREATE_TOPIC). 5.x
// adds attributes ("+key=value,-key") and force; 4.9 ignores both.
type CreateTopicRequest struct {
	Topic           string
	DefaultTopic    string // Java sends TBW102, mqadmin the topic itself
	ReadQueueNums   int32
	WriteQueueNums  int32
	Perm            int32  // PermRead|PermWrite
	TopicFilterType string // SingleTag or MultiTag
	TopicSysFlag    int32
	Order           bool
	Attributes      string
	Force           OptBool
	BrokerName      string // bname
}

// AppendFields implements Header.
func (h *CreateTopicRequest) AppendFields(w *FieldWriter) {
	w.String("topic", h.Topic)
	w.String("defaultTopic", h.DefaultTopic)
	w.Int("readQueueNums", int64(h.ReadQueueNums))
	w.Int("writeQueueNums", int64(h.WriteQueueNums))
	w.Int("perm", int64(h.Perm))
	w.String("topicFilterType", h.TopicFilterType)
	w.Int("topicSysFlag", int64(h.TopicSysFlag))
	w.Bool("order", h.Order)
	w.OptString("attributes", h.Attributes)
	w.OptBool("force", h.Force)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder.
func (h *CreateTopicRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = CreateTopicRequest{
		Topic: r.name("topic"), DefaultTopic: r.str("defaultTopic"),
		ReadQueueNums: r.int32("readQueueNums"), WriteQueueNums: r.int32("writeQueueNums"), Perm: r.int32("perm"),
		TopicFilterType: r.str("topicFilterType"), TopicSysFlag: r.optInt32("topicSysFlag").Value, Order: r.bool("order"),
		Attributes: r.str("attributes"), Force: r.optBool("force"), BrokerName: r.str("bname"),
	}
	if h.TopicFilterType == "" {
		h.TopicFilterType = SingleTag
	}
	return r.err
}
