package protocol

// SendBackRequest is the header of code 36 (CONSUMER_SEND_MSG_BACK). The
// response has no fields. 4.9 and 5.x expect the same; 4.9 ignores bname.
type SendBackRequest struct {
	Offset int64 // physical, in the commit log of the broker that is asked
	Group  string
	// DelayLevel: 0 lets the broker choose 3 + reconsumeTimes, negative
	// dead-letters at once.
	DelayLevel      int32
	OriginMessageID string
	OriginTopic     string
	UnitMode        bool
	// MaxReconsumeTimes overrides the group's maximum.
	MaxReconsumeTimes OptInt32
	BrokerName        string // bname
}

// AppendFields implements Header.
func (h *SendBackRequest) AppendFields(w *FieldWriter) {
	w.Int("offset", h.Offset)
	w.String("group", h.Group)
	w.Int("delayLevel", int64(h.DelayLevel))
	w.OptString("originMsgId", h.OriginMessageID)
	w.OptString("originTopic", h.OriginTopic)
	w.Bool("unitMode", h.UnitMode)
	w.OptInt32("maxReconsumeTimes", h.MaxReconsumeTimes)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder.
func (h *SendBackRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = SendBackRequest{
		Offset: r.int64("offset"), Group: r.name("group"), DelayLevel: r.int32("delayLevel"),
		OriginMessageID: r.str("originMsgId"), OriginTopic: r.str("originTopic"), UnitMode: r.bool("unitMode"),
		MaxReconsumeTimes: r.optInt32("maxReconsumeTimes"), BrokerName: r.str("bname"),
	}
	return r.err
}
