package protocol

import "fmt"

// RegisterBrokerRequest is the header of code 103 (REGISTER_BROKER), broker to
// name server; the body is a RegisterBrokerBody. 5.x adds
// heartbeatTimeoutMillis, enableActingMaster and the zone's name.
type RegisterBrokerRequest struct {
	BrokerName             string
	BrokerAddr             string // host:port that clients dial
	ClusterName            string
	HAServerAddr           string
	BrokerID               int64 // 0 is the master
	HeartbeatTimeoutMillis OptInt64
	EnableActingMaster     OptBool
	Compressed             bool   // the body is Apache's framed zlib form
	BodyCRC32              uint32 // of the body as it travels; 0 means not checked
	ZoneName               string
}

// AppendFields implements Header.
func (h *RegisterBrokerRequest) AppendFields(w *FieldWriter) {
	w.String("brokerName", h.BrokerName)
	w.String("brokerAddr", h.BrokerAddr)
	w.String("clusterName", h.ClusterName)
	w.String("haServerAddr", h.HAServerAddr)
	w.Int("brokerId", h.BrokerID)
	w.OptInt64("heartbeatTimeoutMillis", h.HeartbeatTimeoutMillis)
	w.OptBool("enableActingMaster", h.EnableActingMaster)
	w.Bool("compressed", h.Compressed)
	w.Int("bodyCrc32", int64(h.BodyCRC32))
	w.OptString("__ZONE_NAME", h.ZoneName)
}

// DecodeFields implements HeaderDecoder.
func (h *RegisterBrokerRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = RegisterBrokerRequest{
		BrokerName: r.name("brokerName"), BrokerAddr: r.name("brokerAddr"), ClusterName: r.name("clusterName"),
		HAServerAddr: r.str("haServerAddr"), BrokerID: r.int64("brokerId"),
		HeartbeatTimeoutMillis: r.optInt64("heartbeatTimeoutMillis"), EnableActingMaster: r.optBool("enableActingMaster"),
		Compressed: r.bool("compressed"), BodyCRC32: uint32(r.optInt32("bodyCrc32").Value), ZoneName: r.str("__ZONE_NAME"),
	}
	return r.err
}

// VerifyBody compares the body, as it travels, with BodyCRC32.
func (h *RegisterBrokerRequest) VerifyBody(body []byte) error {
	if h.BodyCRC32 == 0 {
		return nil
	}
	if got := BodyCRC(body); got != h.BodyCRC32 {
		return fmt.Errorf("%w: checksum %#08x, header says bodyCrc32 %#08x", ErrMalformedBody, got, h.BodyCRC32)
	}
	return nil
}

// RegisterBrokerResponse answers code 103. Both are empty for a master.
type RegisterBrokerResponse struct {
	HAServerAddr string
	MasterAddr   string
}

// AppendFields implements Header.
func (h *RegisterBrokerResponse) AppendFields(w *FieldWriter) {
	w.OptString("haServerAddr", h.HAServerAddr)
	w.OptString("masterAddr", h.MasterAddr)
}

// DecodeFields implements HeaderDecoder.
func (h *RegisterBrokerResponse) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = RegisterBrokerResponse{HAServerAddr: r.str("haServerAddr"), MasterAddr: r.str("masterAddr")}
	return r.err
}

// UnregisterBrokerRequest is the header of code 104 (UNREGISTER_BROKER).
type UnregisterBrokerRequest struct {
	BrokerName  string
	BrokerAddr  string
	ClusterName string
	BrokerID    int64
}

// AppendFields implements Header.
func (h *UnregisterBrokerRequest) AppendFields(w *FieldWriter) {
	w.String("brokerName", h.BrokerName)
	w.String("brokerAddr", h.BrokerAddr)
	w.String("clusterName", h.ClusterName)
	w.Int("brokerId", h.BrokerID)
}

// DecodeFields implements HeaderDecoder.
func (h *UnregisterBrokerRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = UnregisterBrokerRequest{
		BrokerName: r.name("brokerName"), BrokerAddr: r.name("brokerAddr"),
		ClusterName: r.name("clusterName"), BrokerID: r.int64("brokerId"),
	}
	return r.err
}

// RouteRequest is the header of code 105 (GET_ROUTEINFO_BY_TOPIC); the
// response's body is a TopicRoute. The name server answers standard JSON when
// the frame's version is 4.9.4 or later, or when AcceptStandardJSONOnly asks
// for it.
type RouteRequest struct {
	Topic                  string
	AcceptStandardJSONOnly OptBool
}

// AppendFields implements Header.
func (h *RouteRequest) AppendFields(w *FieldWriter) {
	w.String("topic", h.Topic)
	w.OptBool("acceptStandardJsonOnly", h.AcceptStandardJSONOnly)
}

// DecodeFields implements HeaderDecoder.
func (h *RouteRequest) DecodeFields(f Fields) error {
	r := fieldReader{fields: f}
	*h = RouteRequest{Topic: r.name("topic"), AcceptStandardJSONOnly: r.optBool("acceptStandardJsonOnly")}
	return r.err
}

// StandardJSON reports whether the route is to be answered as standard JSON to
// a client that claims version in its frame.
func (h *RouteRequest) StandardJSON(version int32) bool {
	return version >= VersionV4_9_4 || h.AcceptStandardJSONOnly.Value
}
