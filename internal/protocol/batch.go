package protocol

import (
	"encoding/binary"
	"fmt"
)

// BatchEntry is one message inside the body of code 320 (SEND_BATCH_MESSAGE).
// Topic and queue are the header's. 4.9 and 5.x agree:
//
//	int32 size | int32 magic 0 | int32 bodyCRC 0 | int32 flag | int32 + body | int16 + properties
//
// Nobody reads the magic and the checksum: the broker computes its own.
type BatchEntry struct {
	Flag       int32
	Body       []byte // aliases the input after decoding
	Properties []byte // "k\x01v\x02…"; aliases the input after decoding
}

const batchEntryFixed = 4 + 4 + 4 + 4 + 4 + 2

// BatchEntrySize is how many bytes AppendBatchEntry adds.
func BatchEntrySize(bodyLen, propertiesLen int) int { return batchEntryFixed + bodyLen + propertiesLen }

// AppendBatchEntry appends e to dst. On error dst is returned as it was.
func AppendBatchEntry(dst []byte, e *BatchEntry) ([]byte, error) {
	if len(e.Properties) > MaxPropertiesLength {
		return dst, fmt.Errorf("%w: %d bytes, at most %d", ErrPropertiesTooLong, len(e.Properties), MaxPropertiesLength)
	}
	size := BatchEntrySize(len(e.Body), len(e.Properties))
	if size > MaxFrameSize {
		return dst, fmt.Errorf("%w: batch entry of %d bytes, at most %d", ErrFrameTooLarge, size, MaxFrameSize)
	}
	be := binary.BigEndian
	dst = be.AppendUint32(dst, uint32(size))
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = be.AppendUint32(dst, uint32(e.Flag))
	dst = be.AppendUint32(dst, uint32(len(e.Body)))
	dst = append(dst, e.Body...)
	dst = be.AppendUint16(dst, uint16(len(e.Properties)))
	return append(dst, e.Properties...), nil
}

// DecodeBatchEntry reads the entry at the start of b and returns its size. Body
// and Properties alias b.
func DecodeBatchEntry(b []byte, e *BatchEntry) (int, error) {
	if len(b) < batchEntryFixed {
		return 0, fmt.Errorf("%w: batch entry of %d bytes, at least %d", ErrMalformedBody, len(b), batchEntryFixed)
	}
	size := int(int32(binary.BigEndian.Uint32(b)))
	if size < batchEntryFixed || size > len(b) {
		return 0, fmt.Errorf("%w: batch entry says it has %d bytes where %d are left", ErrMalformedBody, size, len(b))
	}
	d := recordDecoder{b: b[12:size]}
	*e = BatchEntry{Flag: int32(d.uint32())}
	e.Body = d.take(int(int32(d.uint32())))
	e.Properties = d.take(int(int16(d.uint16())))
	if d.bad || len(d.b) != 0 {
		return 0, fmt.Errorf("%w: the parts of a batch entry do not add up to its size %d", ErrMalformedBody, size)
	}
	return size, nil
}
