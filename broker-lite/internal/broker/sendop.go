package broker

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/config"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// maxKeptRecord is the largest buffer that a sendOp keeps for the next message.
const maxKeptRecord = 64 << 10

// sendOp is a send between its request and its answer: the store's append, its
// completion, and the header of the answer. It belongs to the connection's reader
// until submit, then to the store until Appended, which puts it back.
type sendOp struct {
	b      *Broker
	peer   *peer
	append store.Append
	tags   []int64
	oneway bool

	resp      protocol.Command
	queueID   int32  // the one the client asked for, or got
	uniqueKey []byte // transactionId
	recall    string // recallHandle; "" is none
	id        []byte // scratch for a unique key that the broker makes
	msgIDs    []byte
	offset    int64

	half     bool
	immunity time.Duration
}

func (b *Broker) newSendOp(p *peer, cmd *protocol.Command) *sendOp {
	op, ok := b.ops.Get().(*sendOp)
	if !ok {
		op = &sendOp{b: b}
	}
	op.peer, op.oneway, op.half, op.recall = p, cmd.IsOneway(), false, ""
	op.resp = cmd.Response(protocol.Success, "")
	return op
}

// free gives an op back that was not submitted, or is answered.
func (op *sendOp) free() {
	op.peer = nil
	if cap(op.append.Records) > maxKeptRecord {
		op.append.Records = nil
	}
	if cap(op.tags) > maxKeptRecord/8 {
		op.tags = nil
	}
	op.b.ops.Put(op)
}

// submit hands the records to the store once the connection has room.
func (op *sendOp) submit(topic string, queueID int32, records []byte) {
	op.append = store.Append{Topic: topic, QueueID: queueID, Records: records, TagsCodes: op.tags, Done: op}
	if !op.peer.acquire(int64(len(records))) {
		op.free() // the connection is closed: nobody waits for the answer
		return
	}
	op.b.sending.Add(1)
	op.b.store.Append(&op.append)
}

// Appended implements store.Completion.
func (op *sendOp) Appended(r store.AppendResult) {
	b, p := op.b, op.peer
	if r.Err != nil {
		b.stats.putFailures.Add(1)
		a := b.storeFailed(r.Err)
		op.resp.Code, op.resp.Remark = a.code, a.remark
		if op.oneway {
			b.logger.Warn("a oneway message is lost", "topic", op.append.Topic, "peer", p.conn.RemoteAddr().String(), "err", r.Err)
		} else {
			b.send(p.conn, &op.resp, &sendRefusal{b}, nil)
		}
	} else {
		if op.half {
			b.half.Prepared(r.QueueOffset, r.StoreTimestamp, op.immunity)
		}
		if r.Status == store.StatusFlushDiskTimeout {
			op.resp.Code = protocol.FlushDiskTimeout
		}
		if b.config.Role == config.RoleSyncMaster { // nothing is replicated
			op.resp.Code = protocol.SlaveNotAvailable
		}
		b.stats.put(op.append.Topic, len(op.tags), op.append.Records)
		if !op.oneway {
			op.offset = r.QueueOffset
			op.msgIDs = appendMessageIDs(op.msgIDs[:0], b.storeHost, r.PhysicalOffset, op.append.Records)
			b.send(p.conn, &op.resp, op, nil)
		}
	}
	p.release(int64(len(op.append.Records)))
	op.free()
	b.sent()
}

// AppendFields implements protocol.Header.
func (op *sendOp) AppendFields(w *protocol.FieldWriter) {
	w.Bytes("msgId", op.msgIDs)
	w.Int("queueId", int64(op.queueID))
	w.Int("queueOffset", op.offset)
	if len(op.uniqueKey) > 0 {
		w.Bytes("transactionId", op.uniqueKey)
	}
	w.OptString("recallHandle", op.recall)
	(&sendRefusal{op.b}).AppendFields(w)
}

// appendMessageIDs appends the offset message ids of records that lie side by side
// from phys on, joined by commas.
func appendMessageIDs(dst []byte, host netip.AddrPort, phys int64, records []byte) []byte {
	for first := true; len(records) > 0; first = false {
		if !first {
			dst = append(dst, ',')
		}
		dst = appendMessageID(dst, host, phys)
		size := binary.BigEndian.Uint32(records)
		phys += int64(size)
		records = records[size:]
	}
	return dst
}

func appendMessageID(dst []byte, host netip.AddrPort, phys int64) []byte {
	var raw [16 + 4 + 8]byte
	n := 0
	if a := host.Addr(); a.Is4() {
		ip := a.As4()
		n = copy(raw[:], ip[:])
	} else {
		ip := a.As16()
		n = copy(raw[:], ip[:])
	}
	binary.BigEndian.PutUint32(raw[n:], uint32(host.Port()))
	binary.BigEndian.PutUint64(raw[n+4:], uint64(phys))
	const digits = "0123456789ABCDEF"
	for _, c := range raw[:n+12] {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}
