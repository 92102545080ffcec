package protocol

// HeartbeatResponse are the fields of the answer to code 34 (HEART_BEAT), whose
// request has a HeartbeatData body and no fields. 5.x writes both, 4.9 none. The
// version of the response's frame matters too: Java refuses SQL92 below 4.1.0.
type HeartbeatResponse struct {
	SupportsV2          bool // the broker understands fingerprints and WithoutSub
	SubscriptionChanged bool // the next heartbeat must carry subscriptions again
}

// AppendFields implements Header.
func (h *HeartbeatResponse) AppendFields(w *FieldWriter) {
	w.Bool("IS_SUPPORT_HEART_BEAT_V2", h.SupportsV2)
	w.Bool("IS_SUB_CHANGE", h.SubscriptionChanged)
}

// DecodeFields implements HeaderDecoder.
func (h *HeartbeatResponse) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = HeartbeatResponse{SupportsV2: r.bool("IS_SUPPORT_HEART_BEAT_V2"), SubscriptionChanged: r.bool("IS_SUB_CHANGE")}
	return r.err
}

// UnregisterRequest is the header of code 35 (UNREGISTER_CLIENT). Either group
// may be empty. 4.9 ignores bname.
type UnregisterRequest struct {
	ClientID      string
	ProducerGroup string
	ConsumerGroup string
	BrokerName    string // bname
}

// AppendFields implements Header.
func (h *UnregisterRequest) AppendFields(w *FieldWriter) {
	w.String("clientID", h.ClientID)
	w.OptString("producerGroup", h.ProducerGroup)
	w.OptString("consumerGroup", h.ConsumerGroup)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder.
func (h *UnregisterRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = UnregisterRequest{
		ClientID: r.name("clientID"), ProducerGroup: r.str("producerGroup"),
		ConsumerGroup: r.str("consumerGroup"), BrokerName: r.str("bname"),
	}
	return r.err
}

// ConsumerListRequest is the header of code 38 (GET_CONSUMER_LIST_BY_GROUP); the
// response's body is a ConsumerList. 4.9 ignores bname.
type ConsumerListRequest struct {
	ConsumerGroup string
	BrokerName    string // bname
}

// AppendFields implements Header.
func (h *ConsumerListRequest) AppendFields(w *FieldWriter) {
	w.String("consumerGroup", h.ConsumerGroup)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder.
func (h *ConsumerListRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = ConsumerListRequest{ConsumerGroup: r.name("consumerGroup"), BrokerName: r.str("bname")}
	return r.err
}

// NotifyConsumersChangedRequest is the header of code 40
// (NOTIFY_CONSUMER_IDS_CHANGED), oneway from broker to client.
type NotifyConsumersChangedRequest struct{ ConsumerGroup string }

// AppendFields implements Header.
func (h *NotifyConsumersChangedRequest) AppendFields(w *FieldWriter) {
	w.String("consumerGroup", h.ConsumerGroup)
}

// DecodeFields implements HeaderDecoder.
func (h *NotifyConsumersChangedRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = NotifyConsumersChangedRequest{ConsumerGroup: r.name("consumerGroup")}
	return r.err
}
