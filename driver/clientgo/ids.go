package clientgo

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync/atomic"
	"time"
)

// ids makes unique message ids (UNIQ_KEY) in RocketMQ's form: 16 bytes as upper
// case hexadecimal, of which the first 10 name the origin, the next 4 are the
// time in ms since the month began, and the last 2 count (MessageClientIDSetter).
// rocketmq-client-go counts seconds there, and so repeats itself above 65,536
// messages a second.
type ids struct {
	origin [10]byte // random
	last   atomic.Uint64
}

func newIDs() *ids {
	g := new(ids)
	rand.Read(g.origin[:]) // never fails: see crypto/rand
	return g
}

// next returns a new id.
func (g *ids) next() string {
	tick := g.tick()
	at := time.UnixMilli(int64(tick >> 16))
	month := time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, at.Location())
	var b [16]byte
	copy(b[:], g.origin[:])
	binary.BigEndian.PutUint32(b[10:], uint32(at.Sub(month).Milliseconds()))
	binary.BigEndian.PutUint16(b[14:], uint16(tick))
	return strings.ToUpper(hex.EncodeToString(b[:]))
}

// tick is the time in ms << 16, or one more than the last tick when that is
// later: more than 65,536 in a millisecond, or a clock that was set back.
func (g *ids) tick() uint64 {
	for {
		last := g.last.Load()
		next := max(uint64(time.Now().UnixMilli())<<16, last+1)
		if g.last.CompareAndSwap(last, next) {
			return next
		}
	}
}
