package pop

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Key names a queue as a group consumes it. Topic may be the group's retry topic.
type Key struct {
	Topic string
	Group string
	Queue int32
}

// kind says what an entry of the journal changes. The numbers are on disk.
type kind byte

const (
	kindPop         kind = 1 + iota // the offsets are invisible, and next is where to go on
	kindSettle                      // the offsets are acknowledged, or were revived
	kindChange                      // the offset has a new receipt and time
	kindMove                        // the queue goes on from next
	kindOrder                       // the offsets lock the queue
	kindOrderSettle                 // the offset is acknowledged
	kindOrderChange                 // the offset has a new time
	kindEnd
)

// entry is a change of the tables. Which fields count depends on the kind.
type entry struct {
	kind    kind
	key     Key
	popTime int64 // which delivery is meant; ms since 1970
	newTime int64 // kindChange: takes its place
	until   int64 // when the offsets are visible again; ms since 1970
	next    int64 // the queue's next offset
	offsets []int64

	// Of kindOrder, for each offset:
	untils  []int64
	counts  []int32 // deliveries before
	acked   uint64  // a bit each
	attempt string
}

// errMalformed is wrapped by every error about bytes that are no entry.
var errMalformed = errors.New("malformed entry of the POP journal")

// append appends e to dst.
func (e *entry) append(dst []byte) []byte {
	dst = append(dst, byte(e.kind))
	dst = appendText(dst, e.key.Topic)
	dst = appendText(dst, e.key.Group)
	for _, n := range [...]int64{int64(e.key.Queue), e.popTime, e.newTime, e.until, e.next, int64(len(e.offsets))} {
		dst = binary.AppendVarint(dst, n)
	}
	last := int64(0)
	for _, offset := range e.offsets {
		dst = binary.AppendVarint(dst, offset-last)
		last = offset
	}
	if e.kind != kindOrder {
		return dst
	}
	for i := range e.offsets {
		dst = binary.AppendVarint(dst, e.untils[i])
		dst = binary.AppendVarint(dst, int64(e.counts[i]))
	}
	dst = binary.AppendUvarint(dst, e.acked)
	return appendText(dst, e.attempt)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// decoder reads entries; after an error it reads zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.b)
	return number(d, n, size)
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.b)
	return number(d, n, size)
}

func number[T int64 | uint64](d *decoder, n T, size int) T {
	if size <= 0 || d.bad {
		d.bad = true
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) text() string {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad = true
	}
	if d.bad {
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

// maxOrdered is how many messages an orderly pop takes at most: one bit each.
const maxOrdered = 64

// entry reads one entry.
func (d *decoder) entry() (e entry, err error) {
	if len(d.b) == 0 {
		return e, fmt.Errorf("%w: it is empty", errMalformed)
	}
	e.kind = kind(d.b[0])
	d.b = d.b[1:]
	e.key = Key{Topic: d.text(), Group: d.text(), Queue: int32(d.int())}
	e.popTime, e.newTime, e.until, e.next = d.int(), d.int(), d.int(), d.int()
	n := d.int()
	if e.kind == 0 || e.kind >= kindEnd || n < 0 || n > int64(len(d.b)) || e.kind == kindOrder && (n == 0 || n > maxOrdered) {
		d.bad = true
	}
	if d.bad {
		return e, fmt.Errorf("%w: kind %d, %d offsets, %d bytes left", errMalformed, e.kind, n, len(d.b))
	}
	last := int64(0)
	for range n {
		last += d.int()
		e.offsets = append(e.offsets, last)
	}
	if e.kind == kindOrder {
		for range n {
			e.untils = append(e.untils, d.int())
			e.counts = append(e.counts, int32(d.int()))
		}
		e.acked, e.attempt = d.uint(), d.text()
	}
	if d.bad {
		return e, fmt.Errorf("%w: kind %d of topic %.100q ends early", errMalformed, e.kind, e.key.Topic)
	}
	return e, nil
}
