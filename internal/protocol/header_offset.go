package protocol

// ConsumerOffsetRequest is the header of codes 14 (QUERY_CONSUMER_OFFSET) and
// 15 (UPDATE_CONSUMER_OFFSET).
//
// 4.9 knows consumerGroup, topic, queueId and, for 15, commitOffset, and
// ignores bname. 5.x adds setZeroIfNotFound to 14 and routes by bname.
type ConsumerOffsetRequest struct {
	Code          Code // QueryConsumerOffset leaves CommitOffset out
	ConsumerGroup string
	Topic         string
	QueueID       int32
	CommitOffset  int64 // 15 only: the next offset to consume
	// SetZeroIfNotFound, 14 on 5.x only: false asks for QUERY_NOT_FOUND instead
	// of offset 0 for a group that has none on a young topic.
	SetZeroIfNotFound OptBool
	BrokerName        string // bname
}

// AppendFields implements Header.
func (h *ConsumerOffsetRequest) AppendFields(w *FieldWriter) {
	w.String("consumerGroup", h.ConsumerGroup)
	w.String("topic", h.Topic)
	w.Int("queueId", int64(h.QueueID))
	if h.Code != QueryConsumerOffset {
		w.Int("commitOffset", h.CommitOffset)
	}
	w.OptBool("setZeroIfNotFound", h.SetZeroIfNotFound)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder. h.Code must be set: only
// UpdateConsumerOffset requires the commit offset.
func (h *ConsumerOffsetRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = ConsumerOffsetRequest{
		Code: h.Code, ConsumerGroup: r.name("consumerGroup"), Topic: r.name("topic"), QueueID: r.int32("queueId"),
		SetZeroIfNotFound: r.optBool("setZeroIfNotFound"), BrokerName: r.str("bname"),
	}
	if h.Code == UpdateConsumerOffset {
		h.CommitOffset = r.int64("commitOffset")
	} else {
		h.CommitOffset = r.optInt64("commitOffset").Value
	}
	return r.err
}

// OffsetResponse answers codes 14, 29, 30 and 31. A group without an offset is
// answered QUERY_NOT_FOUND (22) and no header.
type OffsetResponse struct{ Offset int64 }

// AppendFields implements Header.
func (h *OffsetResponse) AppendFields(w *FieldWriter) { w.Int("offset", h.Offset) }

// DecodeFields implements HeaderDecoder.
func (h *OffsetResponse) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = OffsetResponse{Offset: r.int64("offset")}
	return r.err
}

// Boundaries of an offset search by time, 5.x: which offset to take when none
// has the exact time. Case does not matter; "" means lower.
const (
	BoundaryLower = "LOWER"
	BoundaryUpper = "UPPER"
)

// OffsetRequest is the header of codes 29 (SEARCH_OFFSET_BY_TIMESTAMP), 30
// (GET_MAX_OFFSET), 31 (GET_MIN_OFFSET) and 32 (GET_EARLIEST_MSG_STORETIME).
//
// 5.x adds boundaryType to 29 and committed to 30; 4.9 ignores both.
type OffsetRequest struct {
	Code       Code // 30, 31 and 32 leave Timestamp out
	Topic      string
	QueueID    int32
	Timestamp  int64   // 29 only, ms since 1970
	Boundary   string  // 29 only, 5.x: BoundaryLower or BoundaryUpper
	Committed  OptBool // 30 only, 5.x: the confirmed offset, Java's default, or the last one written
	BrokerName string  // bname
}

// AppendFields implements Header.
func (h *OffsetRequest) AppendFields(w *FieldWriter) {
	w.String("topic", h.Topic)
	w.Int("queueId", int64(h.QueueID))
	switch h.Code {
	case GetMaxOffset, GetMinOffset, GetEarliestStoreTime:
	default:
		w.Int("timestamp", h.Timestamp)
	}
	w.OptString("boundaryType", h.Boundary)
	w.OptBool("committed", h.Committed)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder. h.Code must be set: only
// SearchOffsetByTime requires the timestamp.
func (h *OffsetRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = OffsetRequest{
		Code: h.Code, Topic: r.name("topic"), QueueID: r.int32("queueId"),
		Boundary: r.str("boundaryType"), Committed: r.optBool("committed"), BrokerName: r.str("bname"),
	}
	if h.Code == SearchOffsetByTime {
		h.Timestamp = r.int64("timestamp")
	} else {
		h.Timestamp = r.optInt64("timestamp").Value
	}
	return r.err
}

// StoreTimeResponse answers code 32.
type StoreTimeResponse struct {
	Timestamp int64 // ms since 1970; -1 when the queue holds nothing
}

// AppendFields implements Header.
func (h *StoreTimeResponse) AppendFields(w *FieldWriter) { w.Int("timestamp", h.Timestamp) }

// DecodeFields implements HeaderDecoder.
func (h *StoreTimeResponse) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = StoreTimeResponse{Timestamp: r.int64("timestamp")}
	return r.err
}

// ViewMessageRequest is the header of code 33 (VIEW_MESSAGE_BY_ID), sent to the
// address inside the offset message id. The response's body is one record.
//
// 4.9 knows the offset only; 5.x adds the topic.
type ViewMessageRequest struct {
	Offset int64 // physical, in the broker's commit log
	Topic  string
}

// AppendFields implements Header.
func (h *ViewMessageRequest) AppendFields(w *FieldWriter) {
	w.OptString("topic", h.Topic)
	w.Int("offset", h.Offset)
}

// DecodeFields implements HeaderDecoder.
func (h *ViewMessageRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = ViewMessageRequest{Offset: r.int64("offset"), Topic: r.str("topic")}
	return r.err
}
