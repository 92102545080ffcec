package protocol

// PushReplyRequest is the header of code 326 (PUSH_REPLY_MESSAGE_TO_CLIENT): a reply
// that a broker hands to the client that waits for it. The body is the message's,
// compressed when SysFlag says so. 4.9 and 5.x have the same fields.
type PushReplyRequest struct {
	ProducerGroup         string
	Topic                 string
	DefaultTopic          string
	DefaultTopicQueueNums int32
	QueueID               int32
	SysFlag               int32
	BornTimestamp         int64 // ms
	Flag                  int32
	Properties            []byte
	ReconsumeTimes        int32
	UnitMode              bool
	BornHost              string // "ip:port", as is StoreHost
	StoreHost             string
	StoreTimestamp        int64 // ms
}

// AppendFields implements Header.
func (h *PushReplyRequest) AppendFields(w *FieldWriter) {
	w.String("producerGroup", h.ProducerGroup)
	w.String("topic", h.Topic)
	w.String("defaultTopic", h.DefaultTopic)
	w.Int("defaultTopicQueueNums", int64(h.DefaultTopicQueueNums))
	w.Int("queueId", int64(h.QueueID))
	w.Int("sysFlag", int64(h.SysFlag))
	w.Int("bornTimestamp", h.BornTimestamp)
	w.Int("flag", int64(h.Flag))
	w.Bytes("properties", h.Properties)
	w.Int("reconsumeTimes", int64(h.ReconsumeTimes))
	w.Bool("unitMode", h.UnitMode)
	w.String("bornHost", h.BornHost)
	w.String("storeHost", h.StoreHost)
	w.Int("storeTimestamp", h.StoreTimestamp)
}

// DecodeFields implements HeaderDecoder.
func (h *PushReplyRequest) DecodeFields(fields Fields) error {
	*h = PushReplyRequest{}
	for _, f := range fields {
		var err error
		switch f.Key {
		case "producerGroup":
			h.ProducerGroup = f.Value
		case "topic":
			h.Topic = f.Value
		case "defaultTopic":
			h.DefaultTopic = f.Value
		case "defaultTopicQueueNums":
			h.DefaultTopicQueueNums, err = f.ParseInt32()
		case "queueId":
			h.QueueID, err = f.ParseInt32()
		case "sysFlag":
			h.SysFlag, err = f.ParseInt32()
		case "bornTimestamp":
			h.BornTimestamp, err = f.ParseInt64()
		case "flag":
			h.Flag, err = f.ParseInt32()
		case "properties":
			h.Properties = []byte(f.Value)
		case "reconsumeTimes":
			h.ReconsumeTimes, err = f.ParseInt32()
		case "unitMode":
			h.UnitMode = f.ParseBool()
		case "bornHost":
			h.BornHost = f.Value
		case "storeHost":
			h.StoreHost = f.Value
		case "storeTimestamp":
			h.StoreTimestamp, err = f.ParseInt64()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
