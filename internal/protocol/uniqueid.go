package protocol

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// IDGenerator makes message ids in the layout of Java's MessageClientIDSetter,
// in upper-case hex:
//
//	ip 4|16 | pid 2 | random 4 | ms since the local month's start 4 | counter 2
//
// Ids of one generator never repeat, however many are made: when a millisecond
// has used up its 65,536, the carry goes into the time. Two generators differ by
// their random part. It is safe for concurrent use.
type IDGenerator struct {
	prefix [44]byte // hex of ip, pid and random part
	n      int      // of prefix

	// last is the id given out last: ms since 1970 << 16 | counter.
	last atomic.Uint64
	// month is the local month of last, replaced when it is over.
	month atomic.Pointer[idMonth]
}

type idMonth struct{ start, end uint64 } // ms since 1970

// NewIDGenerator makes a generator. ip is the client's address; one that is not
// valid is replaced by random bytes, as Java replaces it by the time.
func NewIDGenerator(ip netip.Addr, pid int) *IDGenerator {
	var b [22]byte
	p := b[:0]
	ip = ip.Unmap()
	switch {
	case ip.Is6():
		a := ip.As16()
		p = append(p, a[:]...)
	case ip.Is4():
		a := ip.As4()
		p = append(p, a[:]...)
	default:
		p = appendRandom(p)
	}
	p = binary.BigEndian.AppendUint16(p, uint16(pid))
	p = appendRandom(p)
	g := &IDGenerator{n: 2 * len(p)}
	putHex(g.prefix[:], p)
	g.month.Store(monthOf(uint64(time.Now().UnixMilli())))
	return g
}

func appendRandom(dst []byte) []byte {
	var r [4]byte
	rand.Read(r[:]) // never fails: see crypto/rand
	return append(dst, r[:]...)
}

// Next returns a new id of 32 characters, 56 for an IPv6 address.
func (g *IDGenerator) Next() string {
	var b [56]byte
	return string(g.AppendNext(b[:0]))
}

// AppendNext appends a new id to dst.
func (g *IDGenerator) AppendNext(dst []byte) []byte {
	v := g.tick()
	ms := v >> 16
	m := g.month.Load()
	if ms < m.start || ms >= m.end {
		m = monthOf(ms)
		g.month.Store(m)
	}
	var t [6]byte
	binary.BigEndian.PutUint32(t[:], uint32(ms-m.start))
	binary.BigEndian.PutUint16(t[4:], uint16(v))
	dst = append(dst, g.prefix[:g.n]...)
	var h [12]byte
	putHex(h[:], t[:])
	return append(dst, h[:]...)
}

// tick is the time in ms << 16, or one more than the last tick when that is
// later: more than 65,536 in a millisecond, or a clock that was set back.
func (g *IDGenerator) tick() uint64 {
	for {
		last := g.last.Load()
		next := max(uint64(time.Now().UnixMilli())<<16, last+1)
		if g.last.CompareAndSwap(last, next) {
			return next
		}
	}
}

func monthOf(ms uint64) *idMonth {
	t := time.UnixMilli(int64(ms))
	start := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, t.Location())
	end := time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, t.Location())
	return &idMonth{uint64(start.UnixMilli()), uint64(end.UnixMilli())}
}

func putHex(dst, src []byte) {
	const upper = "0123456789ABCDEF"
	for i, c := range src {
		dst[2*i], dst[2*i+1] = upper[c>>4], upper[c&15]
	}
}

// UniqueID is what an id of IDGenerator or of Java says.
type UniqueID struct {
	IP   netip.Addr
	PID  uint16
	Time time.Time // in the location of ParseUniqueID's now
}

// ParseUniqueID reads an id. It holds the time since the start of its maker's
// local month only: now tells the month, and a time beyond now counts as the
// month before, as in Java's getNearlyTimeFromID.
func ParseUniqueID(id string, now time.Time) (UniqueID, error) {
	if len(id) != 32 && len(id) != 56 {
		return UniqueID{}, fmt.Errorf("unique id %.64q: want 32 or 56 hex digits, got %d characters", id, len(id))
	}
	b, err := hex.DecodeString(id)
	if err != nil {
		return UniqueID{}, fmt.Errorf("unique id %q: %w", id, err)
	}
	n := len(b) - 12
	ip, _ := netip.AddrFromSlice(b[:n])
	span := time.Duration(binary.BigEndian.Uint32(b[n+6:])) * time.Millisecond
	t := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, now.Location()).Add(span)
	if !t.Before(now) {
		t = time.Date(now.Year(), now.Month()-1, 1, 0, 0, 0, 0, now.Location()).Add(span)
	}
	return UniqueID{IP: ip, PID: binary.BigEndian.Uint16(b[n:]), Time: t}, nil
}
