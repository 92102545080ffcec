package protocol

// EndTransactionRequest is the header of code 37 (END_TRANSACTION), normally
// oneway. The broker compares ProducerGroup, TranStateTableOffset and
// CommitLogOffset with the half message. 5.x adds the topic; 4.9 ignores it and
// bname.
type EndTransactionRequest struct {
	Topic                string
	ProducerGroup        string
	TranStateTableOffset int64 // the half message's queue offset
	CommitLogOffset      int64 // its physical offset
	CommitOrRollback     int32 // SysCommit, SysRollback, or 0 for unknown
	FromTransactionCheck bool  // answers code 39
	MessageID            string
	TransactionID        string
	BrokerName           string // bname
}

// AppendFields implements Header.
func (h *EndTransactionRequest) AppendFields(w *FieldWriter) {
	w.OptString("topic", h.Topic)
	w.String("producerGroup", h.ProducerGroup)
	w.Int("tranStateTableOffset", h.TranStateTableOffset)
	w.Int("commitLogOffset", h.CommitLogOffset)
	w.Int("commitOrRollback", int64(h.CommitOrRollback))
	w.Bool("fromTransactionCheck", h.FromTransactionCheck)
	w.String("msgId", h.MessageID)
	w.OptString("transactionId", h.TransactionID)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder.
func (h *EndTransactionRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = EndTransactionRequest{
		Topic: r.str("topic"), ProducerGroup: r.name("producerGroup"),
		TranStateTableOffset: r.int64("tranStateTableOffset"), CommitLogOffset: r.int64("commitLogOffset"),
		CommitOrRollback: r.int32("commitOrRollback"), FromTransactionCheck: r.bool("fromTransactionCheck"),
		MessageID: r.str("msgId"), TransactionID: r.str("transactionId"), BrokerName: r.str("bname"),
	}
	switch h.CommitOrRollback {
	case 0, SysCommit, SysRollback:
	default:
		if r.err == nil {
			r.err = &FieldError{"commitOrRollback", f.Value("commitOrRollback"), "8 (commit), 12 (rollback) or 0 (unknown)"}
		}
	}
	return r.err
}

// CheckTransactionRequest is the header of code 39 (CHECK_TRANSACTION_STATE),
// oneway from broker to producer. Its body is the half message as a record with
// the real topic and queue. 5.x adds the topic.
type CheckTransactionRequest struct {
	Topic                string
	TranStateTableOffset int64
	CommitLogOffset      int64
	MessageID            string // the producer's unique key
	TransactionID        string
	OffsetMessageID      string
	BrokerName           string // bname
}

// AppendFields implements Header.
func (h *CheckTransactionRequest) AppendFields(w *FieldWriter) {
	w.OptString("topic", h.Topic)
	w.Int("tranStateTableOffset", h.TranStateTableOffset)
	w.Int("commitLogOffset", h.CommitLogOffset)
	w.OptString("msgId", h.MessageID)
	w.OptString("transactionId", h.TransactionID)
	w.OptString("offsetMsgId", h.OffsetMessageID)
	w.OptString("bname", h.BrokerName)
}

// DecodeFields implements HeaderDecoder.
func (h *CheckTransactionRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = CheckTransactionRequest{
		Topic: r.str("topic"), TranStateTableOffset: r.int64("tranStateTableOffset"), CommitLogOffset: r.int64("commitLogOffset"),
		MessageID: r.str("msgId"), TransactionID: r.str("transactionId"), OffsetMessageID: r.str("offsetMsgId"), BrokerName: r.str("bname"),
	}
	return r.err
}
