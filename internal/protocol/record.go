package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
)

// Magic numbers of a message record.
const (
	MagicV1    uint32 = 0xDAA320A7 // topic length in one byte
	MagicV2    uint32 = 0xDAA320AB // topic length in two bytes, for topics over 127 bytes
	MagicBlank uint32 = 0xCBD43194 // filler at the end of a commit log file
)

// Limits of a record, from Apache.
const (
	MaxTopicLength      = 127   // TOPIC_MAX_LENGTH; a v1 record's length byte is signed in Java
	MaxPropertiesLength = 32767 // Short.MAX_VALUE
)

// Bits of a record's sysFlag (MessageSysFlag).
const (
	SysCompressed      int32 = 0x1
	SysMultiTags       int32 = 0x1 << 1
	SysPrepared        int32 = 0x1 << 2
	SysCommit          int32 = 0x2 << 2
	SysRollback        int32 = 0x3 << 2
	SysTransactionMask int32 = 0x3 << 2
	SysBornHostV6      int32 = 0x1 << 4
	SysStoreHostV6     int32 = 0x1 << 5
	SysNeedUnwrap      int32 = 0x1 << 6
	SysInnerBatch      int32 = 0x1 << 7
	SysCompressionMask int32 = 0x7 << 8
	SysLZ4             int32 = 0x1 << 8
	SysZstd            int32 = 0x2 << 8
	SysZlib            int32 = 0x3 << 8
)

// ErrTopicTooLong and ErrPropertiesTooLong say which part does not fit a record.
var (
	ErrTopicTooLong      = errors.New("topic too long")
	ErrPropertiesTooLong = errors.New("properties too long")
)

// Record is one message as the commit log holds it and a pull returns it.
//
//	 0 int32 size              40 int64 bornTimestamp, ms
//	 4 int32 magic             48 bornHost     ip 4|16, port int32
//	 8 int32 bodyCRC              int64 storeTimestamp, ms
//	12 int32 queueId              storeHost    ip 4|16, port int32
//	16 int32 flag                 int32 reconsumeTimes
//	20 int64 queueOffset          int64 preparedTransactionOffset
//	28 int64 physicalOffset       int32 + body
//	36 int32 sysFlag              int8|int16 + topic, int16 + properties
type Record struct {
	QueueID                   int32
	Flag                      int32
	QueueOffset               int64
	PhysicalOffset            int64
	SysFlag                   int32
	BornTimestamp             int64 // ms since 1970
	BornHost                  netip.AddrPort
	StoreTimestamp            int64 // ms since 1970
	StoreHost                 netip.AddrPort
	ReconsumeTimes            int32
	PreparedTransactionOffset int64
	Body                      []byte // aliases the input after decoding
	Topic                     string
	Properties                []byte // "k\x01v\x02…"; aliases the input after decoding

	BodyCRC uint32 // set by decoding; encoding computes it
	Size    int32  // set by decoding
}

const (
	offQueueOffset    = 20
	offPhysicalOffset = 28
	offSysFlag        = 36
	offBornHost       = 48
	recordFixed       = 48 + 8 + 4 + 8 + 4 // without hosts, topic and properties
)

// normalize sets the host bits of SysFlag from the hosts. An address that is
// not set is written as 0.0.0.0:0.
func (r *Record) normalize() {
	r.SysFlag &^= SysBornHostV6 | SysStoreHostV6
	if isV6(r.BornHost.Addr()) {
		r.SysFlag |= SysBornHostV6
	}
	if isV6(r.StoreHost.Addr()) {
		r.SysFlag |= SysStoreHostV6
	}
}

func isV6(a netip.Addr) bool { return a.Is6() && !a.Is4In6() }

// BodyCRC is the checksum a record carries for its body: CRC-32 with the sign
// bit cleared, as Java's UtilAll.crc32.
func BodyCRC(body []byte) uint32 { return crc32.ChecksumIEEE(body) & 0x7FFFFFFF }

// AppendRecord appends r to dst as a v1 record, or v2 when the topic is longer
// than MaxTopicLength, and sets its host bits by its hosts. On error dst is
// returned as it was.
func AppendRecord(dst []byte, r *Record) ([]byte, error) {
	r.normalize()
	if len(r.Topic) > 32767 {
		return dst, fmt.Errorf("%w: %d bytes, at most 32767", ErrTopicTooLong, len(r.Topic))
	}
	if len(r.Properties) > MaxPropertiesLength {
		return dst, fmt.Errorf("%w: %d bytes, at most %d", ErrPropertiesTooLong, len(r.Properties), MaxPropertiesLength)
	}
	magic := MagicV1
	if len(r.Topic) > MaxTopicLength {
		magic = MagicV2
	}
	start := len(dst)
	be := binary.BigEndian
	dst = be.AppendUint32(dst, 0)
	dst = be.AppendUint32(dst, magic)
	dst = be.AppendUint32(dst, BodyCRC(r.Body))
	dst = be.AppendUint32(dst, uint32(r.QueueID))
	dst = be.AppendUint32(dst, uint32(r.Flag))
	dst = be.AppendUint64(dst, uint64(r.QueueOffset))
	dst = be.AppendUint64(dst, uint64(r.PhysicalOffset))
	dst = be.AppendUint32(dst, uint32(r.SysFlag))
	dst = be.AppendUint64(dst, uint64(r.BornTimestamp))
	dst = appendHost(dst, r.BornHost)
	dst = be.AppendUint64(dst, uint64(r.StoreTimestamp))
	dst = appendHost(dst, r.StoreHost)
	dst = be.AppendUint32(dst, uint32(r.ReconsumeTimes))
	dst = be.AppendUint64(dst, uint64(r.PreparedTransactionOffset))
	dst = be.AppendUint32(dst, uint32(len(r.Body)))
	dst = append(dst, r.Body...)
	if magic == MagicV1 {
		dst = append(dst, byte(len(r.Topic)))
	} else {
		dst = be.AppendUint16(dst, uint16(len(r.Topic)))
	}
	dst = append(dst, r.Topic...)
	dst = be.AppendUint16(dst, uint16(len(r.Properties)))
	dst = append(dst, r.Properties...)
	be.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst, nil
}

// PlaceRecord fills in what only the commit log knows. rec must be a record
// that AppendRecord made.
func PlaceRecord(rec []byte, queueOffset, physicalOffset, storeTimestamp int64) {
	be := binary.BigEndian
	be.PutUint64(rec[offQueueOffset:], uint64(queueOffset))
	be.PutUint64(rec[offPhysicalOffset:], uint64(physicalOffset))
	at := offBornHost + 8
	if int32(be.Uint32(rec[offSysFlag:]))&SysBornHostV6 != 0 {
		at += 12
	}
	be.PutUint64(rec[at:], uint64(storeTimestamp))
}

func appendHost(dst []byte, h netip.AddrPort) []byte {
	a := h.Addr()
	switch {
	case isV6(a):
		ip := a.As16()
		dst = append(dst, ip[:]...)
	case a.IsValid():
		ip := a.Unmap().As4()
		dst = append(dst, ip[:]...)
	default:
		dst = append(dst, 0, 0, 0, 0)
	}
	return binary.BigEndian.AppendUint32(dst, uint32(h.Port()))
}

// ErrMalformedRecord is wrapped by every error about bytes that are no record.
var ErrMalformedRecord = errors.New("malformed message record")

// RecordSize reads the size and the magic at the start of b. It fails when b is
// too short for both, or when they cannot belong to a record.
func RecordSize(b []byte) (size int, magic uint32, err error) {
	if len(b) < 8 {
		return 0, 0, fmt.Errorf("%w: %d bytes", ErrMalformedRecord, len(b))
	}
	n := int32(binary.BigEndian.Uint32(b))
	magic = binary.BigEndian.Uint32(b[4:])
	switch magic {
	case MagicV1, MagicV2:
		if n < recordFixed+16+1+2 {
			return 0, magic, fmt.Errorf("%w: size %d", ErrMalformedRecord, n)
		}
	case MagicBlank:
		if n < 8 {
			return 0, magic, fmt.Errorf("%w: blank of %d bytes", ErrMalformedRecord, n)
		}
	default:
		return 0, magic, fmt.Errorf("%w: magic %#08x", ErrMalformedRecord, magic)
	}
	return int(n), magic, nil
}

// DecodeRecord reads the record at the start of b and returns its size. Body
// and Properties alias b; a Topic that r has already is kept, since the records of
// a queue share theirs. The body's checksum is not verified here: see
// Record.VerifyBody.
func DecodeRecord(b []byte, r *Record) (int, error) {
	size, magic, err := RecordSize(b)
	if err != nil {
		return 0, err
	}
	if magic == MagicBlank {
		return 0, fmt.Errorf("%w: a blank", ErrMalformedRecord)
	}
	if size > len(b) {
		return 0, fmt.Errorf("%w: size %d where %d bytes are left", ErrMalformedRecord, size, len(b))
	}
	be := binary.BigEndian
	before := r.Topic
	*r = Record{
		Size: int32(size), BodyCRC: be.Uint32(b[8:]),
		QueueID: int32(be.Uint32(b[12:])), Flag: int32(be.Uint32(b[16:])),
		QueueOffset: int64(be.Uint64(b[20:])), PhysicalOffset: int64(be.Uint64(b[28:])),
		SysFlag: int32(be.Uint32(b[36:])), BornTimestamp: int64(be.Uint64(b[40:])),
	}
	d := recordDecoder{b: b[offBornHost:size]}
	r.BornHost = d.host(r.SysFlag&SysBornHostV6 != 0)
	r.StoreTimestamp = int64(d.uint64())
	r.StoreHost = d.host(r.SysFlag&SysStoreHostV6 != 0)
	r.ReconsumeTimes = int32(d.uint32())
	r.PreparedTransactionOffset = int64(d.uint64())
	r.Body = d.take(int(int32(d.uint32())))
	topicLen := 0
	if magic == MagicV1 {
		topicLen = int(d.uint8())
	} else {
		topicLen = int(int16(d.uint16()))
	}
	if topic := d.take(topicLen); string(topic) == before {
		r.Topic = before
	} else {
		r.Topic = string(topic)
	}
	r.Properties = d.take(int(int16(d.uint16())))
	if d.bad || len(d.b) != 0 {
		return 0, fmt.Errorf("%w: parts do not add up to size %d, or a port is above 65535", ErrMalformedRecord, size)
	}
	return size, nil
}

// VerifyBody compares the body with the checksum that the record carries.
func (r *Record) VerifyBody() error {
	if got := BodyCRC(r.Body); got != r.BodyCRC {
		return fmt.Errorf("%w: body checksum %#08x, record says %#08x", ErrMalformedRecord, got, r.BodyCRC)
	}
	return nil
}

// recordDecoder takes parts off the front of b; bad sticks.
type recordDecoder struct {
	b   []byte
	bad bool
}

func (d *recordDecoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *recordDecoder) uint8() byte {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *recordDecoder) uint16() uint16 {
	if v := d.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (d *recordDecoder) uint32() uint32 {
	if v := d.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (d *recordDecoder) uint64() uint64 {
	if v := d.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (d *recordDecoder) host(v6 bool) netip.AddrPort {
	n := 4
	if v6 {
		n = 16
	}
	ip := d.take(n)
	port := d.uint32()
	if port > 65535 {
		d.bad = true // Java refuses it too
	}
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a, uint16(port))
}
