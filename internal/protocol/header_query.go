package protocol

// Kinds of keys that code 12 asks for, 5.x (MessageConst.INDEX_*_TYPE).
const (
	IndexKey    = "K"
	IndexUnique = "U"
	IndexTag    = "T"
)

// QueryMessageRequest is the header of code 12 (QUERY_MESSAGE). The response's body
// has records, side by side.
//
// Both versions add _UNIQUE_KEY_QUERY, which their header classes do not name. 5.x
// adds indexType and lastKey (for its RocksDB index); 4.9 ignores them.
type QueryMessageRequest struct {
	Topic, Key     string
	MaxNum         int32
	BeginTimestamp int64 // store time, ms since 1970
	EndTimestamp   int64
	UniqueKey      OptBool // _UNIQUE_KEY_QUERY: the key is a UNIQ_KEY
	IndexType      string  // 5.x only
	LastKey        string  // 5.x only
}

const fieldUniqueKeyQuery = "_UNIQUE_KEY_QUERY"

// AppendFields implements Header.
func (h *QueryMessageRequest) AppendFields(w *FieldWriter) {
	w.String("topic", h.Topic)
	w.String("key", h.Key)
	w.Int("maxNum", int64(h.MaxNum))
	w.Int("beginTimestamp", h.BeginTimestamp)
	w.Int("endTimestamp", h.EndTimestamp)
	w.OptBool(fieldUniqueKeyQuery, h.UniqueKey)
	w.OptString("indexType", h.IndexType)
	w.OptString("lastKey", h.LastKey)
}

// DecodeFields implements HeaderDecoder.
func (h *QueryMessageRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = QueryMessageRequest{
		Topic: r.name("topic"), Key: r.name("key"), MaxNum: r.int32("maxNum"),
		BeginTimestamp: r.int64("beginTimestamp"), EndTimestamp: r.int64("endTimestamp"),
		UniqueKey: r.optBool(fieldUniqueKeyQuery), IndexType: r.str("indexType"), LastKey: r.str("lastKey"),
	}
	return r.err
}

// QueryMessageResponse answers code 12. Both are 0 when nothing was found.
type QueryMessageResponse struct {
	IndexLastUpdateTimestamp int64 // store time of the last message that is indexed
	IndexLastUpdatePhyOffset int64 // and its physical offset
}

// AppendFields implements Header.
func (h *QueryMessageResponse) AppendFields(w *FieldWriter) {
	w.Int("indexLastUpdateTimestamp", h.IndexLastUpdateTimestamp)
	w.Int("indexLastUpdatePhyoffset", h.IndexLastUpdatePhyOffset)
}

// DecodeFields implements HeaderDecoder.
func (h *QueryMessageResponse) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = QueryMessageResponse{IndexLastUpdateTimestamp: r.int64("indexLastUpdateTimestamp"), IndexLastUpdatePhyOffset: r.int64("indexLastUpdatePhyoffset")}
	return r.err
}
