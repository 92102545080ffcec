package protocol

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"unicode/utf16"
	"unicode/utf8"
)

// OffsetMessageID names a stored message by the broker's advertised address and
// its physical offset: 32 hex digits, 56 for an IPv6 address.
func OffsetMessageID(storeHost netip.AddrPort, physicalOffset int64) string {
	var buf [56]byte
	return string(AppendOffsetMessageID(buf[:0], storeHost, physicalOffset))
}

// AppendOffsetMessageID appends an OffsetMessageID to dst.
func AppendOffsetMessageID(dst []byte, storeHost netip.AddrPort, physicalOffset int64) []byte {
	var buf [28]byte
	b := binary.BigEndian.AppendUint64(appendHost(buf[:0], storeHost), uint64(physicalOffset))
	var out [56]byte
	putHex(out[:], b)
	return append(dst, out[:2*len(b)]...)
}

// OffsetMessageIDSize is the length of a message's id at a broker.
func OffsetMessageIDSize(storeHost netip.AddrPort) int {
	if isV6(storeHost.Addr()) {
		return 56
	}
	return 32
}

// ParseOffsetMessageID is the inverse of OffsetMessageID.
func ParseOffsetMessageID(id string) (storeHost netip.AddrPort, physicalOffset int64, err error) {
	if len(id) != 32 && len(id) != 56 {
		return netip.AddrPort{}, 0, fmt.Errorf("message id %.64q: want 32 or 56 hex digits, got %d characters", id, len(id))
	}
	b, err := hex.DecodeString(id)
	if err != nil {
		return netip.AddrPort{}, 0, fmt.Errorf("message id %q: %w", id, err)
	}
	d := recordDecoder{b: b}
	storeHost = d.host(len(id) == 56)
	physicalOffset = int64(d.uint64())
	if d.bad {
		return netip.AddrPort{}, 0, fmt.Errorf("message id %q: its port is above 65535", id)
	}
	return storeHost, physicalOffset, nil
}

// HashCode is Java's String.hashCode, over UTF-16 units. A tag's hash is the
// tags code of its consume queue entry.
func HashCode(s string) int32 {
	var h int32
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			h = 31*h + int32(s[i])
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
			h = 31*(31*h+hi) + lo
		} else {
			h = 31*h + r
		}
		i += n
	}
	return h
}
